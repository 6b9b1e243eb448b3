"""Rows: demos as flat arrays, a replay buffer beside them, and batches of half the one and half the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from policies.batch import Batch
from robot_lfd.demos.cache import FlatDemos


def features(obs: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray:
    """Returns the named observations side by side, (..., D) float32; leading dimensions stay as they are."""
    columns = [np.atleast_1d(obs[k]) for k in keys]
    return np.concatenate(columns, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Rows:
    """N transitions as flat arrays."""

    obs: np.ndarray  # (N, D) float32
    action: np.ndarray  # (N, A) float32
    reward: np.ndarray  # (N,) float32
    next_obs: np.ndarray  # (N, D) float32
    terminated: np.ndarray  # (N,) bool

    def __len__(self) -> int:
        return len(self.action)


def demo_rows(demos: FlatDemos, keys: Sequence[str], *, success_blind: bool = False) -> Rows:
    """Returns the transitions of all demos, one after the other.

    A demo's last step counts as terminated where the demo says so; `success_blind` hides that.
    """
    steps = np.arange(len(demos))
    seen = demos.obs_rows(steps)
    columns = features({k: demos.obs[k].reshape(len(demos.obs[k]), -1) for k in keys}, keys)
    ended = demos.is_terminal(steps) & (not success_blind)
    action = np.asarray(demos.action, np.float32)
    return Rows(columns[seen], action, np.asarray(demos.reward), columns[seen + 1], ended)


def moving(rows: Rows, still: float = 0.02) -> np.ndarray:
    """Returns which rows (N,) show something happen; the others show a person who waits and a world at rest.

    A pause is a step after which no feature has moved by more than `still` of its standard deviation, and which is no
    end. People hesitate for up to nine tenths of a demo; a policy that clones their pauses never gets going.
    Where nothing ever happens, all rows count.
    """
    scale = np.maximum(rows.obs.std(0), 0.02)  # the floor of Normaliser
    moved = (np.abs(rows.next_obs - rows.obs) / scale).max(1)
    kept = (moved > still) | rows.terminated
    return kept if kept.any() else ~kept


def without_pauses(rows: Rows) -> Rows:
    """Returns the rows in which something happens, see `moving`."""
    return taken(rows, moving(rows))


def taken(rows: Rows, which: np.ndarray) -> Rows:
    """Returns the rows that a mask or a list of indices names."""
    return Rows(*(getattr(rows, f.name)[which] for f in fields(rows)))


class Replay:
    """A ring of the last `capacity` transitions of the policy's own practice."""

    def __init__(self, capacity: int, obs_size: int, action_size: int) -> None:
        self.capacity, self.count = capacity, 0  # count: rows ever added
        self.arrays = Rows(
            np.zeros((capacity, obs_size), np.float32),
            np.zeros((capacity, action_size), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros((capacity, obs_size), np.float32),
            np.zeros(capacity, bool),
        )

    def __len__(self) -> int:
        return min(self.count, self.capacity)

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Adds one transition in the place of the oldest."""
        i, a = self.count % self.capacity, self.arrays
        a.obs[i], a.action[i], a.reward[i], a.next_obs[i], a.terminated[i] = obs, action, reward, next_obs, terminated
        self.count += 1


def draw(rng: np.random.Generator, expert: Rows, replay: Replay | None, rows: int) -> Batch:
    """Returns a Batch of `rows` expert rows and as many replay rows.

    Without a replay buffer (offline), the second half are expert rows too, marked as the policy's path: the expert's
    path is then the sample of rho, as the paper's offline setting has it.
    """
    first = rng.integers(len(expert), size=rows)
    source = expert if replay is None else replay.arrays
    second = rng.integers(len(expert) if replay is None else len(replay), size=rows)

    def both(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(expert, name)[first], getattr(source, name)[second]]))

    return Batch(
        both("obs"), both("action"), both("reward"), both("next_obs"), both("terminated"), torch.arange(2 * rows) < rows
    )
