"""Deployment: a policy drives the arm at the control rate, within limits; what it does is recorded like any demo."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from robot_lfd.config import DeployConfig
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import sight_of, wilson_interval
from robot_lfd.limits import Limited
from robot_lfd.rollout import Pace, Transition, paced, rollout
from robot_lfd.watch import Watched

if TYPE_CHECKING:
    from robot_lfd.demos.store import DemoStore

DEADLINE_TICKS = 2  # an answer later than this many control steps stops the arm
REST_STEPS = 5  # a stopped arm stands for so long before its episode ends
STOPPING_STEPS = 60  # and this long at most, where it cannot come to rest


@dataclass(frozen=True)
class Deployed:
    """What one deployed episode came to. `demo` is its id where it was recorded."""

    seed: int
    success: bool
    return_sum: float
    length: int
    interventions: int
    stop_reason: str | None
    achieved_hz: float
    late: int
    demo: str | None


def deploy(
    env: gym.Env,
    pilot: Limited,
    *,
    episodes: int,
    seed: int,
    realtime: bool = True,
    store: DemoStore | None = None,
    meta: dict[str, Any] | None = None,
    human_drives: Callable[[], bool] = lambda: False,
    on_start: Callable[[Tape], None] | None = None,
    on_step: Callable[[Transition, Pace | None], None] | None = None,
    on_episode: Callable[[Deployed], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Deployed]:
    """Runs episodes from the starts of `seed`, `seed` + 1, ...; a stop ends the episode, an emergency stop everything.

    Args:
        realtime: keep the wall clock; otherwise as fast as it goes, with the simulation's own times recorded.
        store: where each episode is appended as soon as it is over, failures and stopped ones too.
        human_drives: tells after each step whether a person drove it.
        on_start: called once an episode has begun, its first step already on the tape.
        on_step: called after each step: a window draws there.
    """
    done: list[Deployed] = []
    with ExitStack() as stack:
        journal = stack.enter_context(store.journal(**(meta or {}))) if store is not None else None
        tape = Tape(env, journal.begin, journal.step) if journal else Tape(env)
        for index in range(episodes):
            pace = Pace(arm_of(env).control_hz, clock, sleep)
            steps = rollout(tape, pilot, seed=seed + index)
            first = next(steps)  # the clock starts with the first step: a reset takes the time that it takes
            if on_start:
                on_start(tape)
            beat = pace if realtime else None
            by_hand = _run(paced(itertools.chain([first], steps), beat), pilot, beat, human_drives, on_step)
            row = _keep(tape, pilot, seed + index, pace, by_hand, store, meta or {})
            if journal:
                journal.end()
            done.append(row)
            if on_episode:
                on_episode(row)
            if pilot.emergency:
                break
    return done


def _run(
    steps: Iterable[Transition],
    pilot: Limited,
    pace: Pace | None,
    human_drives: Callable[[], bool],
    on_step: Callable[[Transition, Pace | None], None] | None,
) -> list[bool]:
    """Goes through the steps of an episode until its end or a stop; returns which ones a person drove."""
    by_hand: list[bool] = []
    resting = stopping = 0
    for step in steps:
        by_hand.append(human_drives())
        if on_step:
            on_step(step, pace)
        stopping += pilot.stop_reason is not None
        resting = resting + 1 if pilot.stop_reason and pilot.at_rest else 0
        if resting >= REST_STEPS or stopping >= STOPPING_STEPS:
            break
    return by_hand


def _keep(
    tape: Tape,
    pilot: Limited,
    seed: int,
    pace: Pace,
    by_hand: list[bool],
    store: DemoStore | None,
    meta: dict[str, Any],
) -> Deployed:
    length = len(tape)
    said = {**meta, "held_back": {k: n for k, n in pilot.held_back.items() if n}}
    said |= {"stop_reason": pilot.stop_reason, "stopped_at": pilot.stopped_at} if pilot.stop_reason else {}
    times = np.stack([pace.scheduled[:length], pace.actual[:length]], 1) if pace.actual else None
    episode = tape.episode(time=times, intervention=np.array(by_hand), meta=said)
    if pilot.stop_reason:
        episode = episode.replace(truncated=not episode.terminated)
    return Deployed(
        seed=seed,
        success=episode.success,
        return_sum=float(episode.reward.sum()),
        length=length,
        interventions=sum(by_hand),
        stop_reason=pilot.stop_reason,
        achieved_hz=pace.achieved_hz,
        late=pace.late_count,
        demo=store.append(episode) if store is not None else None,
    )


@contextmanager
def emergency_signals(pilot: Limited) -> Iterator[None]:
    """Makes SIGINT (Ctrl+C) and SIGTERM the emergency stop; a second one ends the program as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: Any) -> None:
        pilot.stop(f"emergency stop: {signal.Signals(number).name}", at_once=True)
        signal.signal(number, kept[signal.Signals(number)])

    try:
        for number in kept:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def run(config: DeployConfig) -> dict[str, Any]:
    """`lfd deploy`: loads a policy, lets it drive, records, and prints rate, lateness and latency."""
    from robot_lfd import load_policy
    from robot_lfd.envs.registry import make_env

    if config.episodes < 1:
        raise LfdError(f"{config.episodes} episodes were asked for, expected at least 1")
    policy: Any = load_policy(config.run)
    with ExitStack() as stack:
        env = make_env(policy.env_id, **sight_of(policy, *config.cameras, size_px=config.size_px), **policy.env_kwargs)
        stack.callback(env.close)
        if not isinstance(env.action_space, gym.spaces.Box):
            raise LfdError(f"'{policy.env_id}' has no arm: its actions are {env.action_space}; use lfd eval instead")
        store = _open_store(config, env, policy) if config.record else None
        deadline_s = DEADLINE_TICKS / policy.control_hz if config.realtime else None
        watched = Watched(policy, deadline_s=deadline_s, needs=policy.policy_keys)
        stack.callback(watched.close)
        _warm_up(policy, env)
        rows = _fly(config, env, policy, watched, store, stack)
    result = _summary(config, policy, rows, watched.latencies_s)
    _print(result, rows)
    return result


