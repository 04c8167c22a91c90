"""python -m training --config configs/train_compact.yaml --content DIR --style DIR"""

import argparse
import dataclasses
from pathlib import Path

import yaml

from training.loop import Trainer, TrainingOptions

parser = argparse.ArgumentParser(prog="python -m training")
parser.add_argument("--config", type=Path, required=True)
parser.add_argument("--set", nargs="*", default=[])
for f in ("content", "style"):
    parser.add_argument(f"--{f}", nargs="+")
for f in ("vgg", "deep", "out"):
    parser.add_argument(f"--{f}")
a = parser.parse_args()
values = yaml.safe_load(a.config.read_text())
for name in ("content", "style", "vgg", "deep", "out"):
    if getattr(a, name):
        values[name] = getattr(a, name)
for item in a.set:
    k, v = item.split("=", 1)
    values[k] = yaml.safe_load(v)
Trainer(TrainingOptions(**values)).run()
