"""Statistics of a dataset: per feature and over its episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robot_lfd.demos.store import DemoStore, EpisodeInfo

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
PICTURES_FROM = 16  # episodes whose pictures are looked at
PICTURES_OF_EACH = 8


def feature_stats(rows: np.ndarray) -> dict[str, Any]:
    """Returns min, max, mean, std and quantiles of each dimension of `rows`, (N, ...), as lists.

    Pictures, (N, H, W, 3) uint8, are summed up per channel.
    """
    if rows.ndim == 4 and rows.dtype == np.uint8:
        rows = rows.reshape(-1, rows.shape[-1])
    values = rows.astype(np.float64)
    quantiles = np.quantile(values, QUANTILES, axis=0)
    return {
        "rows": len(rows),
        "min": values.min(0).tolist(),
        "max": values.max(0).tolist(),
        "mean": values.mean(0).tolist(),
        "std": values.std(0).tolist(),
        "quantiles": {f"{q:g}": v.tolist() for q, v in zip(QUANTILES, quantiles, strict=True)},
    }


def dataset_stats(
    store: DemoStore, ids: Sequence[str], *, tick: Callable[[], None] = lambda: None
) -> dict[str, dict[str, Any]]:
    """Returns the statistics of every feature over the episodes named; pictures are sampled."""
    pictures = {p for p in store.spec.features if p.startswith("images/")}
    numbers = [p for p in store.spec.features if p not in pictures]
    looked_at = set(ids[:: max(1, len(ids) // PICTURES_FROM)])
    rows: dict[str, list[np.ndarray]] = {p: [] for p in store.spec.features}
    for episode_id in ids:
        for path, array in store.arrays(episode_id, numbers).items():
            rows[path].append(array)
        for path, array in store.arrays(episode_id, pictures if episode_id in looked_at else ()).items():
            rows[path].append(array[:: max(1, len(array) // PICTURES_OF_EACH)])
        tick()
    return {p: feature_stats(np.concatenate(parts)) for p, parts in rows.items() if parts}


def episode_stats(infos: Sequence[EpisodeInfo], control_hz: float) -> dict[str, Any]:
    """Returns counts, successes and durations of episodes, in all and by operator, device, tag and split."""
    lengths = np.array([i.length for i in infos])
    solved = sum(i.success for i in infos)
    return {
        "episodes": len(infos),
        "steps": int(lengths.sum()),
        "duration_s": float(lengths.sum() / control_hz),
        "successes": solved,
        "success_rate": solved / len(infos) if infos else None,
        "length": _spread(lengths),
        "operators": _counts(i.operator for i in infos),
        "devices": _counts(i.device for i in infos),
        "tags": _counts(t for i in infos for t in i.tags),
        "splits": _counts(i.split for i in infos),
        "groups": _groups(infos, control_hz),
    }


def _groups(infos: Sequence[EpisodeInfo], control_hz: float) -> list[dict[str, Any]]:
    """Returns success and duration of all episodes, and of each operator, device, split and tag."""
    groups: dict[tuple[str, str], list[EpisodeInfo]] = {("all", ""): list(infos)} if infos else {}
    for by in ("operator", "device", "split", "tag"):
        for info in infos:
            for name in info.tags if by == "tag" else (getattr(info, by),):
                if name:
                    groups.setdefault((by, name), []).append(info)
    return [_group(by, name, members, control_hz) for (by, name), members in groups.items()]


def _group(by: str, name: str, infos: list[EpisodeInfo], control_hz: float) -> dict[str, Any]:
    lengths = np.array([i.length for i in infos])
    seconds = {k: v / control_hz for k, v in (_spread(lengths) or {}).items()}
    solved = sum(i.success for i in infos)
    return {
        "by": by,
        "name": name,
        "episodes": len(infos),
        "successes": solved,
        "steps": int(lengths.sum()),
        "seconds": seconds,
    }


def _counts(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(n for n in names if n).items()))


def _spread(lengths: np.ndarray) -> dict[str, float] | None:
    if not len(lengths):
        return None
    middle = float(np.median(lengths))
    return {"min": int(lengths.min()), "median": middle, "mean": float(lengths.mean()), "max": int(lengths.max())}
