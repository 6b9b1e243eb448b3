"""One Ray with two workers for all tests here: starting it costs more than most of them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robot_lfd.cli import call
from robot_lfd.scale.cluster import Cluster, joined, prepare


@pytest.fixture(scope="session")
def ray() -> Iterator[Cluster]:
    """Ray on two cores, which every command of these tests finds already there."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("pip install 'robot-lfd[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        _be_patient(patch)
        with joined(2, None) as cluster:
            yield cluster


def _be_patient(patch: pytest.MonkeyPatch) -> None:
    """Lets Ray wait minutes for its own processes: the machine that runs all tests at once is busy."""
    patch.setenv("RAY_worker_register_timeout_seconds", "300")
    patch.setenv("RAY_agent_register_timeout_ms", "300000")
    prepare(on_this_machine=True)
    from ray._private import services

    real, began = services.get_node, time.monotonic()

    def get_node(*args: Any) -> Any:
        while True:
            try:
                return real(*args)
            except RuntimeError:
                if time.monotonic() - began > 300:
                    raise
                time.sleep(0.2)

    patch.setattr(services, "get_node", get_node)


@pytest.fixture(scope="session")
def reach(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four scripted demos of pybullet/Reach-v0."""
    path = tmp_path_factory.mktemp("demos") / "reach"
    words = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(path), "--episodes", "4"]
    assert call(words) == 0
    return path
