"""Datasets of both simulators, served in this very process, and Debian's Chromium to look at them."""

import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn

from robot_lfd import cli
from robot_lfd.checkpoint import load_policy
from robot_lfd.config import ReviewConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.review.clips import ClipMaker
from robot_lfd.review.desk import Desk
from robot_lfd.review.server import make_app
from tests.robot_lfd.record.conftest import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LFD = [sys.executable, "-m", "robot_lfd.cli"]
SIZE_PX = 64


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """Three scripted demos of PyBullet's shortest task and one of robosuite's; stills and two films are there."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, env, count in (("reach", "pybullet/Reach-v0", "3"), ("lift", "robosuite/Lift-v0", "1")):
        argv = ["record", "--env", env, "--device", "scripted", "--episodes", count, "--out", str(folder / name)]
        assert cli.call([*argv, "--operator", "anna"]) == 0
        store = DemoStore.open(folder / name)
        with ClipMaker(store, None, SIZE_PX) as maker:
            for episode_id in store.ids():
                maker.still(episode_id)
            for episode_id in store.ids()[:2] if name == "reach" else ():
                maker.clip(episode_id)
    return folder


class Served:
    """`lfd review` in a process of its own."""

    def __init__(self, *paths):
        argv = ["review", *map(str, paths), "--port", "0", "--size-px", str(SIZE_PX)]
        self.process = subprocess.Popen([*LFD, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.process.communicate()[1]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Serving:
    """The same server in a thread: no start to wait for, and its desk can be looked at."""

    def __init__(self, *paths, policy=None, runs=()):
        config = ReviewConfig(datasets=paths, size_px=SIZE_PX, policy=policy, runs=runs)
        self.desk = Desk([DemoStore.open(p) for p in paths], config, load_policy(policy) if policy else None)
        self.data = paths[0].parent
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/token/"
        app = make_app(self.desk, "token", port)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, what="the server")

    def close(self):
        self.desk.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)


@pytest.fixture
def served(recorded, tmp_path):
    """A server of datasets that a test may change."""
    shutil.copytree(recorded, tmp_path / "data")
    server = Serving(tmp_path / "data/reach", tmp_path / "data/lift")
    yield server
    server.close()


WEAK = ("--candidates", "0", "--near-m", "0")  # a page of failures needs some


@pytest.fixture(scope="session")
def judged(recorded, tmp_path_factory):
    """A small IQ-Learn run and two seeds of a clone, all evaluated, and a server that shows them with the demos."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(recorded / "reach", folder / "reach")
    for algo, more in (("iq", ["--mode", "offline", "--pretrain-steps", "50", *WEAK]), ("bc", ["--seeds", "2"])):
        argv = ["train", "--demos", folder / "reach", "--algo", algo, "--steps", "60", "--out", folder / algo, *more]
        assert cli.call([*map(str, argv)]) == 0
    for run in ("iq", "bc/seed-0", "bc/seed-1"):
        assert cli.call(["eval", str(folder / run), "--episodes", "3"]) == 0
    server = Serving(folder / "reach", policy=folder / "iq", runs=(folder / "bc",))
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as p:
        args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=args)
        yield chromium
        chromium.close()


def open_page(browser, url, **kwargs):
    """A tab that remembers what went wrong in it, and whatever it asked of anybody else."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **kwargs})
    page.set_default_timeout(90_000)  # a loaded machine draws slowly
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    mine = (url, "blob:", "data:")
    page.on("request", lambda r: page.problems.append(r.url) if not r.url.startswith(mine) else None)
    page.goto(url)
    page.wait_for_selector("#main:not([aria-busy]) .card")  # it is there at once, measures come later
    return page


@pytest.fixture
def page(browser, served):
    page = open_page(browser, served.url)
    yield page
    assert page.problems == []
    page.close()
