"""Images: what was seen, as arrays that stay in the order of time; stacks of frames are formed when they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from policies.pixel_actor import PixelBatch
from policies.pixel_soft import PixelTransitions
from policies.sharing import Share
from robot_lfd.demos.cache import FlatDemos
from robot_lfd.train.rows import features

Vectors = Callable[["Sights", np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class Sights:
    """M observations in the order in which they were made, and N rows to learn from.

    Attributes:
        pictures: (M, H, W, 3) uint8 of each camera, each picture once. proprio: (M, P). state: (M, D); D may be 0.
        first: (M,) int64, the first observation of the same episode.
        row: (N,) int64, the observation that each step saw; where transitions are drawn, the next one followed.
        action: (N, A), what is to be done there. terminated: (N,) bool, whether the task itself ended there.
        on_device: the same pictures on a GPU, where there is one; empty: they are read from `pictures`.
    """

    pictures: tuple[np.ndarray, ...]
    proprio: np.ndarray
    state: np.ndarray
    first: np.ndarray
    row: np.ndarray
    action: np.ndarray
    terminated: np.ndarray
    on_device: tuple[torch.Tensor, ...] = ()

    def stacked(self, seen: np.ndarray, stack: int) -> torch.Tensor:
        """Returns (B, K, S, H, W, 3) uint8: the last S frames up to each observation; the first one repeats."""
        frames = np.maximum(seen[:, None] - np.arange(stack - 1, -1, -1), self.first[seen][:, None])  # (B, S)
        if self.on_device:
            index = torch.from_numpy(frames).to(self.on_device[0].device)
            return torch.stack([camera[index] for camera in self.on_device], 1)
        return torch.from_numpy(np.stack([camera[frames] for camera in self.pictures], 1))

    def put(self, i: int, pictures: Sequence[np.ndarray], proprio: np.ndarray, state: np.ndarray, first: int) -> None:
        """Writes observation `i`."""
        for number, picture in enumerate(pictures):
            self.pictures[number][i] = picture
            if self.on_device:
                self.on_device[number][i] = torch.from_numpy(np.ascontiguousarray(picture))
        self.proprio[i], self.state[i], self.first[i] = proprio, state, first

    def moved_to(self, device: torch.device, filled: int | None = None) -> Sights:
        """Returns the same with the first `filled` pictures on `device` too; a CPU reads them where they are."""
        if device.type == "cpu":
            return self
        copies: tuple[torch.Tensor, ...] = tuple(_copied(p, device, filled) for p in self.pictures)
        return replace(self, on_device=copies)

    def flush(self) -> None:
        """Sees that what lies in files is there."""
        for array in (*self.pictures, self.proprio, self.state, self.first, self.row, self.action, self.terminated):
            if isinstance(array, np.memmap):
                array.flush()


def _copied(pictures: np.ndarray, device: torch.device, filled: int | None) -> torch.Tensor:
    room = torch.empty(pictures.shape, dtype=torch.uint8, device=device)
    room[:filled] = torch.from_numpy(np.array(pictures[:filled])).to(device)
    return room


def demo_sights(demos: FlatDemos, cameras: Sequence[str], felt: Sequence[str], known: Sequence[str]) -> Sights:
    """Returns all steps of all demos. `felt` and `known` name the proprioception and the simulator's state."""
    steps = np.arange(len(demos))
    lengths = np.diff(demos.episode_ends, prepend=0) + 1
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = len(first)
    proprio, state = (_columns(demos, keys, rows) for keys in (felt, known))
    pictures = tuple(demos.obs[f"images/{c}"] for c in cameras)
    action = np.asarray(demos.action, np.float32)
    return Sights(pictures, proprio, state, first, demos.obs_rows(steps), action, demos.is_terminal(steps))


def _columns(demos: FlatDemos, keys: Sequence[str], rows: int) -> np.ndarray:
    if not keys:
        return np.zeros((rows, 0), np.float32)
    return features({k: demos.obs[k].reshape(rows, -1) for k in keys}, keys)


