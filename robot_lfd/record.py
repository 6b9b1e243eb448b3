"""`lfd record`: composes environment, device, window and dataset into a recording session."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

from robot_lfd import states
from robot_lfd.config import RecordConfig
from robot_lfd.demos.journal import Attempt
from robot_lfd.demos.repair import finish_kept
from robot_lfd.demos.spec import DatasetSpec, make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.demos.unfinished import unfinished_attempts
from robot_lfd.devices import make_device
from robot_lfd.driving_frames import driving_frames
from robot_lfd.envs.cameras import CameraObservation
from robot_lfd.envs.contract import ArmEnv, arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.progress import ProgressStage
from robot_lfd.rollout import Pace
from robot_lfd.saving import SaveAtOnce, SaveBeside
from robot_lfd.session import Kept, Rules, Session
from teleop.device import TeleopError
from teleop.human import HumanPolicy

ROOM_BYTES = 200_000_000  # free space without which nothing begins
SMALLEST_VIEW_PX = 32
PATIENCE_S = 120.0  # a person's time limit per episode; the environment's own is for policies


def run(config: RecordConfig, make_pace: Callable[[float], Pace] = Pace) -> dict[str, Any]:
    """Records episodes into a dataset and returns what became of them.

    Args:
        make_pace: control rate -> the clock that the session lives by.
    """
    _check(config)
    with ExitStack() as stack:
        session = _session(config, stack, make_pace)
        states.run(session, *_offered_back(config, session))
    return _report(config, session)


def _check(config: RecordConfig) -> None:
    if config.episodes < 1:
        raise LfdError(f"--episodes is {config.episodes}, expected at least 1")
    for name in ("countdown_s", "hold_s", "view_px"):
        value, least = getattr(config, name), SMALLEST_VIEW_PX if name == "view_px" else 0
        if value is not None and not value >= least:
            raise LfdError(f"--{name.replace('_', '-')} is {value}, expected at least {least}")
    place = next(p for p in (config.out.absolute(), *config.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < ROOM_BYTES:
        raise LfdError(f"disk full: {free / 1e6:.0f} MB free at '{place}', expected {ROOM_BYTES / 1e6:.0f} MB or more")


def _session(config: RecordConfig, stack: ExitStack, make_pace: Callable[[float], Pace]) -> Session:
    kwargs = _keywords(config)
    env = make_env(config.env, max_episode_steps=_time_limit(config), **kwargs, **_endless(config))
    stack.callback(env.close)
    filmed = CameraObservation(env, config.cameras, config.size_px) if config.cameras else env
    arm, spec = arm_of(env), make_spec(config.env, filmed, kwargs)
    if not isinstance(env.action_space, gym.spaces.Box):
        raise LfdError(f"environment '{config.env}' has actions {env.action_space}, expected a Box: nothing to drive")
    if config.out.exists():  # before a window opens for nothing
        _finish_kept(DemoStore.open_or_create(config.out, spec))
    window = _open_window(config, stack) if _wants_window(config) else None
    device = make_device(config.device, config.bindings, config.env, config.seed)
    stack.callback(getattr(device, "close", lambda: None))
    store = DemoStore.open_or_create(config.out, spec)
    journal = stack.enter_context(store.journal(operator=config.operator, device=device.name))
    tape = Tape(env if window else filmed, on_reset=journal.begin, on_step=journal.step)
    policy = HumanPolicy(
        device, arm.action_names, arm.action_scale, arm.action_units, arm.control_hz, window.poll if window else tuple,
        frames=None if _unattended(config) else driving_frames(arm, env.observation_space),  # a script knows the world
    )  # fmt: skip
    stage = _screen(config, window, spec, arm, store) if window else ProgressStage(config.episodes)
    stack.callback(stage.close)
    saver = SaveBeside(store.path) if window else SaveAtOnce(store)
    stack.callback(saver.close)
    seeds, rules = _seeds(config, store), _rules(config, arm, device)
    return Session(tape, policy, store, journal, saver, seeds, stage, rules, make_pace)


def _finish_kept(store: DemoStore) -> None:
    """Writes what a crash has kept from being written, before anything new begins."""
    written = finish_kept(
        store, tick=lambda a: print(f"lfd: writing an episode of {len(a.actions)} steps that was kept", file=sys.stderr)
    )
    if written:
        print(f"lfd: {len(written)} episode(s) kept before the last session broke off are written", file=sys.stderr)


def _endless(config: RecordConfig) -> dict[str, Any]:
    """Returns what lets an episode go on beyond its success, where the session itself ends it after --hold-s."""
    if config.hold_s is None:
        return {}
    if not config.env.startswith(("pybullet/", "robosuite/")):
        raise LfdError(f"--hold-s is for pybullet/ and robosuite/ environments; '{config.env}' ends as it likes")
    return {"terminate_on_success": False}


def _keywords(config: RecordConfig) -> dict[str, Any]:
    rate = {} if config.control_hz is None else {"control_hz": config.control_hz}
    return {**parse_keywords(config.env_kwargs), **rate}


def parse_keywords(words: tuple[str, ...]) -> dict[str, Any]:
    """Returns keywords for the environment from KEY=VALUE words; values as JSON where they are."""
    kwargs: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key.isidentifier() and equals):
            raise LfdError(f"--env-kwargs has '{word}', expected KEY=VALUE such as control=pose")
        try:
            kwargs[key] = json.loads(value)
        except json.JSONDecodeError:
            kwargs[key] = value
    return kwargs


def _time_limit(config: RecordConfig) -> int | None:
    """Returns a person's time limit in steps; None, the environment's own, for a script."""
    if _unattended(config):
        return None
    return round(PATIENCE_S * (config.control_hz if config.control_hz is not None else 20.0))


def _unattended(config: RecordConfig) -> bool:
    return config.device == "scripted"


def _wants_window(config: RecordConfig) -> bool:
    if config.window is False and not _unattended(config):
        raise LfdError(f"--device {config.device} needs the window; leave --window away, or use --device scripted")
    return not _unattended(config) if config.window is None else config.window


def _open_window(config: RecordConfig, stack: ExitStack) -> Any:
    from teleop.window import Window

    try:
        window = Window(f"lfd record {config.env}")
    except TeleopError as error:
        raise LfdError(str(error)) from error
    stack.callback(window.close)
    return window


def _screen(config: RecordConfig, window: Any, spec: DatasetSpec, arm: ArmEnv, store: DemoStore) -> Any:
    from robot_lfd.mirror import Mirror
    from robot_lfd.screen import Screen

    views = _views(arm.camera_names)
    recipe = {
        "env_id": config.env,
        "env_kwargs": spec.env_kwargs,
        "max_episode_steps": _time_limit(config),
        "views": views,
        "view_px": config.view_px,
    }
    mirror = Mirror(recipe)
    earlier = [v for i in store.ids() if (v := store.attributes(i).get("meta", {}).get("verdict"))]
    return Screen(window, mirror, config.out, config.env, earlier)


def _views(cameras: tuple[str, ...]) -> list[str]:
    """Returns the main camera and, where there is one, the camera at the hand."""
    hand = [c for c in cameras[1:] if any(word in c for word in ("wrist", "hand"))]
    return [*cameras[:1], *hand[:1]]


def _rules(config: RecordConfig, arm: ArmEnv, device: Any) -> Rules:
    realtime = not _unattended(config) if config.realtime is None else config.realtime
    return Rules(
        episodes=config.episodes,
        control_hz=arm.control_hz,
        realtime=realtime,
        unattended=_unattended(config),
        keep_failures=config.keep_failures,
        countdown_s=config.countdown_s,
        hold_s=config.hold_s,
        meta={"operator": config.operator, "device": device.name},
    )


def _seeds(config: RecordConfig, store: DemoStore) -> Iterator[int]:
    """Yields the seeds asked for, or all from --seed on that no episode of the dataset has used yet."""
    if config.seeds:
        yield from config.seeds
        return
    used = {store.info(i).seed for i in store.ids()}
    seed = config.seed
    while True:
        if seed not in used:
            yield seed
        seed += 1


def _offered_back(config: RecordConfig, session: Session) -> tuple[Attempt | None, Callable[[], None]]:
    """Returns an episode that a crash has interrupted, for the window to go on with, and what drops its old journal.

    Without a window it is only named.
    """
    found = unfinished_attempts(session.store)
    if not found:
        return None, lambda: None
    path, attempt = found[-1]
    if _unattended(config):
        steps = sum(len(a.actions) for _, a in found)
        print(
            f"lfd: {len(found)} unfinished episode(s) ({steps} steps) found in '{config.out}'; "
            f"get back what is there with: lfd data repair {config.out}",
            file=sys.stderr,
        )
        return None, lambda: None
    return attempt, lambda: path.unlink(missing_ok=True)


def _report(config: RecordConfig, session: Session) -> dict[str, Any]:
    kept = session.kept
    steps = sum(round(k.verdict.seconds * session.rules.control_hz) for k in kept)
    rates = [k.verdict.rate_hz for k in kept if not math.isnan(k.verdict.rate_hz)]
    late = sum(round(k.verdict.late_share * k.verdict.seconds * session.rules.control_hz) for k in kept)
    result = {
        "dataset": str(config.out),
        "episodes": len(kept),
        "success": sum(k.success for k in kept),
        "steps": steps,
        "ids": [k.id for k in kept],
        "seeds": [k.seed for k in kept],
        "discarded_seeds": session.discarded,
        "in_dataset": len(session.store),
        "achieved_hz": round(float(np.mean(rates)), 3) if rates else None,
        "late_ticks": late,
        "verdict_s": round(max(k.verdict_s for k in kept), 3) if kept else None,
        "in_journal": session.saver.waiting,
    }
    _print_table(config, kept, result)
    return result


def _print_table(config: RecordConfig, kept: list[Kept], result: dict[str, Any]) -> None:
    table = Table("episode", "seed", "length", "solved", "rate", "late ticks", title=f"{config.out}")
    for k in kept:
        hz = "-" if math.isnan(k.verdict.rate_hz) else f"{k.verdict.rate_hz:.2f} Hz"
        seconds = f"{k.verdict.seconds:.1f} s"
        table.add_row(k.id, str(k.seed), seconds, "yes" if k.success else "no", hz, f"{k.verdict.late_share:.1%}")
    console = Console()
    if kept:
        console.print(table)
    console.print(
        f"{result['episodes']} kept, {result['success']} solved, {result['steps']} steps; "
        f"the dataset has {result['in_dataset']}"
    )
    if result["in_journal"]:
        console.print(
            f"{result['in_journal']} kept but not written yet: the next lfd record into '{config.out}' writes them, "
            f"or lfd data repair {config.out}", highlight=False, soft_wrap=True,
        )  # fmt: skip
    if result["discarded_seeds"]:
        again = " ".join(map(str, result["discarded_seeds"]))
        console.print(f"left out: starts {again}; try them again with --seeds {again}", highlight=False)
