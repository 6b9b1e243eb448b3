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
ROWS, CALLS = 256, 500
SUFFIXES = {"torchscript": ".pt", "onnx": ".onnx"}
GET_ONNX = "pip install 'robot-lfd[onnx]'"


def run(config: ExportConfig) -> dict[str, Any]:
    """Writes the file beside the run or where asked, compares it with the policy, and times it."""
    from robot_lfd import load_policy

    policy: Any = load_policy(config.run)
    network = policy.actor  # a kind that cannot be exported says so before anything is written
    if policy.spec.discrete and config.format == "onnx":  # torch's exporter cannot write its LayerNorm
        raise LfdError(
            "only policies from one named observation to one continuous action can be exported as onnx; "
            "this one is discrete, use --format torchscript"
        )
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

    `mean` and `std` are those of the demos, by which the file itself normalises: inputs are raw.
    """
    box = {"action_size": spec.action_size, "actions_at_once": spec.decided, "action_range": [-1.0, 1.0]}
    return {
        "inputs": [{"key": k, "size": s} for k, s in zip(spec.features, spec.sizes, strict=True)],
        "width": int(sum(spec.sizes)),
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
    rows = rng.normal(size=(ROWS, sum(spec.sizes))) * rng.choice([0.1, 1.0, 10.0], (ROWS, 1))
    rows = rows.astype(np.float32)
    own = np.stack([_decision(policy, _named(row, spec)) for row in rows])
    return float(np.abs(answer(rows) - own).max())


def _decision(policy: Any, obs: dict[str, np.ndarray]) -> np.ndarray:
    """Returns all actions that the policy decides on at once, side by side; an int64 scalar where they are discrete."""
    policy.reset()
    actions = [policy.act(obs) for _ in range(policy.spec.decided)]
    return actions[0] if len(actions) == 1 else np.concatenate(actions)


def _named(row: np.ndarray, spec: Any) -> dict[str, np.ndarray]:
    parts = np.split(row, np.cumsum(spec.sizes)[:-1])
    return dict(zip(spec.features, parts, strict=True))


def latency_ms(answer: Any, width: int) -> tuple[float, float]:
    """Returns the median and the 99th percentile of what one observation takes, milliseconds."""
    row = np.zeros((1, width), np.float32)
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer(row)
        taken.append(1000.0 * (time.perf_counter() - began))
    return float(np.percentile(taken[20:], 50)), float(np.percentile(taken[20:], 99))
