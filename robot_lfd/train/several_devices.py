"""Several devices: one training shared out among the processes that torchrun started, a GPU each or a CPU each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: its functions keep as defaults the group that they find

from policies.sharing import Share
from robot_lfd.errors import LfdError
from robot_lfd.remote import url_of
from robot_lfd.train.config import TrainConfig

PATIENCE = timedelta(hours=2)  # the others wait while the first one evaluates or compiles


def started_by_torchrun() -> bool:
    """Returns whether this process is one of several that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def check_shared(config: TrainConfig) -> None:
    """Raises LfdError where the processes of torchrun cannot share the training that `config` asks for."""
    count = int(os.environ["WORLD_SIZE"])
    if config.obs != "pixels":
        raise LfdError("torchrun shares trainings from pixels out; on state one process is faster: leave torchrun away")
    if config.seeds is not None:
        raise LfdError("torchrun shares one training out, --seeds asks for several; start torchrun once a seed")
    if url_of(config.out):
        raise LfdError(f"torchrun's processes write into a folder that all of them see, --out is '{config.out}'")
    if config.batch_rows % count:
        raise LfdError(f"--batch-rows is {config.batch_rows}, expected a multiple of {count}, torchrun's processes")


@contextmanager
def shared(config: TrainConfig) -> Iterator[Share]:
    """Gives this process its share; it has found the others then. All but the first are silent and write nothing.

    Raises:
        LfdError: what is asked for cannot be shared out, or there are more processes than GPUs.
    """
    if not started_by_torchrun():
        yield Share()
        return
    check_shared(config)
    on_gpu = config.train_on != "cpu" and torch.cuda.is_available()
    if on_gpu:
        place, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= here:
            wanted = os.environ.get("LOCAL_WORLD_SIZE", "?")
            raise LfdError(f"torchrun started {wanted} processes here, there are {here} GPUs; start one for each")
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    if dist.get_rank():
        sys.stdout = open(os.devnull, "w")
    try:
        yield Share(dist.get_rank(), dist.get_world_size())
        dist.barrier()  # leave together: torchrun ends the others where one of them fails
    finally:
        dist.destroy_process_group()  # ends its threads; one that frees a tensor while Python ends aborts the process
