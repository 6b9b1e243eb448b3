"""Imports robomimic's HDF5.

The recorded simulator states are set one by one in the installed robosuite and observed there, so that files without
observations, without a model or with other observation names all come in alike, and cameras can be added.

Source: https://robomimic.github.io/docs/datasets/overview.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

from robot_lfd.demos.convert.hdf5 import group_in, json_in, numbers_in, reading, text_in, texts_in
from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.robomimic_export import ROBOSUITE, demo_names, import_own_export
from robot_lfd.demos.convert.staging import adding_to, simulating
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import play_again
from robot_lfd.demos.show import progress
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import NO_LIMIT, make_env
from robot_lfd.errors import LfdError

SPLITS = ("train", "valid", "test")  # robomimic's usual filters; others become tags


@dataclass(frozen=True)
class MimicDemo:
    """A demo as robomimic stores it: T steps, T states, each before its action."""

    name: str
    action: np.ndarray  # (T, A) float32
    reward: np.ndarray  # (T,) float32
    states: np.ndarray  # (T, S) float64
    model: str  # "" where the file has none
    labels: dict[str, Any]  # split and tags
    id: str | None  # that it gets in the dataset; None: the next one


def import_robomimic_hdf5(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, Any]:
    """Adds the demos of a robomimic file to the dataset `out` and returns what became of each.

    Demos that are in the dataset already are left out. The whole file is checked before the first one is stored.

    Raises:
        LfdError: a file of another kind, a damaged one, or an environment that cannot be built.
    """
    with reading(source) as file:
        data = group_in(file, "data")
        if "lfd_spec" in data.attrs:
            return import_own_export(data, out, options.some)
        env_args = json_in(data, "env_args")
        labels = _labels(file, len(data))
        names = list(enumerate(demo_names(data)))[options.some]
        demos = [_read_demo(data, name, labels, options.id_of(number)) for number, name in names]
    if not demos:
        raise LfdError(f"'{source}' holds no demos")
    env_id, keywords = _environment(env_args)
    pictures = {"cameras": options.cameras, "size_px": options.size_px}
    env = make_env(env_id, max_episode_steps=NO_LIMIT, terminate_on_success=False, **pictures, **keywords)
    try:
        _check(demos, env, source)
        env.reset(seed=0)
        worlds = [_world(arm_of(env), demo) for demo in demos]
        origin = {"file": source.name, "sha256": _sha256(source), "format": "robomimic", "env_args": env_args}
        with adding_to(out):
            store = DemoStore.open_or_create(out, make_spec(env_id, env, keywords))
            rows = _observe_all(env, store, demos, worlds, origin, options.open_loop)
    finally:
        env.close()
    _print_rows(rows, source, out)
    return _report(rows, env_id, keywords)


def _labels(file: h5py.File, demos: int) -> dict[str, dict[str, Any]]:
    """Returns split and tags of each demo, from the file's filters: `mask/train` names the demos to train on."""
    labels: dict[str, dict[str, Any]] = {}
    masks = group_in(file, "mask") if "mask" in file else {}
    for mask in sorted(masks):
        for name in texts_in(group_in(file, "mask"), mask, at_most=demos):
            if mask in SPLITS:
                labels.setdefault(name, {})["split"] = mask
            elif mask not in ("success", "failure"):
                labels.setdefault(name, {}).setdefault("tags", []).append(mask)
    return labels


def _read_demo(data: h5py.Group, name: str, labels: dict[str, dict[str, Any]], episode_id: str | None) -> MimicDemo:
    group = group_in(data, name)
    action = numbers_in(group, "actions", ndim=2)
    T = len(action)
    if T == 0 or "states" not in group:
        raise LfdError(f"'{data.file.filename}': {name} has no {'states' if T else 'steps'} and cannot be imported")
    states = numbers_in(group, "states", rows=T, ndim=2)
    reward = numbers_in(group, "rewards", rows=T, ndim=1) if "rewards" in group else np.zeros(T)
    model = text_in(group, "model_file") if "model_file" in group.attrs else ""
    numbers = action.astype(np.float32), reward.astype(np.float32), states.astype(np.float64)
    return MimicDemo(name, *numbers, model, labels.get(name, {}), episode_id)


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
    env: gym.Env,
    store: DemoStore,
    demos: list[MimicDemo],
    worlds: list[tuple[str, np.ndarray]],
    origin: dict[str, Any],
    open_loop: bool,
) -> list[dict[str, Any]]:
    there = set()
    for episode_id in store.ids(deleted=True):
        known = store.attributes(episode_id).get("meta", {}).get("source") or {}
        there.add((known.get("sha256"), known.get("demo")))
    rows = []
    with progress("importing", sum(len(d.action) for d in demos)) as advance:
        for demo, world in zip(demos, worlds, strict=True):
            row: dict[str, Any] = {"demo": demo.name, "steps": len(demo.action)}
            if (origin["sha256"], demo.name) not in there:
                with simulating(origin["file"], demo.name, len(rows)):
                    episode = _observe(env, demo, world, {**origin, "demo": demo.name})
                    row |= _play_open_loop(env, episode) if open_loop else {}
                row |= {"id": store.append(episode, episode_id=demo.id), "success": episode.success}
            rows.append(row)
            advance(len(demo.action))
    return rows


def _observe(env: gym.Env, demo: MimicDemo, world: tuple[str, np.ndarray], origin: dict[str, Any]) -> Episode:
    """Returns the episode that the recorded states show; the one after the last action is simulated."""
    arm = arm_of(env)
    model, states = world
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
        meta={"device": "robomimic", "source": origin, "resimulates": False, **demo.labels},
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
    again = play_again(env, episode)
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
