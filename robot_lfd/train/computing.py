"""Computing: where pixel networks are trained, resolved once and said with its reason."""

from __future__ import annotations

import torch

from policies.looking import Compute
from policies.sharing import Share
from robot_lfd.errors import LfdError
from robot_lfd.train.config import TrainConfig


def computing(config: TrainConfig, share: Share = Share()) -> tuple[Compute, str]:
    """Returns where to compute, and why, in words. Raises LfdError where a GPU was asked for and there is none."""
    several = "" if share.count == 1 else f"{share.count} processes share each batch, "
    there = torch.cuda.is_available()
    if config.train_on == "cuda" and not there:
        raise LfdError(
            "--train-on cuda: torch finds no GPU here (lfd doctor says what it has); leave it out to use the CPU"
        )
    if config.train_on == "cpu" or not there:
        why = "as told" if config.train_on == "cpu" else "torch finds no GPU"
        return Compute(share=share), f"{several}on the CPU ({why})"
    name = torch.cuda.get_device_name()
    device = torch.device("cuda", torch.cuda.current_device())
    where = f"{several}on the GPU ({name}; bfloat16 encoders, compiled)"
    return Compute(device, half=True, compile=True, share=share), where
