"""Re-simulation: from model, first state and actions the environment makes the same episode again, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.journal import Attempt
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.tape import Tape
from robot_lfd.errors import LfdError


def play(env: gym.Env, model: str, sim_state: np.ndarray, seed: int | None, actions: Sequence[Any]) -> Tape:
    """Returns the tape of the actions played from a first state on."""
    tape = Tape(env)
    tape.reset(seed=seed, options={"model": model, "sim_state": sim_state})
    for action in actions:
        tape.step(action)
    return tape


def rebuild(env: gym.Env, spec: DatasetSpec, attempt: Attempt, model: str) -> Episode:
    """Returns the episode of an interrupted attempt. Its times are those of the journal.

    Raises:
        LfdError: an action is none that the environment takes.
    """
    dtype, shape = spec.features["action"]["dtype"], tuple(spec.features["action"]["shape"])
    try:
        actions = np.array(attempt.actions, dtype)
    except (TypeError, ValueError) as error:
        raise LfdError(f"journal of {attempt.reference}: an action is no array of numbers") from error
    if actions.shape[1:] != shape:
        raise LfdError(f"journal of {attempt.reference}: actions have shape {actions.shape[1:]}, expected {shape}")
    tape = play(env, model, attempt.sim_state, attempt.seed, list(actions))
    ticks = np.arange(len(actions)) / spec.control_hz
    times = np.stack([ticks, np.array(attempt.seconds) - attempt.seconds[0]], 1)
    exact = tape.start()["options"]["sim_state"].tobytes() == attempt.sim_state.tobytes()
    meta = {**attempt.meta, "rebuilt": {"from": attempt.reference, "exact_start": exact}}
    episode = tape.episode(time=times, meta=meta)
    return episode if episode.terminated else episode.replace(truncated=True)  # the crash cut it


def first_difference(recorded: Episode, again: Episode) -> tuple[str, int] | None:
    """Returns array and row where a re-simulated episode first leaves the recorded one; None where all bits agree.

    Pictures are left out: another renderer draws the same world with other bits.
    """
    then, now = recorded.arrays(), again.arrays()
    found: list[tuple[int, str]] = []
    for name, array in then.items():
        if name not in ("sim_state", "reward") and not name.startswith("obs/"):
            continue
        if name not in now or now[name].shape != array.shape:
            return name, 0
        rows = np.argwhere((array != now[name]).reshape(len(array), -1).any(1))
        found += [(int(rows[0][0]), name)] if len(rows) else []
    return (min(found)[1], min(found)[0]) if found else None
