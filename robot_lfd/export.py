"""`lfd export`: a policy as one file that runs without this project, checked equal before it counts as written."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.config import ExportConfig
from robot_lfd.errors import LfdError

TOLERANCE = 1e-5
ROWS, PICTURE_ROWS, CALLS = 256, 32, 500
SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}
GET_ONNX = "pip install 'robot-lfd[onnx]'"


def run(config: ExportConfig) -> dict[str, Any]:
    """Writes the file beside the run or where asked, compares it with the policy, and times it."""
    from robot_lfd import load_policy

    policy: Any = load_policy(config.run)
    network = policy.actor  # a kind that cannot be exported says so before anything is written
    path = config.out or _beside(config, policy)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = _about(policy.spec, network.normaliser)
    try:
        measured = _measure(policy, _write(config.format, network, part, about), about["width"])
        about["measured"] = measured
        _write(config.format, network, part, about)  # the same file, with what was measured of it inside
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    path.with_name(path.name + ".json").write_text(json.dumps(about, indent=1) + "\n")
    found = {k: measured[k] for k in ("largest_error", "p50_ms", "p99_ms")}
    print(
        f"{path}: equal to {found['largest_error']:.1g}; "
        f"one observation takes p50 {found['p50_ms']:.3f} ms, p99 {found['p99_ms']:.3f} ms"
    )
    return {"file": str(path), "format": config.format, **found}


def _measure(policy: Any, answer: Any, width: int) -> dict[str, Any]:
    """Returns how far the file is from the policy and how long it takes. Raises LfdError where it differs."""
    error = largest_error(policy, answer)
    if not error <= TOLERANCE:
        raise LfdError(f"the file differs from the policy by {error:.2g}, expected {TOLERANCE:g}; it was not kept")
    p50_ms, p99_ms = latency_ms(answer, width)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, one thread"
    return {"largest_error": error, "p50_ms": p50_ms, "p99_ms": p99_ms, "calls": CALLS, "machine": machine}


def _beside(config: ExportConfig, policy: Any) -> Path:
    return policy.path / f"policy{SUFFIXES[config.format]}"


def _about(spec: Any, normaliser: Any) -> dict[str, Any]:
    """Returns what someone needs who runs the file: which observations, side by side in which order.

    `mean` and `std` are those of the demos, by which the file itself normalises: inputs are raw, pictures from 0 to
    255, each camera's last `frame_stack` of them side by side, the latest last; at the beginning the first one repeats.
    Without pictures it is the whole row of features that stands there so often.
    The first `actions_to_do` of the actions are done before the file is asked again.
    """
    at_once, to_do = _actions(spec)
    box = {"action_size": spec.action_size, "action_range": [-1.0, 1.0]}
    box |= {"actions_at_once": at_once, "actions_to_do": to_do}
    inputs = [{"key": k, "size": s * n} for k, s, n in zip(spec.features, spec.sizes, _frames(spec), strict=True)]
    inputs *= _rows(spec)
    return {
        "inputs": inputs,
        "width": sum(i["size"] for i in inputs),
        **({"frame_stack": spec.frame_stack} if spec.actor == "pixels" or spec.frame_stack > 1 else {}),
        "mean": normaliser.mean.tolist(),
        "std": normaliser.std.tolist(),
        **({"actions": spec.action_size} if spec.discrete else box),
        "control_hz": spec.control_hz,
        "env": spec.env_id,
        "env_kwargs": spec.env_kwargs,
        "algo": spec.algo,
        "step": spec.step,
    }


def _write(kind: str, network: Any, path: Path, about: dict[str, Any]) -> Any:
    """Writes the file and returns its own function, as a stranger would call it."""
    from policies import export

    try:
        if kind == "onnx":
            export.write_onnx(network, about["width"], path, about)
            return export.open_onnx(path)
    except ImportError as error:
        raise LfdError(
            f"ONNX needs packages that are not installed ({error.name}); get them with: {GET_ONNX}"
        ) from error
    export.write_torchscript(network, about["width"], path, about)
    return export.open_torchscript(path)


def largest_error(policy: Any, answer: Any) -> float:
    """Returns the largest difference from the policy's own actions, on observations around and far off the demos'."""
    spec = policy.spec
    rng = np.random.default_rng(0)
    observations = [_drawn(rng, spec) for _ in range(PICTURE_ROWS if spec.actor == "pixels" else ROWS)]
    own = np.stack([_decision(policy, obs) for obs in observations])
    found = answer(np.stack([_row(obs, spec) for obs in observations]))
    return float(np.abs(found[:, : own.shape[1]] - own).max() if own.ndim > 1 else np.abs(found - own).max())


def _actions(spec: Any) -> tuple[int, int]:
    """Returns how many actions one answer holds, and how many of them are done."""
    return (spec.window, spec.execute) if spec.actor in ("chunk", "pixels") else (spec.decided, spec.decided)


def _decision(policy: Any, obs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns what the policy does of one decision, action after action; an int64 scalar where they are discrete."""
    policy.reset()
    actions = [policy.act(obs) for _ in range(_actions(policy.spec)[1])]
    return actions[0] if len(actions) == 1 else np.concatenate(actions)


def _drawn(rng: np.random.Generator, spec: Any) -> dict[str, np.ndarray]:
    """Returns one observation: numbers of several sizes, and pictures of noise."""
    scale = rng.choice([0.1, 1.0, 10.0])
    return {
        key: (rng.integers(0, 256, size) if key.startswith("images/") else scale * rng.normal(size=size)).astype(
            np.float32
        )
        for key, size in zip(spec.features, spec.sizes, strict=True)
    }


def _frames(spec: Any) -> list[int]:
    """Returns how often each feature stands in a row: a picture as often as frames are stacked."""
    return [spec.frame_stack if key.startswith("images/") else 1 for key in spec.features]


def _rows(spec: Any) -> int:
    """Returns how often the row of all features stands in the file's: once where pictures are what is stacked."""
    return 1 if spec.actor == "pixels" else spec.frame_stack


def _row(obs: dict[str, np.ndarray], spec: Any) -> np.ndarray:
    """Returns the file's row for the first observation of an episode."""
    once = [np.tile(obs[key], n) for key, n in zip(spec.features, _frames(spec), strict=True)]
    return np.tile(np.concatenate(once), _rows(spec))


def latency_ms(answer: Any, width: int) -> tuple[float, float]:
    """Returns the median and the 99th percentile of what one observation takes, milliseconds."""
    row = np.zeros((1, width), np.float32)
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer(row)
        taken.append(1000.0 * (time.perf_counter() - began))
    return float(np.percentile(taken[20:], 50)), float(np.percentile(taken[20:], 99))
