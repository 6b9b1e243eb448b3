"""Takeover: the person wins at once, without a jump; hands off gives control back; every such step is marked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robot_lfd.cockpit import Cockpit
from robot_lfd.config import DeployConfig
from robot_lfd.demos.resimulate import first_difference
from robot_lfd.demos.store import DemoStore
from robot_lfd.devices import make_device
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.guards import Unsafe
from robot_lfd.limits import Limited
from robot_lfd.replay import replay_env, replay_episode
from robot_lfd.rollout import rollout
from robot_lfd.takeover import RELEASE_S, Takeover
from teleop.calibration import save_centres
from teleop.device import Command, Event
from teleop.human import HumanPolicy
from tests.robot_lfd.point_arm import PointArm, Script, make_point_arm
from tests.robot_lfd.record.conftest import display, wait_until  # noqa: F401  (a fixture)
from tests.teleop.conftest import no_screen, pad  # noqa: F401  (fixtures)

PATIENCE = round(RELEASE_S * 20)


class Hands:
    """A device whose axes and events are written down beforehand: tick -> (axes, events)."""

    name = "hands"

    def __init__(self, script, unplugged_at=None):
        self.script, self.unplugged_at, self.tick = script, unplugged_at, -1

    def see(self, obs):
        pass

    def read(self, events):
        self.tick += 1
        axes, said = self.script(self.tick)
        return Command(np.array(axes, np.float32), said, connected=self.tick != self.unplugged_at)

    def reset(self):
        self.tick = -1

    def settings(self):
        return {}


REST = ([0.0] * 7, ())


def pair(policy, script, **kwargs):
    arm = PointArm()
    human = HumanPolicy(Hands(script, **kwargs), arm.action_names, arm.action_scale, arm.action_units, 20.0)
    return Takeover(policy, human, arm.action_names, 20.0)


def fly(takeover, steps=50):
    env = make_point_arm(terminate_on_success=False)
    limited, found = Limited(takeover, arm_of(env)), []
    for step in rollout(env, limited, seed=0):
        found.append((step.action, takeover.human_drives))
        if len(found) == steps:
            break
    return np.array([a for a, _ in found]), np.array([h for _, h in found]), limited


def left_from(start, stop):
    return lambda tick: ([0, 1, 0, 0, 0, 0, 0], ()) if start <= tick < stop else REST


def test_a_moved_stick_takes_over_in_the_same_tick_and_hands_off_gives_back():
    action, by_hand, _ = fly(pair(Script([(0.2, 0, 0, 1)] * 60), left_from(10, 20)))
    ramp = 3  # the person's own motion ends softly
    assert by_hand.nonzero()[0][0] == 10
    assert by_hand[10:20].all() and 20 + PATIENCE <= by_hand.nonzero()[0][-1] + 1 <= 20 + PATIENCE + ramp
    assert (action[10:20, 1] > 0).all() and np.allclose(action[40:, 0], 0.2)


def test_the_arm_follows_without_a_jump():
    action, by_hand, limited = fly(pair(Script([(1.0, -1.0, 0, 1)] * 60), left_from(3, 6)), steps=8)
    assert by_hand[3:].all() and np.abs(np.diff(action[:, :3], axis=0)).max() <= 0.5 + 1e-6  # the limit on acceleration
    assert limited.stop_reason is None


def test_the_gripper_keeps_what_the_policy_holds_until_the_person_changes_it():
    closing = Script([(0, 0, 0, 1)] * 60)
    action, by_hand, _ = fly(pair(closing, left_from(5, 15)))
    assert by_hand.any() and (action[:, 3] == 1).all()
    opening = lambda tick: ([0] * 7, (Event.GRIP,)) if tick == 5 else REST  # noqa: E731
    action, by_hand, _ = fly(pair(closing, opening))
    assert action[4, 3] == 1 and (action[5 : 5 + PATIENCE, 3] == -1).all() and by_hand[5]


def test_the_takeover_key_holds_control_until_it_is_pressed_again():
    keys = lambda tick: ([0] * 7, (Event.TAKEOVER,)) if tick in (5, 35) else REST  # noqa: E731
    action, by_hand, _ = fly(pair(Script([(0.2, 0, 0, 1)] * 60), keys))
    assert by_hand[5:35].all() and not by_hand[:5].any() and not action[8:35, :3].any()
    assert not by_hand[35 + PATIENCE :].any()


def test_a_policy_that_gets_control_back_forgets_what_it_had_planned():
    policy = Script([(x, 0, 0, 1) for x in (0.1, 0.2, 0.3, 0.4)] * 20)
    action, by_hand, _ = fly(pair(policy, left_from(2, 6)))
    back = by_hand.nonzero()[0][-1] + 1
    assert action[back, 0] == pytest.approx(0.1)


def test_a_lost_device_stops_the_arm_with_its_name():
    _, _, limited = fly(pair(Script([(0.2, 0, 0, 1)] * 60), lambda tick: REST, unplugged_at=12))
    assert limited.stop_reason == "the hands is gone"
    takeover = pair(Script([]), lambda tick: REST, unplugged_at=0)
    takeover.reset()
    with pytest.raises(Unsafe, match="is gone"):
        takeover.act(PointArm().reset(seed=0)[0])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A policy that knows nothing, trained for two steps on a scripted demo: it wanders, and a person corrects it."""
    folder = tmp_path_factory.mktemp("takeover")
    lfd = [sys.executable, "-m", "robot_lfd.cli"]
    demos = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--episodes", "2"]
    subprocess.run([*lfd, *demos, "--out", str(folder / "demos")], check=True, capture_output=True)
    train = ["train", "--demos", str(folder / "demos"), "--algo", "bc", "--mode", "offline", "--steps", "2"]
    subprocess.run([*lfd, *train, "--out", str(folder / "run")], check=True, capture_output=True)
    return folder / "run"


