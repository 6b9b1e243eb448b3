"""Minari's datasets, both ways: `<folder>/data/main_data.hdf5` with T + 1 observations, and `metadata.json`.

Source: https://minari.farama.org/main/content/dataset_standards/ ; Minari 0.5, hdf5 storage.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np

from robot_lfd.demos.convert.hdf5 import group_in, numbers_in, reading
from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.rest import (
    Rest,
    bare_episode,
    reading_rest,
    store_all,
    write_rest,
    writing_rest,
)
from robot_lfd.demos.convert.robomimic_export import mimic_key
from robot_lfd.demos.convert.staging import new_folder
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError

MINARI_VERSION = "0.5.4"


def export_minari(
    store: DemoStore, ids: list[str], out: Path, *, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Writes episodes as a Minari dataset; pictures are stored as they are, not as JPEG."""
    total, highest = 0, 0
    with new_folder(out) as staged:
        (staged / "data").mkdir()
        with h5py.File(staged / "data" / "main_data.hdf5", "w") as file, writing_rest(staged, store.spec) as rest:
            for number, episode_id in enumerate(ids):
                episode = store[episode_id]
                _write_episode(file.create_group(f"episode_{number}"), number, episode)
                write_rest(rest, number, episode_id, episode)
                total += len(episode)
                highest = max(highest, int(episode.action.max()))
                tick()
        metadata = _metadata(store.spec, out.name, len(ids), total, highest)
        (staged / "data" / "metadata.json").write_text(json.dumps(metadata))
    return {"demos": len(ids), "steps": total}


def _write_episode(group: h5py.Group, number: int, episode: Episode) -> None:
    T = len(episode)
    group.attrs["id"], group.attrs["total_steps"] = number, T
    if isinstance(episode.meta.get("seed"), int):
        group.attrs["seed"] = episode.meta["seed"]
    for key, seen in episode.obs.items():
        squeeze = {"compression": "gzip", "compression_opts": 1} if seen.ndim == 4 else {}
        group.create_dataset(f"observations/{mimic_key(key)}", data=seen, **squeeze)
    group["actions"], group["rewards"] = episode.action, episode.reward
    last = np.arange(T) == T - 1
    group["terminations"], group["truncations"] = last & episode.terminated, last & episode.truncated
    group["infos/success"] = np.concatenate([[False], last & episode.success])  # one more: of the reset


def _metadata(spec: DatasetSpec, name: str, episodes: int, steps: int, highest: int) -> dict[str, Any]:
    seen = {mimic_key(p.removeprefix("obs/")): f for p, f in spec.features.items() if p.startswith(("obs/", "images/"))}
    action = spec.features["action"]
    discrete = {"type": "Discrete", "dtype": "int64", "start": 0, "n": highest + 1}
    action_space = discrete if action["dtype"] == "int64" else _box(action, -1.0, 1.0)
    metadata: dict[str, Any] = {
        "total_episodes": episodes,
        "total_steps": steps,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": json.dumps({"type": "Dict", "subspaces": {k: _any_box(f) for k, f in seen.items()}}),
        "action_space": json.dumps(action_space),
        "dataset_id": f"{name if '-v' in name else name + '-v0'}",
        "minari_version": MINARI_VERSION,
        "algorithm_name": "human demos, recorded with lfd",
    }
    if spec.env_id in gym.registry:
        described = copy.deepcopy(gym.spec(spec.env_id))  # the registry's own: what is set on it, every make would get
        keywords = dict(spec.env_kwargs)
        described.max_episode_steps = keywords.pop("max_episode_steps", described.max_episode_steps)
        described.kwargs = {**described.kwargs, **keywords}
        metadata["env_spec"] = described.to_json()
    return metadata


def _any_box(feature: dict[str, Any]) -> dict[str, Any]:
    return _box(feature, 0, 255) if feature["dtype"] == "uint8" else _box(feature, -np.inf, np.inf)


