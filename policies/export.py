"""Files of an actor that run without this project: TorchScript for libtorch, ONNX for every other runtime."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from policies.candidates import CandidateRows
from policies.networks import DiscreteCriticEnsemble, TanhGaussianActor
from policies.pixel_actor import PixelActor
from policies.sequence_cloning import ChunkActor, PlainActor

Runner = Callable[[np.ndarray], np.ndarray]  # raw observations (B, D) float32 -> actions (B, A) float32 or (B,) int64
OPSET = 17


class ChunkRows(nn.Module):
    """A `ChunkActor` as a function without memory: observations (B, D) to all actions said at once, (B, T A)."""

    def __init__(self, actor: ChunkActor) -> None:
        super().__init__()
        self.actor, self.normaliser = actor, actor.normaliser

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the actions, one after the other."""
        return self.actor.chunk(obs).flatten(1)


class PixelRows(nn.Module):
    """A `PixelActor` as a function without memory, of rows (B, P + K S H W 3).

    A row holds what the arm feels, then camera by camera the last S pictures, the latest last, numbers from 0 to 255.
    """

    def __init__(self, actor: PixelActor) -> None:
        super().__init__()
        self.actor, self.normaliser = actor, actor.normaliser

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the actions, (B, A), one after the other where several are decided on at once."""
        sight, felt = self.actor.sight, len(self.normaliser.mean)
        shape = (-1, sight.cameras, sight.stack, sight.size_px, sight.size_px, 3)
        return self.actor.best(obs[:, felt:].reshape(shape) / 255.0 - 0.5, obs[:, :felt])


Network = TanhGaussianActor | PlainActor | DiscreteCriticEnsemble | CandidateRows | ChunkRows | PixelRows


class BestAction(nn.Module):
    """Observations (B, D), as the environment gives them, to the best actions (B, A), discrete ones (B,)."""

    def __init__(self, actor: Network) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the best actions; the normalisation is inside."""
        return self.actor.best(obs)


def write_torchscript(actor: Network, width: int, path: Path, about: dict[str, Any]) -> None:
    """Writes the actor as TorchScript; `about` is inside it as `policy.json`."""
    module = BestAction(actor).eval()
    with torch.no_grad(), _fixed_sizes():
        traced = torch.jit.trace(module, torch.zeros(2, width))
    torch.jit.save(traced, str(path), _extra_files={"policy.json": json.dumps(about)})


def write_onnx(actor: Network, width: int, path: Path, about: dict[str, Any]) -> None:
    """Writes the actor as ONNX with inputs `obs` (batch, D) and outputs `action` (batch, A); `about` is its metadata.

    Raises:
        ImportError: the package onnx is not installed.
    """
    import onnx  # pyright: ignore[reportMissingImports]

    axes = {"obs": {0: "batch"}, "action": {0: "batch"}}
    with _fixed_sizes():
        torch.onnx.export(
            BestAction(actor).eval(), (torch.zeros(2, width),), str(path),
            input_names=["obs"], output_names=["action"], dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    onnx.helper.set_model_props(model, {"policy.json": json.dumps(about)})
    onnx.save(model, str(path))


@contextmanager
def _fixed_sizes() -> Iterator[None]:
    """Silences the tracer, which warns of every size that it takes for granted: they are the network's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        yield


def open_torchscript(path: Path) -> Runner:
    """Returns the file's own function."""
    module = torch.jit.load(str(path))

    def run(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(obs)).numpy()

    return run


def open_onnx(path: Path) -> Runner:
    """Returns the file's function as onnxruntime runs it on the CPU. Raises ImportError where that is missing."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda obs: np.asarray(session.run(["action"], {"obs": obs})[0])
