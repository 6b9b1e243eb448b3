"""A private X server, real key presses, and the check that a demo re-simulates bit for bit."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from robot_lfd.demos.store import DemoStore
from tests.teleop.conftest import no_screen, pad  # noqa: F401  (fixtures)


@pytest.fixture
def every_tick_is_drawn(monkeypatch):
    """Time that does not pass hides no tick: the window may draw for as long as it likes."""
    monkeypatch.setattr("robot_lfd.screen.DRAW_SHARE", math.inf)


@pytest.fixture
def seen(monkeypatch, every_tick_is_drawn):
    """Every picture that the window was asked to draw, as data, one a tick."""
    models = []
    monkeypatch.setattr("teleop.hud.draw", lambda surface, model: models.append(model))
    return models


def wait_until(condition, timeout_s=180.0, what="it"):
    """Returns the first true value of `condition`; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.03)
    pytest.fail(f"waited {timeout_s:.0f} s in vain for {what}")


def replays_exactly(store: DemoStore, episode_id: str) -> bool:
    """Returns whether a fresh environment goes through the very same simulator states."""
    from robot_lfd.envs.contract import arm_of
    from robot_lfd.envs.registry import make_env

    episode = store[episode_id]
    env = make_env(store.spec.env_id, max_episode_steps=100_000, **store.spec.env_kwargs)
    env.reset(seed=episode.meta["seed"], options={"model": episode.model, "sim_state": episode.sim_state[0]})
    states = [arm_of(env).sim_state()]
    for action in episode.action:
        env.step(action)
        states.append(arm_of(env).sim_state())
    env.close()
    return bool(np.array_equal(np.array(states), episode.sim_state))


class Recording:
    """`lfd record` in a process of its own, with a person at the keyboard."""

    def __init__(self, display, folder, *options, env="pybullet/Reach-v0"):
        self.folder, self._display = folder, display
        command = [sys.executable, "-m", "robot_lfd.cli", "record", "--env", env, "--out", str(folder), "--json"]
        environment = {**os.environ, "DISPLAY": display, "OMP_NUM_THREADS": "1", "SDL_AUDIODRIVER": "dummy"}
        environment.pop("SDL_VIDEODRIVER", None)
        self.process = subprocess.Popen(
            [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def keys(self, *words):
        """Presses keys as a person would: xdotool's words, such as key Return, keydown w."""
        subprocess.run(
            ["xdotool", "mousemove", "300", "300", *words], check=True, env={**os.environ, "DISPLAY": self._display}
        )

    def journal(self):
        """Returns the lines of the session's journal so far."""
        lines = []
        for path in sorted((self.folder / "journal").glob("*.jsonl"))[-1:]:
            for line in path.read_text().splitlines():
                try:
                    lines.append(json.loads(line.split("\t")[-1] if "\t" in line else line))
                except json.JSONDecodeError:
                    continue
        return lines

    def _find(self, key):
        return [i for i, line in enumerate(self.journal()) if key in _entry(line)]

    def attempts(self):
        """Returns how many episodes have begun, undone ones included."""
        return len(self._find("begin"))

    def steps(self):
        """Returns the steps of the attempt in progress."""
        begun = self._find("begin")
        return sum(i > begun[-1] for i in self._find("step")) if begun else 0

    def rest(self):
        """Returns the steps once nothing moves any more: after an undo, a pause."""
        before = -1
        while (now := self.steps()) != before:
            before = now
            time.sleep(0.4)
        return now

    def wait(self, condition, what):
        def check():
            if self.process.poll() is not None and not condition():
                pytest.fail(f"lfd record has ended: {self.process.communicate()[1]}")
            return condition()

        return wait_until(check, what=what)

    def wait_ready(self, attempts=1):
        self.wait(lambda: self.attempts() >= attempts, f"start {attempts}")
        time.sleep(0.4)  # the window has to be on the screen to hear the keys

    def drive(self, steps, *held):
        """Holds keys until so many further steps are recorded."""
        if held:
            self.keys(*(w for k in held for w in ("keydown", k)))
        until = self.steps() + steps
        self.wait(lambda: self.steps() >= until, f"step {until}")
        if held:
            self.keys(*(w for k in held for w in ("keyup", k)))

    def kept(self):
        """Returns the ids in the dataset."""
        return DemoStore.open(self.folder).ids()

    def result(self):
        """Returns the JSON line of a session that ends by itself."""
        out, err = self.process.communicate(timeout=180)
        assert self.process.returncode == 0, err
        return json.loads(out.strip().splitlines()[-1])


def _entry(line):
    return line if isinstance(line, dict) else {}


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """Keeps the calibrations of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def display():
    """An X server of our own, without a screen; killed at the end."""
    for program, package in (("Xvfb", "xvfb"), ("xdotool", "xdotool")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {package}")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        yield f":{pipe.readline().strip()}"
    server.kill()
    server.wait()


@pytest.fixture
def record(display, tmp_path):
    """Starts `lfd record`; what still runs at the end of the test is killed."""
    started = []

    def start(*options, folder=None, **kwargs):
        started.append(Recording(display, folder or tmp_path / "demos", *options, **kwargs))
        return started[-1]

    yield start
    for recording in started:
        if recording.process.poll() is None:
            recording.process.kill()
        recording.process.communicate()
