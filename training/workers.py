"""The same loop in several processes, their gradients made one: Ray Train. Nothing else in
training/ names ray.

Each process has a GPU, or without any GPU its share of the CPU's cores. One that dies ends with all
others, and all go on from the last checkpoint. They share the --out folder.
"""

import logging
import os
from contextlib import redirect_stdout
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
    UserCallback,
    get_context,
)
from ray.train.torch import TorchTrainer, get_device, prepare_model

from pipeline.errors import ConfigError, StreamError
from training.loop import made, train, unwritten
from training.options import RunOptions

DEATHS = 3
OBJECT_STORE_BYTES = 80 << 20
SAID = "progress.txt"


class OnlyDeaths(UserCallback):
    """Ends all where a process has a message for the user: started again it would fail again, and
    returned, the others would wait for it."""

    def after_exception(self, run_context: object, worker_exceptions: dict[int, Exception]) -> None:
        for error in worker_exceptions.values():
            if isinstance(error, StreamError):
                raise error


def spread(task: str, options: RunOptions) -> None:
    """Train the task of the module `task` in `options.workers` processes of this machine."""
    gpus = torch.cuda.device_count()
    if gpus and options.workers > gpus:
        raise ConfigError(f"--workers {options.workers}: there are {gpus} GPUs")
    out = made(options.out).resolve()
    try:
        (out / SAID).write_text("")
    except OSError as error:
        raise unwritten(Path(options.out), error) from error
    over = Event()
    echo = Thread(target=follow, args=(out / SAID, over))
    echo.start()
    try:
        fit(task, options, out, gpus > 0)
    finally:
        ray.shutdown()
        over.set()
        echo.join()


def fit(task: str, options: RunOptions, out: Path, on_gpus: bool) -> None:
    """Start Ray and the processes, and wait. StreamError."""
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
            callbacks=[OnlyDeaths()],  # type: ignore[list-item]  # typed as of Ray Train 1
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        told = getattr(error, "controller_failure", None)
        if isinstance(told, StreamError):
            raise told from error
        raise StreamError(str(error).strip().splitlines()[-1]) from error
    except SystemExit as error:  # what Ray makes of Ctrl-C
        raise KeyboardInterrupt from error


def work(about: dict[str, Any]) -> None:
    """One of the processes. StreamError."""
    options: RunOptions = about["options"]
    os.chdir(about["folder"])  # Ray goes elsewhere, where names of files would mean others
    rank = get_context().get_world_rank()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    said = os.devnull if rank else Path(options.out) / SAID
    try:
        with open(said, "a", buffering=1) as file, redirect_stdout(file):
            train(about["task"], options, get_device(), rank, prepare_model)
    except OSError as error:  # also at the end, of a line that a full disk did not take
        raise unwritten(Path(options.out), error) from error


def follow(path: Path, over: Event) -> None:
    """Print what is added to a file, until it is `over`."""
    with path.open() as file:
        while True:
            last = over.is_set()
            print(file.read(), end="", flush=True)
            if last:
                return
            over.wait(0.5)
