"""The rest: what a foreign format has no place for, in one HDF5 file beside what it has.

An export to a format that holds T observations, actions and rewards gets `lfd.hdf5` with the observation after the last
action, simulator states, times, who drove, labels and models, so that importing it again gives every bit back. Readers
of the other tools do not look at it. Without it, `bare_episode` makes the best of what there is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robot_lfd.demos.convert.hdf5 import group_in, json_in, numbers_in, reading, text_in
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.convert.staging import adding_to
from robot_lfd.demos.episode import Episode, array_path
from robot_lfd.demos.layout import array_checksum
from robot_lfd.demos.spec import DatasetSpec, software_versions
from robot_lfd.demos.store import ID, DemoStore
from robot_lfd.errors import LfdError

REST = "lfd.hdf5"


@contextmanager
def writing_rest(folder: Path, spec: DatasetSpec) -> Iterator[h5py.File]:
    """Gives the file of the rest, to be fed to `write_rest` for each episode."""
    with h5py.File(folder / REST, "w") as file:
        file.attrs["lfd_spec"] = json.dumps(spec.to_json())
        file.create_group("models")
        yield file


def write_rest(file: h5py.File, number: int, episode_id: str, episode: Episode) -> None:
    """Writes what of an episode has no place elsewhere."""
    group = file.create_group(f"episode_{number}")
    for key, seen in episode.obs.items():
        group[f"last/{array_path(key)}"] = seen[-1:]
    for name in ("sim_state", "time", "intervention"):
        group[name] = getattr(episode, name)
    flags = {k: bool(getattr(episode, k)) for k in ("success", "terminated", "truncated")}
    models: dict[str, str] = {str(m.attrs["text"]): str(n) for n, m in file["models"].items()}  # type: ignore[union-attr]
    if episode.model and episode.model not in models:
        models[episode.model] = f"models/{len(models)}"
        file.create_group(models[episode.model]).attrs["text"] = episode.model
    model = models.get(episode.model, "").rpartition("/")[2]
    group.attrs["lfd"] = json.dumps({"id": episode_id, "meta": episode.meta, "model": model, **flags})


class Rest:
    """Reads the rest again.

    Raises:
        LfdError: the file is damaged.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.spec = DatasetSpec.from_json(json_in(file, "lfd_spec"))

    def said(self, name: str) -> dict[str, Any]:
        """Returns a further note of the export, {} where there is none."""
        return json_in(self._file, name) if name in self._file.attrs else {}

    def complete(
        self, number: int, obs: dict[str, np.ndarray], action: np.ndarray, reward: np.ndarray, **meta: Any
    ) -> tuple[str, Episode]:
        """Returns id and episode for its T observations, actions and rewards; `meta` is added to what was known."""
        group = group_in(self._file, f"episode_{number}")
        said, T = json_in(group, "lfd"), len(action)
        whole: dict[str, np.ndarray] = {}
        for key, seen in obs.items():
            last = numbers_in(group_in(group, "last"), array_path(key), rows=1)
            if last.shape[1:] != seen.shape[1:] or last.dtype != seen.dtype:
                raise LfdError(f"'{self._file.filename}': {array_path(key)} does not fit the data beside it")
            whole[key] = np.concatenate([seen, last])
        model = text_in(group_in(self._file, f"models/{said['model']}"), "text") if said.get("model") else ""
        steps: dict[str, Any] = {k: numbers_in(group, k) for k in ("sim_state", "time", "intervention")}
        flags: dict[str, Any] = {k: bool(said[k]) for k in ("success", "terminated", "truncated")}
        if len(steps["time"]) != T or not ID.fullmatch(str(said["id"])):
            raise LfdError(f"'{self._file.filename}': episode {number} does not fit the data beside it")
        episode = Episode(whole, action, reward, **steps, **flags, model=model, meta={**said["meta"], **meta})
        self.spec.check(episode)
        return str(said["id"]), episode


@contextmanager
def reading_rest(folder: Path) -> Iterator[Rest | None]:
    """Gives the rest of an export, None where this program did not write it."""
    if not (folder / REST).is_file():
        yield None
        return
    with reading(folder / REST) as file:
        yield Rest(file)


