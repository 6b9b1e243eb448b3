"""Writes robomimic's HDF5, and reads back what was written so.

The file holds what robomimic's reader wants, and beside it, where robomimic does not look, the rest: times, the state
after the last action, labels. So it comes back bit for bit and under the old ids.

Source: https://robomimic.github.io/docs/datasets/overview.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robot_lfd.demos.convert.hdf5 import group_in, json_in, numbers_in, text_in
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.store import ID, DemoStore
from robot_lfd.errors import LfdError

ROBOSUITE, GYM = 1, 2  # robomimic's numbers for kinds of environments


def export_robomimic_hdf5(
    store: DemoStore, ids: list[str], out: Path, *, tick: Callable[[int], None] = lambda n: None
) -> dict[str, Any]:
    """Writes episodes as a robomimic file, which appears whole or not at all."""
    with writing(out) as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env_args_of(store.spec))
        data.attrs["lfd_spec"] = json.dumps(store.spec.to_json())
        masks: dict[str, list[str]] = {}
        total = 0
        for number, episode_id in enumerate(ids):
            episode, info = store[episode_id], store.info(episode_id)
            _write_demo(data.create_group(f"demo_{number}"), episode, episode_id)
            groups = ["success" if info.success else "failure", *info.tags, *([info.split] if info.split else [])]
            for name in groups:
                masks.setdefault(name.replace("/", "_"), []).append(f"demo_{number}")
            total += len(episode)
            tick(1)
        data.attrs["total"] = total
        for name, members in masks.items():
            file.create_dataset(f"mask/{name}", data=np.array(members, "S"))
    return {"demos": len(ids), "steps": total}


@contextmanager
def writing(out: Path) -> Iterator[h5py.File]:
    """Gives a new HDF5 file, which gets its name when everything is written."""
    if out.exists():
        raise LfdError(f"'{out}' exists already; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f".{out.name}.part")
    try:
        with h5py.File(staged, "w") as file:
            yield file
        staged.rename(out)
    finally:
        staged.unlink(missing_ok=True)


def env_args_of(spec: DatasetSpec) -> dict[str, Any]:
    """Returns what robomimic builds the environment from."""
    family, _, task = spec.env_id.partition("/")
    if family != "robosuite":
        return {"env_name": spec.env_id, "type": GYM, "env_kwargs": spec.env_kwargs}
    from robot_lfd.envs.robosuite_env import controller_config

    known = ("robots", "controller", "control_hz", "gripper", "task_options", "terminate_on_success")
    robots, kwargs = spec.env_kwargs.get("robots", "Panda"), spec.env_kwargs
    env_kwargs = {
        "robots": [robots],
        "control_freq": spec.control_hz,
        "controller_configs": controller_config(robots, kwargs.get("controller")),
        "gripper_types": kwargs.get("gripper", "default"),
        "use_object_obs": True,
        "reward_shaping": True,
        **kwargs.get("task_options", {}),
        **{k: v for k, v in kwargs.items() if k not in known},
    }
    version = spec.versions.get("robosuite", "")
    return {"env_name": task.removesuffix("-v0"), "type": ROBOSUITE, "env_version": version, "env_kwargs": env_kwargs}


def mimic_key(key: str) -> str:
    """Returns the name of an observation in robomimic's style: `images/front` is `front_image`."""
    return f"{key.removeprefix('images/')}_image" if key.startswith("images/") else key


def _write_demo(group: h5py.Group, episode: Episode, episode_id: str) -> None:
    T = len(episode)
    group.attrs["num_samples"] = T
    if episode.model:
        group.attrs["model_file"] = episode.model
    dones = np.zeros(T, np.int64)
    dones[-1] = 1
    arrays = {"actions": episode.action, "rewards": episode.reward, "dones": dones, "states": episode.sim_state[:-1]}
    for key, seen in episode.obs.items():
        arrays[f"obs/{mimic_key(key)}"] = seen[:-1]
        arrays[f"next_obs/{mimic_key(key)}"] = seen[1:]
    arrays |= {"lfd/time": episode.time, "lfd/intervention": episode.intervention}
    arrays |= {"lfd/last_state": episode.sim_state[-1:]}
    for path, array in arrays.items():
        squeeze = {"compression": "gzip", "compression_opts": 1} if array.ndim == 4 else {}
        group.create_dataset(path, data=array, **squeeze)
    flags = {k: bool(getattr(episode, k)) for k in ("success", "terminated", "truncated")}
    group.attrs["lfd"] = json.dumps({"id": episode_id, "meta": episode.meta, **flags})


def import_own_export(data: h5py.Group, out: Path, some: slice) -> dict[str, Any]:
    """Brings back what `export_robomimic_hdf5` wrote, bit for bit and under the old ids."""
    spec = DatasetSpec.from_json(json_in(data, "lfd_spec"))
    names = demo_names(data)[some]
    for name in names:  # all of it is looked at before any of it is stored, one demo in memory at a time
        spec.check(_read_own(group_in(data, name), spec)[1])
    store, new, steps = DemoStore.open_or_create(out, spec), 0, 0
    for name in names:
        episode_id, episode = _read_own(group_in(data, name), spec)
        if episode_id not in store:
            store.append(episode, episode_id=episode_id)
            new, steps = new + 1, steps + len(episode)
    return {"env": spec.env_id, "imported": new, "already_there": len(names) - new, "steps": steps}


def _read_own(group: h5py.Group, spec: DatasetSpec) -> tuple[str, Episode]:
    said = json_in(group, "lfd")
    action = numbers_in(group, "actions")
    extra, obs_group, next_group = (group_in(group, n) for n in ("lfd", "obs", "next_obs"))
    T, obs = len(action), {}
    for path in spec.features:
        if path.startswith(("obs/", "images/")):
            key = path.removeprefix("obs/")
            first, after = (numbers_in(g, mimic_key(key), rows=T) for g in (obs_group, next_group))
            obs[key] = np.concatenate([first, after[-1:]])
    states = np.concatenate([numbers_in(group, "states", rows=T), numbers_in(extra, "last_state", rows=1)])
    episode = Episode(
        obs=obs,
        action=action,
        reward=numbers_in(group, "rewards", rows=T),
        sim_state=states,
        time=numbers_in(extra, "time", rows=T),
        intervention=numbers_in(extra, "intervention", rows=T),
        success=bool(said["success"]),
        terminated=bool(said["terminated"]),
        truncated=bool(said["truncated"]),
        model=text_in(group, "model_file") if "model_file" in group.attrs else "",
        meta=dict(said["meta"]),
    )
    if not ID.fullmatch(str(said["id"])):
        raise LfdError(f"'{group.file.filename}': {group.name} has the id {said['id']!r}, which no demo can have")
    return str(said["id"]), episode


def demo_names(data: h5py.Group) -> list[str]:
    """Returns the names of the demos by their numbers: demo_2 before demo_10."""
    return sorted(data, key=lambda n: (int("".join(c for c in n if c.isdigit()) or 0), n))
