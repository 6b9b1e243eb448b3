"""Re-simulation: from model, first state and actions the environment makes the same episode again, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.journal import Attempt
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.tape import Tape
from robot_lfd.errors import LfdError

LAST_BITS = 4


@dataclass(frozen=True)
class Difference:
    """Where a re-simulated array first leaves the recorded one: the row, and the largest difference in that row."""

    array: str
    step: int
    size: float

    def __str__(self) -> str:
        return f"{self.array} differs from step {self.step} on, by {self.size:.3g}"


def play(
    env: gym.Env,
    model: str,
    sim_state: np.ndarray,
    seed: int | None,
    actions: Sequence[Any],
    look: Callable[[], None] = lambda: None,
) -> Tape:
    """Returns the tape of the actions played from a first state on; `look` is called after the reset and each step."""
    tape = Tape(env)
    tape.play(actions, seed=seed, options={"model": model, "sim_state": sim_state}, look=look)
    return tape


def play_again(env: gym.Env, episode: Episode, look: Callable[[], None] = lambda: None) -> Episode:
    """Returns what the recorded actions do now, all of them: an episode may go on beyond its success.

    Raises:
        LfdError: the episode was cut at its start, so its first state is none that a reset can build.
    """
    if cut_at_start(episode):
        raise LfdError("was trimmed at its start, and only whole beginnings can be simulated again")
    tape = play(env, episode.model, episode.sim_state[0], episode.meta.get("seed"), list(episode.action), look)
    return tape.episode(time=episode.time, intervention=episode.intervention, meta=dict(episode.meta))


def cut_at_start(episode: Episode) -> bool:
    """Returns whether the first steps of a recording are missing."""
    return episode.meta.get("trimmed", [0])[0] != 0


def comes_again(episode: Episode) -> bool:
    """Returns whether a re-simulation is expected to give every bit: not of a cut one, nor of states from elsewhere."""
    return not cut_at_start(episode) and episode.meta.get("resimulates") is not False


def rebuild(env: gym.Env, spec: DatasetSpec, attempt: Attempt, model: str) -> Episode:
    """Returns the episode of an interrupted attempt. Its times are those of the journal.

    One that the person had kept comes back as it was kept.

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
    if attempt.kept is not None:
        return _as_kept(episode, attempt.kept)
    return episode if episode.terminated else episode.replace(truncated=True)  # the crash cut it


def _as_kept(episode: Episode, kept: dict[str, Any]) -> Episode:
    flags = {name: bool(kept[name]) for name in ("success", "terminated", "truncated")}
    meta = {**episode.meta, **kept["meta"]}
    return episode.replace(time=np.array(kept["time"], np.float64), meta=meta, **flags)


def first_difference(recorded: Episode, again: Episode) -> Difference | None:
    """Returns the earliest difference in state, observations or reward; None where every bit is equal.

    Rewards may differ in their last bits: they are distances, and numpy's BLAS adds in another order on another
    processor. Pictures are left out: another renderer or graphics card draws the same world with other bits.
    """
    then, now = recorded.arrays(), again.arrays()
    names = [n for n in then if n in ("sim_state", "reward") or n.startswith("obs/")]
    found = [d for n in names if (d := _compare(n, then[n], now.get(n)))]
    return min(found, key=lambda d: d.step, default=None)


def _compare(name: str, then: np.ndarray, now: np.ndarray | None) -> Difference | None:
    if now is None or now.shape != then.shape:
        return Difference(name, 0, float("inf"))
    unlike = _beyond_last_bits(then, now) if name == "reward" else then != now
    rows = np.argwhere(unlike.reshape(len(then), -1).any(1))
    if len(rows) == 0:
        return None
    step = int(rows[0][0])
    gap = np.abs(then[step].astype(np.float64) - now[step].astype(np.float64))
    return Difference(name, step, float(np.max(gap)))


def _beyond_last_bits(then: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Returns which numbers differ by more than LAST_BITS steps between neighbouring numbers of the largest one's size.

    A small reward is the rest of a subtraction of large terms, whose last bits it inherits.
    """
    return np.abs(then - now) > LAST_BITS * np.spacing(np.abs(then).max(initial=0.0))
