"""Computing: where pixel networks are trained, resolved once and said with its reason."""

from __future__ import annotations

import torch

from policies.looking import Compute
from robot_lfd.config import TrainConfig
from robot_lfd.errors import LfdError


def computing(config: TrainConfig) -> tuple[Compute, str]:
    """Returns where to compute, and why, in words. Raises LfdError where a GPU was asked for and there is none."""
    there = torch.cuda.is_available()
    if config.train_on == "cuda" and not there:
        raise LfdError(
            "--train-on cuda: torch finds no GPU here (lfd doctor says what it has); leave it out to use the CPU"
        )
    if config.train_on == "cpu" or not there:
        return Compute(), "on the CPU (" + ("as told)" if config.train_on == "cpu" else "torch finds no GPU)")
    name = torch.cuda.get_device_name()
    return Compute(torch.device("cuda"), half=True, compile=True), f"on the GPU ({name}; bfloat16 encoders, compiled)"