def test_real_keys_take_over_a_deployed_policy_and_x_is_the_emergency_stop(run, display, tmp_path):  # noqa: F811
    folder = tmp_path / "rollouts"
    environment = {**os.environ, "DISPLAY": display, "OMP_NUM_THREADS": "1", "SDL_AUDIODRIVER": "dummy"}
    environment.pop("SDL_VIDEODRIVER", None)
    command = [sys.executable, "-m", "robot_lfd.cli", "deploy", str(run), "--episodes", "3", "--seed", "4", "--json"]
    process = subprocess.Popen(
        [*command, "--takeover", "keyboard", "--record", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )

    def steps():
        assert process.poll() is None, "lfd deploy has ended"
        return sum(p.read_text().count('"step"') for p in (folder / "journal").glob("*.jsonl"))

    def keys(*words):
        subprocess.run(["xdotool", "mousemove", "300", "300", *words], check=True, env=environment)

    try:
        wait_until(lambda: steps() >= 12, what="twelve steps")
        keys("keydown", "a")
        until = steps() + 20
        wait_until(lambda: steps() >= until, what="steps by hand")
        keys("keyup", "a", "key", "x")
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    found = json.loads(out.splitlines()[-1])
    assert process.returncode == 1 and found["episodes"] == 1
    assert found["stops"] == ["emergency stop: stop on the keyboard"]
    store = DemoStore.open(folder)
    episode = store[store.ids()[0]]
    by_hand = episode.intervention
    assert by_hand.sum() == found["interventions"] >= 15 and not by_hand[:5].any()
    assert (
        episode.action[by_hand, 1] < 0
    ).sum() >= 15  # "a" is to the left as the camera in front sees it, as in lfd record
    assert not episode.action[-5:, :3].any() and episode.meta["stop_reason"] == "emergency stop: stop on the keyboard"
    with replay_env(store.spec) as env:
        assert first_difference(episode, replay_episode(env, episode)[0]) is None


def _cockpit():
    env = make_env("pybullet/Reach-v0")
    learned = SimpleNamespace(control_hz=20.0, env_id="pybullet/Reach-v0", env_kwargs={})
    config = DeployConfig(run=Path("run"), takeover="gamepad")
    return Cockpit(config, env, Script([(0.3, 0, 0, 1)] * 60), learned)


def test_a_pad_that_takes_over_rests_where_it_was_calibrated(pad, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    one = pad()
    one.axis("leftx", 0.3)
    probe = make_device("gamepad")
    save_centres(probe.settings()["guid"], {"leftx": 0.3})
    probe.close()
    with _cockpit() as cockpit:
        device = cockpit._takeover.human.device
        assert device.raw()["leftx"] == pytest.approx(0.3, abs=0.01) and device.values()["leftx+"] == 0.0


@pytest.mark.parametrize(("button", "event"), [("x", "pause"), ("back", "discard")])
def test_a_pad_button_is_the_emergency_stop_in_the_tick_after_it(pad, tmp_path, monkeypatch, button, event):  # noqa: F811
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    one = pad()
    with _cockpit() as cockpit:
        pilot = cockpit.pilot = Limited(cockpit.policy, arm_of(cockpit.env))
        actions = []
        for tick, step in enumerate(rollout(cockpit.env, pilot, seed=0)):
            actions.append(step.action)
            cockpit.show(step, None)
            if tick == 8:
                assert pilot.stop_reason is None and actions[-1][0] != 0
                one.button(button, True)
            if tick == 12:
                break
    assert pilot.stop_reason == f"emergency stop: {event} on the gamepad" and pilot.emergency
    assert pilot.stopped_at == 10 and not np.array(actions)[10:, :3].any()


def test_without_the_pad_that_should_take_over_it_says_what_to_do(no_screen):  # noqa: F811
    with pytest.raises(LfdError, match=r"no gamepad is plugged in.*--headless"), _cockpit():
        pass


def test_a_terminate_signal_stops_a_deployment_and_keeps_its_episode(run, tmp_path):
    folder = tmp_path / "rollouts"
    command = [sys.executable, "-m", "robot_lfd.cli", "deploy", str(run), "--headless", "--record", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = folder / "journal"
    wait_until(lambda: any(p.read_text().count('"step"') > 5 for p in journal.glob("*.jsonl")), what="steps")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "emergency stop: SIGTERM" in out and err == ""
    store = DemoStore.open(folder)
    assert len(store) == 1 and store[store.ids()[0]].truncated
