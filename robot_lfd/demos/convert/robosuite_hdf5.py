"""Imports robosuite's raw HDF5 demos: first state and actions are played again in the installed robosuite."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from robot_lfd.demos.convert.hdf5 import json_in, numbers_in, reading, text_in
from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.robosuite_settings import OldWorld, env_keywords, world_of
from robot_lfd.demos.convert.staging import adding_to, simulating
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import NO_LIMIT, make_env
from robot_lfd.errors import LfdError


@dataclass(frozen=True)
class RawDemo:
    """One demo as robosuite wrote it.

    Attributes:
        actions: (T, A) float64, as the person's device gave them: robosuite's controllers clip them to [-1, 1].
        states: (T, S) float64, [time, qpos, qvel] before each action.
        model: the MJCF of the world, written by the robosuite of that time.
        id: the id that it gets in the dataset; None: the next one.
    """

    name: str
    actions: np.ndarray
    states: np.ndarray
    model: str
    id: str | None = None


@dataclass(frozen=True)
class RawFile:
    """A whole file, read and checked before anything is written."""

    name: str
    sha256: str
    attributes: dict[str, Any]
    env_info: dict[str, Any]
    demos: tuple[RawDemo, ...]


def import_robosuite_hdf5(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, Any]:
    """Adds the demos of robosuite's raw HDF5 file to the dataset `out` and returns what became of each.

    Each demo's first state is set, its actions are played open loop, and what the simulation then does is stored:
    observations, states, rewards. A demo that no longer succeeds is stored with success False. Demos that are in the
    dataset already are left out.

    Raises:
        LfdError: a file that is none of robosuite's, a damaged one, or settings that the installed robosuite has not.
    """
    raw = read_file(source, options)
    env_id, keywords = env_keywords(raw.env_info)
    env = make_env(
        env_id, cameras=options.cameras, size_px=options.size_px, max_episode_steps=NO_LIMIT, **_playing(keywords)
    )
    try:
        worlds = [world_of(demo.model, demo.states[0], arm_of(env)) for demo in raw.demos]
        _check_actions(raw, env)
        with adding_to(out):
            store = DemoStore.open_or_create(out, make_spec(env_id, env, keywords))
            rows = _play_all(env, store, raw, worlds)
    finally:
        env.close()
    _print_table(rows, raw, out)
    played = [r for r in rows if r["id"] is not None]
    return {
        "format": "robosuite",
        "source": str(source),
        "out": str(out),
        "env": env_id,
        "env_kwargs": keywords,
        "robosuite_then": str(raw.attributes.get("repository_version", "unknown")),
        "imported": len(played),
        "already_there": len(rows) - len(played),
        "succeeded": sum(r["success"] for r in played),
        "demos": rows,
    }


def read_file(source: Path, options: ImportOptions) -> RawFile:
    """Returns the file's demos in the order of their numbers, checked.

    Raises:
        LfdError: no such file, not HDF5, not robosuite's layout, or a damaged demo.
    """
    with reading(source) as file:
        data = file.get("data")
        if not isinstance(data, h5py.Group) or "env_info" not in data.attrs:
            raise LfdError(f"'{source}' is no raw robosuite file: it has no group 'data' with an 'env_info'")
        names = list(enumerate(sorted(data, key=_number_in)))[options.some]
        demos = tuple(_read_demo(data, name, source, options.id_of(number)) for number, name in names)
        attributes = {k: _plain(v) for k, v in data.attrs.items() if k != "env_info"}
        env_info = json_in(data, "env_info")
    if not demos:
        raise LfdError(f"'{source}' holds no demos")
    return RawFile(source.name, hashlib.sha256(source.read_bytes()).hexdigest(), attributes, env_info, demos)


def _number_in(name: str) -> tuple[int, str]:
    digits = "".join(c for c in name if c.isdigit())
    return int(digits) if digits else 0, name


def _plain(value: Any) -> Any:
    whole = isinstance(value, (np.integer, np.bool_)) or (isinstance(value, np.floating) and np.isfinite(value))
    return value.item() if whole else str(value)


def _read_demo(data: h5py.Group, name: str, source: Path, episode_id: str | None) -> RawDemo:
    group: Any = data[name]
    missing = [k for k in ("actions", "states") if not isinstance(group, h5py.Group) or k not in group]
    missing += [] if "model_file" in group.attrs else ["attribute model_file"]
    if missing:
        raise LfdError(f"'{source}': {name} has no {' and no '.join(missing)}; is this a file of robomimic?")
    actions, states = (numbers_in(group, k, ndim=2).astype(np.float64) for k in ("actions", "states"))
    if len(actions) != len(states) or len(actions) == 0:
        raise LfdError(
            f"'{source}': {name} has actions {actions.shape} and states {states.shape}, expected (T, .) both"
        )
    return RawDemo(name, actions, states, text_in(group, "model_file"), episode_id)


def _playing(keywords: dict[str, Any]) -> dict[str, Any]:
    return {**keywords, "terminate_on_success": False}


def _check_actions(raw: RawFile, env: gym.Env) -> None:
    for demo in raw.demos:
        if demo.actions.shape[1:] != env.action_space.shape:
            raise LfdError(
                f"'{raw.name}': {demo.name} has actions of {demo.actions.shape[1]} dimensions, "
                f"the installed robosuite takes {env.action_space.shape} with these settings"
            )


def _play_all(env: gym.Env, store: DemoStore, raw: RawFile, worlds: list[OldWorld]) -> list[dict[str, Any]]:
    there = {_origin(store.attributes(i).get("meta", {})): i for i in store.ids(deleted=True)}
    bar = Progress(
        TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn(),
        console=Console(file=sys.stderr), disable=not sys.stderr.isatty(),
    )  # fmt: skip
    rows = []
    with bar:
        task = bar.add_task("", total=sum(len(d.actions) for d in raw.demos))
        for demo, world in zip(raw.demos, worlds, strict=True):
            if (raw.sha256, demo.name) in there:
                rows.append({"demo": demo.name, "id": None, "steps": len(demo.actions), "note": "already there"})
            else:
                with simulating(raw.name, demo.name, len(rows)):
                    rows.append(_play(env, store, raw, demo, world))
            bar.advance(task, len(demo.actions))
    return rows


def _origin(meta: dict[str, Any]) -> tuple[Any, Any]:
    source = meta.get("source", {})
    return source.get("sha256"), source.get("demo")


def _play(env: gym.Env, store: DemoStore, raw: RawFile, demo: RawDemo, world: OldWorld) -> dict[str, Any]:
    """Plays one demo, stores it and returns its row of the report."""
    tape = Tape(env)
    tape.reset(options={"model": world.text, "sim_state": world.first_state})
    first_success = None
    for step, action in enumerate(np.clip(demo.actions, -1.0, 1.0).astype(np.float32)):
        *_, info = tape.step(action)
        if info["is_success"] and first_success is None:
            first_success = step + 1
    source = {"file": raw.name, "sha256": raw.sha256, "demo": demo.name, "attributes": raw.attributes}
    meta = {"device": "robosuite", "source": {**source, "env_info": raw.env_info}}
    episode = tape.episode(meta=meta)
    episode = episode.replace(terminated=episode.success, truncated=not episode.success)
    episode_id = store.append(episode, episode_id=demo.id)
    return {
        "demo": demo.name,
        "id": episode_id,
        "steps": len(episode),
        "success": episode.success,
        "first_success": first_success,
        **_drift(demo, episode, world),
        "note": "" if episode.success else ("succeeded, then lost it" if first_success else "no longer succeeds"),
    }


def _drift(demo: RawDemo, episode: Episode, world: OldWorld) -> dict[str, float]:
    """Returns how far the played demo strays from the recorded one: worst joint (rad), worst free object (m)."""
    away = np.abs(episode.sim_state[:-1] - demo.states[:, world.columns])
    joints, objects = away[:, world.joint_columns], away[:, world.object_columns]
    return {
        "drift_joint_rad": float(joints.max(initial=0.0)),
        "drift_object_m": float(objects.max(initial=0.0)),
        "drift_object_end_m": float(objects[-1].max(initial=0.0)),
    }


def _print_table(rows: list[dict[str, Any]], raw: RawFile, out: Path) -> None:
    then = raw.attributes.get("repository_version", "unknown")
    table = Table(title=f"{raw.name} (robosuite {then}) -> {out}")
    for name in ("demo", "steps", "succeeds", "first at", "joint drift", "object drift", "note"):
        table.add_column(name, justify="left" if name in ("demo", "note") else "right")
    for row in rows:
        if row["id"] is None:
            table.add_row(row["demo"], str(row["steps"]), "", "", "", "", row["note"])
            continue
        first = "" if row["first_success"] is None else str(row["first_success"])
        drifts = f"{row['drift_joint_rad']:.4f} rad", f"{1000 * row['drift_object_m']:.1f} mm"
        table.add_row(row["demo"], str(row["steps"]), "yes" if row["success"] else "no", first, *drifts, row["note"])
    Console().print(table)