def mapped_sights(
    folder: Path, cameras: Sequence[str], steps: int, observations: int, like: Sights, mode: Literal["r+", "c"] = "r+"
) -> Sights:
    """Returns room for so many steps and observations, shaped as those of `like`, mapped from files in `folder`.

    What the files hold is kept; what was not written yet takes no place on the disk.

    Args:
        mode: "c" leaves the files, made before, as they are: what is written stays in memory.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def mapped(name: str, length: int, of: np.ndarray) -> np.ndarray:
        shape, file = (length, *of.shape[1:]), folder / f"{name}.bin"
        size = int(np.prod(shape)) * of.dtype.itemsize
        with file.open("ab") as handle:
            if mode == "r+":
                handle.truncate(size)
        return np.memmap(file, of.dtype, mode, shape=shape) if size else np.zeros(shape, of.dtype)

    seen: dict[str, Any] = {k: mapped(k, observations, getattr(like, k)) for k in ("proprio", "state", "first")}
    done: dict[str, Any] = {k: mapped(k, steps, getattr(like, k)) for k in ("row", "action", "terminated")}
    seen["pictures"] = tuple(
        mapped(f"images+{c}", observations, p) for c, p in zip(cameras, like.pictures, strict=True)
    )
    return Sights(**seen, **done)


def draw(
    rng: np.random.Generator, sources: Sequence[tuple[Sights, int]], rows: int, stack: int,
    vectors: Vectors | None = None, share: Share = Share(),
) -> PixelBatch:  # fmt: skip
    """Returns `rows` rows, each row of all sources alike. A source is sights and how many of its rows are filled.

    Args:
        vectors: gives what frozen encoders say of observations, in the place of pictures.
        share: of the rows, where several processes share them out; `rows` counts them all.
    """
    ends = np.cumsum([count for _, count in sources])
    drawn = share.of(np.sort(rng.integers(ends[-1], size=rows)))
    parts = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
    begins = [0, *ends[:-1].tolist()]
    return _together(
        [_taken(s, p - b, stack, vectors) for (s, _), p, b in zip(sources, parts, begins, strict=True) if len(p)]
    )


def draw_transitions(
    rng: np.random.Generator, expert: Sights, replay: tuple[Sights, int] | None, rows: int, stack: int,
    vectors: Vectors | None = None, share: Share = Share(),
) -> PixelTransitions:  # fmt: skip
    """Returns `rows` expert transitions and as many of the replay's filled ones; see `rows.draw` and `draw`."""
    other, count = (expert, len(expert.row)) if replay is None else replay
    first, second = (share.of(rng.integers(n, size=rows)) for n in (len(expert.row), count))
    picked = [(expert, first), (other, second)]
    now = _together([_taken(s, which, stack, vectors) for s, which in picked])
    after = [(s, s.row[which] + 1) for s, which in picked]
    device = now.pictures.device

    def both(arrays: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(device)

    return PixelTransitions(
        now, torch.cat([_looked(s, seen, stack, vectors) for s, seen in after]),
        both([s.proprio[seen] for s, seen in after]), both([s.state[seen] for s, seen in after]),
        both([s.terminated[which] for s, which in picked]), torch.arange(2 * len(first), device=device) < len(first),
    )  # fmt: skip


def _taken(sights: Sights, which: np.ndarray, stack: int, vectors: Vectors | None) -> PixelBatch:
    seen = sights.row[which]
    rest = (torch.from_numpy(a) for a in (sights.proprio[seen], sights.action[which], sights.state[seen]))
    return PixelBatch(_looked(sights, seen, stack, vectors), *rest)


def _looked(sights: Sights, seen: np.ndarray, stack: int, vectors: Vectors | None) -> torch.Tensor:
    return sights.stacked(seen, stack) if vectors is None else vectors(sights, seen)


def _together(parts: list[PixelBatch]) -> PixelBatch:
    """Returns the rows of all parts, on the device of their pictures."""
    pictures = torch.cat([p.pictures for p in parts])
    rest = zip(*[p[1:] for p in parts], strict=True)
    return PixelBatch(pictures, *(torch.cat(column).to(pictures.device) for column in rest))
