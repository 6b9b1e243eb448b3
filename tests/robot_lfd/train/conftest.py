"""Demos to train on, recorded once a module: some tests label them."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot_lfd.cli import call


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a dataset of three scripted demos of pybullet/Reach-v0."""
    path = tmp_path_factory.mktemp("demos") / "reach"
    words = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(path), "--episodes", "3"]
    assert call(words) == 0
    return path
