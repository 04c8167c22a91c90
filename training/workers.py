"""The same loop in several processes, their gradients made one: Ray Train. Nothing else in
training/ names ray.

Each process has a GPU, or without any GPU its share of the CPU's cores. One that dies ends with all
others, and all go on from the last checkpoint. They share the --out folder.
"""

import logging
import os
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")

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

from pipeline.errors import ConfigError, StreamError
from training.loop import Loop, made
from training.options import RunOptions

DEATHS = 3
OBJECT_STORE_BYTES = 80 << 20
SAID = "progress.txt"


def spread(task: str, options: RunOptions) -> None:
    """Train the task of the module `task` in `options.workers` processes of this machine."""
    gpus = torch.cuda.device_count()
    if gpus and options.workers > gpus:
        raise ConfigError(f"--workers {options.workers}: there are {gpus} GPUs")
    out = made(options.out).resolve()
    (out / SAID).write_text("")
    over = Event()
    echo = Thread(target=follow, args=(out / SAID, over))
    echo.start()
    try:
        refused = fit(task, options, out, gpus > 0)
    finally:
        ray.shutdown()
        over.set()
        echo.join()
    if refused:
        raise ConfigError(refused)


def fit(task: str, options: RunOptions, out: Path, on_gpus: bool) -> str | None:
    """Start Ray and the processes, and wait -> what the task refused, if it did."""
    # Ray says much of its own; what the first process says is followed in its file instead.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray.init(
        "local",
        num_cpus=options.workers,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _node_ip_address="127.0.0.1",
    )
    trainer = TorchTrainer(
        work,
        train_loop_config={"task": task, "options": options, "folder": os.getcwd()},
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=on_gpus),
        run_config=RunConfig(
            name="ray",
            storage_path=str(out),
            failure_config=FailureConfig(max_failures=DEATHS),
        ),
    )
    try:
        refused: str | None = trainer.fit().return_value
    except TrainingFailedError as error:
        raise StreamError(str(error).strip().splitlines()[-1]) from error
    return refused


def work(about: dict[str, Any]) -> str | None:
    """One of the processes -> what the task refuses, in all of them alike: no reason to start
    them again."""
    options: RunOptions = about["options"]
    os.chdir(about["folder"])  # Ray goes elsewhere, where names of files would mean others
    rank = get_context().get_world_rank()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    said = os.devnull if rank else Path(options.out) / SAID
    with open(said, "a", buffering=1) as file, redirect_stdout(file):
        torch.manual_seed(options.seed)
        try:
            task = import_module(about["task"]).create(options, get_device())
            loop = Loop(task, options, rank, prepare_model)
        except (ValueError, OSError) as error:
            return str(error)
        loop.run()
    return None


def follow(path: Path, over: Event) -> None:
    """Print what is added to a file, until it is `over`."""
    with path.open() as file:
        while True:
            last = over.is_set()
            print(file.read(), end="", flush=True)
            if last:
                return
            over.wait(0.5)
