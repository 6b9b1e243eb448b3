"""Deployment: paced, limited, stoppable, and recorded as any demo is."""

import json
import os
import signal

import numpy as np
import pytest

import robot_lfd
from robot_lfd import cli
from robot_lfd.demos.resimulate import first_difference
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.deploy import deploy, emergency_signals
from robot_lfd.envs.contract import arm_of
from robot_lfd.limits import Limited
from robot_lfd.replay import replay_env, replay_episode
from robot_lfd.watch import Watched
from tests.robot_lfd.point_arm import ID, Chase, Script, make_point_arm, register


class FakeClock:
    """Time that passes only in sleep, and by `work_s` each time it is read."""

    def __init__(self, work_s: float = 0.0) -> None:
        self.now, self.work_s = 100.0, work_s

    def __call__(self) -> float:
        self.now += self.work_s
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def env():
    register()
    return make_point_arm()


@pytest.fixture
def store(env, tmp_path):
    return DemoStore.create(tmp_path / "rollouts", make_spec(ID, env, {}))


def pilot_of(policy, env):
    return Limited(Watched(policy), arm_of(env))


def test_rollouts_are_a_dataset_like_any_other_and_re_simulate_exactly(env, store):
    rows = deploy(
        env, pilot_of(Chase(), env), episodes=3, seed=5, realtime=False, store=store, meta={"device": "policy"}
    )
    reopened = DemoStore.open(store.path)
    assert reopened.ids() == [r.demo for r in rows] and [r.seed for r in rows] == [5, 6, 7]
    with replay_env(reopened.spec) as again:
        for row in rows:
            episode = reopened[row.demo]
            assert (len(episode), episode.success, episode.meta["device"]) == (row.length, True, "policy")
            assert first_difference(episode, replay_episode(again, episode)[0]) is None
    assert not list((store.path / "journal").iterdir())


def test_failures_are_kept_with_their_label(env, store):
    rows = deploy(env, pilot_of(Chase(0.01), env), episodes=2, seed=0, realtime=False, store=store)
    assert [store[r.demo].success for r in rows] == [False, False] and all(store[r.demo].truncated for r in rows)


def test_in_real_time_each_step_begins_at_its_deadline_and_the_times_are_recorded(env, store):
    clock = FakeClock()
    rows = deploy(env, pilot_of(Chase(0.2), env), episodes=1, seed=0, store=store, clock=clock, sleep=clock.sleep)
    time = store[rows[0].demo].time
    assert rows[0].achieved_hz == pytest.approx(20.0) and rows[0].late == 0
    assert np.allclose(time[:, 0], np.arange(len(time)) / 20) and np.allclose(time[:, 1], time[:, 0])


def test_steps_that_take_longer_than_a_period_are_counted_as_late(env):
    clock = FakeClock(work_s=0.06)
    row = deploy(env, pilot_of(Chase(0.1), env), episodes=1, seed=0, clock=clock, sleep=clock.sleep)[0]
    assert row.late > 50 and row.achieved_hz < 19


def test_a_policy_that_answers_nan_ends_its_episode_at_rest_with_the_reason_and_the_next_one_begins_anew(env, store):
    policy = Script([(1, 0, 0, 1), (1, 0, 0, 1), (np.nan, 0, 0, 0)])
    rows = deploy(env, pilot_of(policy, env), episodes=2, seed=0, realtime=False, store=store)
    assert len(rows) == 2
    episode = store[rows[0].demo]
    assert rows[0].stop_reason == episode.meta["stop_reason"] == "the policy's action is not finite"
    assert not episode.success and episode.truncated and rows[0].length < 15
    assert np.isfinite(episode.action).all() and not episode.action[-5:, :3].any()


def test_an_emergency_stop_halts_the_arm_at_once_keeps_the_episode_and_runs_no_further_one(env, store):
    pilot = pilot_of(Script([(0.5, 0, 0, 1)] * 60), env)

    def press(step, pace):
        if step.next_obs["eef_pos"][0] > 0.05:
            pilot.stop("key", at_once=True)

    rows = deploy(env, pilot, episodes=5, seed=0, realtime=False, store=store, on_step=press)
    assert len(rows) == 1 and rows[0].stop_reason == "key"
    action = store[rows[0].demo].action[:, 0]
    assert action[-6] > 0.4 and not action[-5:].any()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_emergency_stop_and_the_handlers_come_back_afterwards(env, store, number):
    pilot, before = pilot_of(Chase(0.1), env), signal.getsignal(number)

    def send(step, pace):
        if signal.getsignal(number) is not before:
            os.kill(os.getpid(), number)

    with emergency_signals(pilot):
        rows = deploy(env, pilot, episodes=3, seed=0, realtime=False, store=store, on_step=send)
    assert len(rows) == 1 and rows[0].stop_reason == f"emergency stop: {signal.Signals(number).name}"
    assert signal.getsignal(number) is before and len(store) == 1


def test_steps_that_a_person_drove_are_marked(env, store):
    turns = iter([False, True, True] + [False] * 100)
    row = deploy(
        env, pilot_of(Chase(), env), episodes=1, seed=0, realtime=False, store=store, human_drives=lambda: next(turns)
    )[0]
    assert store[row.demo].intervention[:4].tolist() == [False, True, True, False] and row.interventions == 2


class Learned(Chase):
    """Stands in for a loaded checkpoint, which other tests load."""

    env_id, control_hz, step, algo, policy_keys = ID, 20.0, 700, "bc", ("target_rel",)
    env_kwargs: dict = {}  # noqa: RUF012


def test_the_command_prints_rate_latency_and_success_and_records(tmp_path, monkeypatch, capsys):
    register()
    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Learned())
    argv = [
        "deploy",
        str(tmp_path / "run"),
        "--episodes",
        "2",
        "--record",
        str(tmp_path / "out"),
        "--headless",
        "--json",
    ]
    assert cli.call([*argv, "--headless", "--json"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert found["success_rate"] == 1.0 and found["ok"] and 18 < found["achieved_hz"] <= 20.5
    assert 0 <= found["latency_p50_ms"] <= found["latency_p99_ms"] and found["late"] <= found["steps"]
    assert "policy latency p50" in out and "rate" in out
    store = DemoStore.open(tmp_path / "out")
    assert store.ids() == found["demos"]
    meta = store[found["demos"][0]].meta
    assert meta["policy"] == {"run": str(tmp_path / "run"), "algo": "bc", "step": 700} and meta["device"] == "policy"


def test_a_deployment_that_was_stopped_exits_with_1(tmp_path, monkeypatch, capsys):
    register()

    class Broken(Learned):
        calls = 0

        def act(self, obs):
            self.calls += 1
            return super().act(obs) * (np.nan if self.calls > 3 else 1.0)

    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Broken())
    assert cli.call(["deploy", "run", "--episodes", "1", "--headless", "--no-realtime"]) == 1
    assert "stopped: the policy's action is not finite" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "words"),
    [(["--episodes", "0"], "at least 1"), (["--takeover", "keyboard"], "needs the window")],
)
def test_what_cannot_be_deployed_is_one_plain_line(monkeypatch, capsys, extra, words):
    register()
    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Learned())
    assert cli.call(["deploy", "run", "--headless", *extra]) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_without_a_display_the_window_says_so_and_names_headless(monkeypatch, capsys):
    register()
    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Learned())
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert cli.call(["deploy", "run"]) == 1
    assert "--headless" in capsys.readouterr().err