def _box(feature: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    shape, dtype = tuple(feature["shape"]), feature["dtype"]
    bounds = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": dtype, "shape": list(shape), **bounds}


def import_minari(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, Any]:
    """Adds the episodes of a Minari dataset to the dataset `out`; actions are rescaled to [-1, 1].

    Args:
        source: the folder that holds `data/`, or `data/` itself.

    Raises:
        LfdError: no Minari dataset, a damaged one, or spaces that have no counterpart here.
    """
    root = source.parent if source.name == "data" else source
    metadata = _read_metadata(root / "data" / "metadata.json")
    env_id = options.env_id or _env_id(metadata, source)
    with reading(root / "data" / "main_data.hdf5") as file, reading_rest(root) as rest:
        count = metadata.get("total_episodes")
        if type(count) is not int or count < 1:
            raise LfdError(f"'{source}' says that it holds {count!r} episodes, expected one or more")
        numbers = range(count)[: options.max_demos]
        rescale = _rescaling(metadata) if rest is None else lambda action: action
        hz = options.control_hz if options.control_hz is not None else _control_hz(env_id)

        def read() -> Iterator[tuple[str | None, Episode]]:
            return (_read(file, n, rest, rescale, hz, source) for n in numbers)

        return store_all(source, out, read, rest, env_id, hz, options)


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise LfdError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(metadata, dict):
        raise LfdError(f"'{path}' is no JSON object")
    if metadata.get("data_format", "hdf5") != "hdf5":
        raise LfdError(f"'{path}' says that its data are in the format {metadata['data_format']!r}, expected hdf5")
    return metadata


def _env_id(metadata: dict[str, Any], source: Path) -> str:
    try:
        found = json.loads(metadata["env_spec"])["id"]
    except (KeyError, TypeError, ValueError):
        found = None
    if not isinstance(found, str):
        raise LfdError(f"'{source}' does not say which environment its demos are of; name it with --env")
    return found


def _control_hz(env_id: str) -> float:
    """Returns the environment's own rate where it is known here, else 20. A file cannot make us import a module."""
    if env_id not in gym.registry:
        return 20.0
    from robot_lfd.envs.contract import arm_of
    from robot_lfd.envs.registry import make_env

    try:
        env = make_env(env_id)
    except LfdError:
        return 20.0
    try:
        return float(arm_of(env).control_hz)
    finally:
        env.close()


def _rescaling(metadata: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what brings the dataset's actions into [-1, 1], as `make_env` does with the environment's."""
    try:
        space = json.loads(metadata["action_space"])
    except (KeyError, TypeError, ValueError):
        return lambda action: action
    if not isinstance(space, dict) or space.get("type") not in ("Box", "Discrete"):
        kind = space.get("type") if isinstance(space, dict) else space
        raise LfdError(f"the actions are of the kind {kind!r}, expected Box or Discrete")
    if space["type"] == "Discrete":
        return lambda action: action - int(space.get("start", 0))
    low, high = (np.asarray(space.get(k), np.float64) for k in ("low", "high"))
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (high > low).all()):
        raise LfdError("the actions have no finite bounds, so they cannot be brought into [-1, 1]")
    return lambda action: (2.0 * (action - low) / (high - low) - 1.0).astype(np.float32)


def _read(
    file: h5py.File,
    number: int,
    rest: Rest | None,
    rescale: Callable[[np.ndarray], np.ndarray],
    control_hz: float,
    source: Path,
) -> tuple[str | None, Episode]:
    group = group_in(file, f"episode_{number}")
    action = numbers_in(group, "actions")
    T = len(action)
    if T == 0:
        raise LfdError(f"'{source}': episode_{number} has no steps")
    obs = dict(_observations(group, T))
    reward = numbers_in(group, "rewards", rows=T, ndim=1)
    if rest is not None:
        names = {mimic_key(p.removeprefix("obs/")): p.removeprefix("obs/") for p in rest.spec.features}
        return rest.complete(number, {names[k]: v[:-1] for k, v in obs.items() if k in names}, action, reward)
    terminated = bool(numbers_in(group, "terminations", rows=T, ndim=1)[-1])
    seed = group.attrs.get("seed")
    meta = {"device": "minari", "source": {"file": source.name, "demo": number}}
    meta |= {"seed": int(seed)} if isinstance(seed, (int, np.integer)) else {}
    named = {f"images/{k}" if v.ndim == 4 and v.dtype == np.uint8 else k: v for k, v in obs.items()}
    episode = bare_episode(
        named, rescale(action), reward, control_hz, success=_success(group), terminated=terminated, meta=meta
    )
    return None, episode


def _observations(group: h5py.Group, T: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the observations, those of nested groups under names with dots."""
    if isinstance(group.get("observations"), h5py.Dataset):
        yield "state", _two_axes(numbers_in(group, "observations", rows=T + 1))
        return
    waiting = [("", group_in(group, "observations"))]
    while waiting:
        prefix, node = waiting.pop()
        for name in sorted(node):
            if isinstance(node.get(name), h5py.Group):
                waiting.append((f"{prefix}{name}.", group_in(node, name)))
            else:
                yield f"{prefix}{name}", _two_axes(numbers_in(node, name, rows=T + 1))


def _two_axes(rows: np.ndarray) -> np.ndarray:
    return rows[:, None] if rows.ndim == 1 else rows


def _success(group: h5py.Group) -> bool | None:
    infos = group.get("infos")
    if not isinstance(infos, h5py.Group) or "success" not in infos:
        return None
    return bool(numbers_in(infos, "success").ravel()[-1])
