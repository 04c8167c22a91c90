"""The same loop in several processes, their gradients made one: Ray Train. Nothing else in
training/ names ray.

Each process has a GPU, or without any GPU its share of the CPU's cores. One that dies ends with all
others, and all go on from the last checkpoint. They share the --out folder.
"""

import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
import torch
from ray.train import (
    FailureConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    get_context,
)
from ray.train.torch import TorchTrainer, get_device, prepare_model

from pipeline.errors import StreamError
from training.loop import Loop
from training.options import RunOptions

DEATHS = 3
OBJECT_STORE_BYTES = 80 << 20


def spread(task: str, options: RunOptions) -> None:
    """Train the task of the module `task` in `options.workers` processes of this machine."""
    gpus = torch.cuda.device_count()
    if gpus and options.workers > gpus:
        raise StreamError(f"--workers {options.workers}: there are {gpus} GPUs")
    ray.init(
        num_cpus=options.workers,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
    trainer = TorchTrainer(
        work,
        train_loop_config={"task": task, "options": options},
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=gpus > 0),
        run_config=RunConfig(
            name="ray",
            storage_path=str(Path(options.out).resolve()),
            failure_config=FailureConfig(max_failures=DEATHS),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise StreamError(str(error).strip().splitlines()[-1]) from error
    finally:
        ray.shutdown()


def work(about: dict[str, Any]) -> None:
    """One of the processes."""
    options: RunOptions = about["options"]
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    torch.manual_seed(options.seed)
    task = import_module(about["task"]).create(options, get_device())
    Loop(task, options, get_context().get_world_rank(), prepare_model).run()