def _open_store(config: DeployConfig, env: gym.Env, policy: Any) -> DemoStore:
    from robot_lfd.demos.spec import make_spec
    from robot_lfd.demos.store import DemoStore

    assert config.record is not None
    return DemoStore.open_or_create(config.record, make_spec(policy.env_id, env, policy.env_kwargs))


def _warm_up(policy: Any, env: gym.Env) -> None:
    """Asks once beforehand: the first answer of a network is many times slower than the rest."""
    assert isinstance(env.observation_space, gym.spaces.Dict)
    obs = {k: np.zeros(s.shape or (), s.dtype) for k, s in env.observation_space.spaces.items()}
    policy.reset()
    policy.act(obs)


def _fly(
    config: DeployConfig, env: gym.Env, policy: Any, watched: Watched, store: DemoStore | None, stack: ExitStack
) -> list[Deployed]:
    from robot_lfd.cockpit import Cockpit

    cockpit = stack.enter_context(Cockpit(config, env, watched, policy))
    pilot = Limited(cockpit.policy, arm_of(env))
    cockpit.pilot = pilot
    stack.enter_context(emergency_signals(pilot))
    meta = {
        "device": "policy",
        "device_settings": {"takeover": config.takeover, "realtime": config.realtime},
        "policy": {"run": str(config.run), "algo": policy.algo, "step": policy.step},
    }
    return deploy(
        env,
        pilot,
        episodes=config.episodes,
        seed=config.seed,
        realtime=config.realtime,
        store=store,
        meta=meta,
        human_drives=cockpit.human_drives,
        on_start=cockpit.begin,
        on_step=cockpit.show,
        on_episode=cockpit.report,
    )


def _summary(config: DeployConfig, policy: Any, rows: list[Deployed], latencies_s: list[float]) -> dict[str, Any]:
    solved = sum(r.success for r in rows)
    rates = [r.achieved_hz for r in rows if np.isfinite(r.achieved_hz)]
    stops = sorted({r.stop_reason for r in rows if r.stop_reason})
    ms = 1000 * np.array(latencies_s)
    return {
        "ok": not stops,
        "run": str(config.run),
        "algo": policy.algo,
        "step": policy.step,
        "env": policy.env_id,
        "episodes": len(rows),
        "success_rate": solved / len(rows),
        "interval": list(wilson_interval(solved, len(rows))),
        "return_mean": float(np.mean([r.return_sum for r in rows])),
        "length_mean": float(np.mean([r.length for r in rows])),
        "steps": sum(r.length for r in rows),
        "interventions": sum(r.interventions for r in rows),
        "control_hz": policy.control_hz,
        "achieved_hz": float(np.median(rates)) if rates else None,
        "late": sum(r.late for r in rows),
        "latency_p50_ms": float(np.percentile(ms, 50)) if len(ms) else None,
        "latency_p99_ms": float(np.percentile(ms, 99)) if len(ms) else None,
        "stops": stops,
        "recorded": str(config.record) if config.record else None,
        "demos": [r.demo for r in rows if r.demo],
        "rows": [_finite(asdict(r)) for r in rows],
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}


def _print(result: dict[str, Any], rows: list[Deployed]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    solved = sum(r.success for r in rows)
    console.print(f"solved {solved} of {len(rows)} episodes, {result['steps']} steps")
    if result["achieved_hz"]:
        late = f"{result['late']} late of {result['steps']}"
        console.print(f"rate {result['achieved_hz']:.2f} Hz of {result['control_hz']:g} Hz, {late}")
    if result["latency_p50_ms"] is not None:
        p50, p99 = result["latency_p50_ms"], result["latency_p99_ms"]
        console.print(f"policy latency p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    if result["interventions"]:
        console.print(f"{result['interventions']} steps driven by hand")
    if result["recorded"]:
        console.print(escape(f"recorded in {result['recorded']}; look at it: lfd review {result['recorded']}"))
    for reason in result["stops"]:
        console.print(f"[bold red]stopped[/]: {escape(reason)}")