def bare_spec(env_id: str, control_hz: float, episode: Episode) -> DatasetSpec:
    """Returns the spec of a foreign dataset, from its first episode."""
    features = {
        path: {"shape": list(array.shape[1:]), "dtype": str(array.dtype), "unit": "1", "names": None}
        for path, array in episode.arrays().items()
        if path != "sim_state"
    }
    return DatasetSpec(env_id, {}, control_hz, features, software_versions())


def bare_episode(
    obs: dict[str, np.ndarray],
    action: np.ndarray,
    reward: np.ndarray | None,
    control_hz: float,
    *,
    success: bool | None = None,
    terminated: bool = False,
    meta: dict[str, Any] | None = None,
) -> Episode:
    """Returns an episode of another tool's data, which has no simulator state: it cannot be re-simulated.

    Args:
        obs: T or T + 1 rows each; where the one after the last action is missing, the last one is repeated.
        success: None where the data do not say: taken as True, for demos are kept because they succeeded.
    """
    T = len(action)
    whole = {}
    for key, seen in obs.items():
        rows = seen if len(seen) == T + 1 else np.concatenate([seen, seen[-1:]])
        whole[key] = rows if rows.dtype == np.uint8 and rows.ndim == 4 else np.asarray(rows, np.float32)
    low = [np.reshape(v, (T + 1, -1)) for v in whole.values() if v.dtype != np.uint8]
    ticks = np.arange(T) / control_hz
    discrete = action.dtype.kind in "iu"
    return Episode(
        obs=whole,
        action=action.astype(np.int64 if discrete else np.float32),
        reward=np.zeros(T, np.float32) if reward is None else np.asarray(reward, np.float32),
        sim_state=np.concatenate(low, 1).astype(np.float64) if low else np.zeros((T + 1, 1)),
        time=np.stack([ticks, ticks], 1),
        intervention=np.zeros(T, bool),
        success=True if success is None else success,
        terminated=terminated,
        truncated=not terminated,
        meta={**(meta or {}), "resimulates": False},
    )


Read = Callable[[], Iterator[tuple[str | None, Episode]]]


def store_all(
    source: Path, out: Path, read: Read, rest: Rest | None, env_id: str, control_hz: float, options: ImportOptions
) -> dict[str, Any]:
    """Adds the episodes that `read` yields to a dataset, one in memory at a time; what is there already is left out.

    Raises:
        LfdError: one of them does not fit the others; all are looked at before the first one is stored. A damaged
            source may still read otherwise the second time; then no new dataset is left.
    """
    if rest is None and not env_id:
        raise LfdError(f"'{source}' does not say which environment its demos are of; name it with --env")
    spec = rest.spec if rest else None
    for number, (_, episode) in enumerate(read()):
        spec = spec or bare_spec(env_id, control_hz, episode)
        try:
            spec.check(episode)
        except LfdError as error:
            raise LfdError(f"'{source}': episode {number}: {error}") from error
    if spec is None:
        raise LfdError(f"'{source}' holds no episodes")
    with adding_to(out, whole=True):
        return _store(read, DemoStore.open_or_create(out, spec), options)


def _store(read: Read, store: DemoStore, options: ImportOptions) -> dict[str, Any]:
    new, there, steps = 0, 0, 0
    known = {_fingerprint(store.attributes(i)["checksums"], store.attributes(i)["meta"]) for i in _healthy(store)}
    for number, (episode_id, episode) in enumerate(read()):
        sums = {path: array_checksum(array) for path, array in episode.arrays().items()}
        if _fingerprint(sums, episode.meta) in known if episode_id is None else episode_id in store:
            there += 1
            continue
        store.append(episode, episode_id=episode_id or options.id_of(number))
        new, steps = new + 1, steps + len(episode)
    return {"env": store.spec.env_id, "imported": new, "already_there": there, "steps": steps}


def _healthy(store: DemoStore) -> Iterator[str]:
    for episode_id in store.ids(deleted=True):
        with suppress(LfdError):
            store.attributes(episode_id)
            yield episode_id


def _fingerprint(checksums: dict[str, str], meta: dict[str, Any]) -> str:
    """Returns what tells foreign episodes apart: where in the source they stood, and every number of them."""
    return json.dumps([(meta.get("source") or {}).get("demo"), checksums], sort_keys=True)
