"""robomimic's HDF5, both ways.

Import: the recorded simulator states are set one by one in the installed robosuite and observed there, so that files
without observations, without a model or with other observation names all come in alike, and cameras can be added.
Export: what robomimic's reader wants, and beside it, where robomimic does not look, the rest: it comes back exactly.

Source: https://robomimic.github.io/docs/datasets/overview.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

from robot_lfd.demos.convert.hdf5 import group_in, json_in, numbers_in, reading, text_in
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import play
from robot_lfd.demos.show import progress
from robot_lfd.demos.spec import DatasetSpec, make_spec
from robot_lfd.demos.store import ID, DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

ROBOSUITE, GYM = 1, 2  # robomimic's numbers for kinds of environments
NO_LIMIT = 10_000_000


@dataclass(frozen=True)
class MimicDemo:
    """A demo as robomimic stores it: T steps, T states, each before its action."""

    name: str
    action: np.ndarray  # (T, A) float32
    reward: np.ndarray  # (T,) float32
    states: np.ndarray  # (T, S) float64
    model: str  # "" where the file has none


def import_robomimic_hdf5(
    source: Path,
    out: Path,
    *,
    cameras: tuple[str, ...] = (),
    size_px: int = 84,
    max_demos: int | None = None,
    open_loop: bool = True,
) -> dict[str, Any]:
    """Adds the demos of a robomimic file to the dataset `out` and returns what became of each.

    Demos that are in the dataset already are left out. The whole file is checked before the first one is stored.

    Args:
        open_loop: also plays each demo's actions from its first state and reports success and drift.

    Raises:
        LfdError: a file of another kind, a damaged one, or an environment that cannot be built.
    """
    with reading(source) as file:
        data = group_in(file, "data")
        if "lfd_spec" in data.attrs:
            return _import_own(data, out, max_demos)
        env_args = json_in(data, "env_args")
        demos = [_read_demo(data, name) for name in demo_names(data)[:max_demos]]
    if not demos:
        raise LfdError(f"'{source}' holds no demos")
    env_id, keywords = _environment(env_args)
    env = make_env(
        env_id, cameras=cameras, size_px=size_px, max_episode_steps=NO_LIMIT, terminate_on_success=False, **keywords
    )
    try:
        _check(demos, env, source)
        store = DemoStore.open_or_create(out, make_spec(env_id, env, keywords))
        origin = {"file": source.name, "sha256": _sha256(source), "format": "robomimic", "env_args": env_args}
        rows = _observe_all(env, store, demos, origin, open_loop)
    finally:
        env.close()
    _print_rows(rows, source, out)
    return _report(rows, env_id, keywords)


def demo_names(data: h5py.Group) -> list[str]:
    """Returns the names of the demos by their numbers: demo_2 before demo_10."""
    return sorted(data, key=lambda n: (int("".join(c for c in n if c.isdigit()) or 0), n))


def _read_demo(data: h5py.Group, name: str) -> MimicDemo:
    group = group_in(data, name)
    action = numbers_in(group, "actions", ndim=2)
    T = len(action)
    if T == 0 or "states" not in group:
        raise LfdError(f"'{data.file.filename}': {name} has no {'states' if T else 'steps'} and cannot be imported")
    states = numbers_in(group, "states", rows=T, ndim=2)
    reward = numbers_in(group, "rewards", rows=T, ndim=1) if "rewards" in group else np.zeros(T)
    model = text_in(group, "model_file") if "model_file" in group.attrs else ""
    return MimicDemo(name, action.astype(np.float32), reward.astype(np.float32), states.astype(np.float64), model)


def _environment(env_args: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind, kwargs = env_args.get("type"), env_args.get("env_kwargs")
    if kind != ROBOSUITE or not isinstance(kwargs, dict):
        raise LfdError(f"the demos are of '{env_args.get('env_name')}', kind {kind}, expected robosuite's, kind 1")
    from robot_lfd.demos.convert.robosuite_settings import env_keywords

    return env_keywords({**kwargs, "env_name": env_args.get("env_name")})


def _check(demos: list[MimicDemo], env: gym.Env, source: Path) -> None:
    for demo in demos:
        if demo.action.shape[1:] != env.action_space.shape:
            found, wanted = demo.action.shape[1], env.action_space.shape
            raise LfdError(
                f"'{source}': {demo.name} has actions of {found} dimensions, this environment takes {wanted}"
            )
        if np.abs(demo.action).max() > 1.0:
            raise LfdError(f"'{source}': {demo.name} has actions beyond [-1, 1]")


def _observe_all(
    env: gym.Env, store: DemoStore, demos: list[MimicDemo], origin: dict[str, Any], open_loop: bool
) -> list[dict[str, Any]]:
    there = set()
    for episode_id in store.ids(deleted=True):
        known = store.attributes(episode_id).get("meta", {}).get("source") or {}
        there.add((known.get("sha256"), known.get("demo")))
    env.reset(seed=0)
    rows = []
    with progress("importing", sum(len(d.action) for d in demos)) as advance:
        for demo in demos:
            row: dict[str, Any] = {"demo": demo.name, "steps": len(demo.action)}
            if (origin["sha256"], demo.name) not in there:
                episode = _observe(env, demo, {**origin, "demo": demo.name})
                row |= _play_open_loop(env, episode) if open_loop else {}
                row |= {"id": store.append(episode), "success": episode.success}
            rows.append(row)
            advance(len(demo.action))
    return rows


def _observe(env: gym.Env, demo: MimicDemo, origin: dict[str, Any]) -> Episode:
    """Returns the episode that the recorded states show; the one after the last action is simulated."""
    arm = arm_of(env)
    model, states = _world(arm, demo)
    seen: list[dict[str, np.ndarray]] = []
    for k, state in enumerate(states):
        obs, _ = env.reset(options={"model": model if k == 0 else "", "sim_state": state})
        seen.append({key: np.array(value) for key, value in obs.items()})
    last, *_ = env.step(demo.action[-1])
    seen.append({key: np.array(value) for key, value in last.items()})
    success = bool(demo.reward[-1] > 0)
    ticks = np.arange(len(demo.action)) / arm.control_hz
    return Episode(
        obs={k: np.stack([o[k] for o in seen]) for k in seen[0]},
        action=demo.action,
        reward=demo.reward,
        sim_state=np.concatenate([states, arm.sim_state()[None]]),
        time=np.stack([ticks, ticks], 1),
        intervention=np.zeros(len(ticks), bool),
        success=success,
        terminated=success,
        truncated=not success,
        model=arm.model(),
        meta={"device": "robomimic", "source": origin, "resimulates": False},
    )


def _world(arm: Any, demo: MimicDemo) -> tuple[str, np.ndarray]:
    if demo.model:
        from robot_lfd.demos.convert.robosuite_settings import world_of

        world = world_of(demo.model, demo.states[0], arm)
        return world.text, demo.states[:, world.columns]
    expected = arm.sim_state().shape
    if demo.states.shape[1:] != expected:
        found = demo.states.shape[1]
        raise LfdError(f"{demo.name} has states of {found} numbers, the installed robosuite's world has {expected[0]}")
    return "", demo.states


def _play_open_loop(env: gym.Env, episode: Episode) -> dict[str, Any]:
    """Returns whether the actions alone, from the first state on, still succeed, and how far the states drift."""
    again = play(env, episode.model, episode.sim_state[0], None, list(episode.action)).episode()
    away = np.abs(again.sim_state[:-1, 1:] - episode.sim_state[:-1, 1:])
    moved = [k for k in episode.obs if k in ("eef_pos", "object_pos")]
    drift = {k: np.linalg.norm(again.obs[k][:-1] - episode.obs[k][:-1], axis=1).max() for k in moved}
    return {
        "open_loop_success": again.success,
        "state_drift": float(away.max()),
        **{f"drift_{k}_m": float(v) for k, v in drift.items()},
    }


def _print_rows(rows: list[dict[str, Any]], source: Path, out: Path) -> None:
    table = Table("demo", "steps", "succeeds", "played open loop", "gripper drift", "object drift")
    for row in rows:
        table.add_row(row["demo"], str(row["steps"]), *_cells(row))
    console = Console()
    console.print(table)
    new = [r for r in rows if "id" in r]
    console.print(f"{len(new)} demos of '{source.name}' are in '{out}', {len(rows) - len(new)} were there already")


def _cells(row: dict[str, Any]) -> list[str]:
    if "id" not in row:
        return ["already there", "", "", ""]
    yes_no = {True: "yes", False: "no", None: ""}
    drifts = [row.get(f"drift_{k}_m") for k in ("eef_pos", "object_pos")]
    shown = ["" if d is None else f"{1000 * d:.1f} mm" for d in drifts]
    return [yes_no[row["success"]], yes_no[row.get("open_loop_success")], *shown]


def _report(rows: list[dict[str, Any]], env_id: str, keywords: dict[str, Any]) -> dict[str, Any]:
    new = [r for r in rows if "id" in r]
    played = [r for r in new if "open_loop_success" in r]
    return {
        "env": env_id,
        "env_kwargs": keywords,
        "imported": len(new),
        "already_there": len(rows) - len(new),
        "steps": sum(r["steps"] for r in new),
        "succeeded": sum(r["success"] for r in new),
        "open_loop_played": len(played),
        "open_loop_succeeded": sum(r["open_loop_success"] for r in played),
        "demos": rows,
    }


def _sha256(source: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# Export, and the way back of what this program exported


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


def _import_own(data: h5py.Group, out: Path, max_demos: int | None) -> dict[str, Any]:
    """Brings back what `export_robomimic_hdf5` wrote, bit for bit and under the old ids."""
    spec = DatasetSpec.from_json(json_in(data, "lfd_spec"))
    names = demo_names(data)[:max_demos]
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
