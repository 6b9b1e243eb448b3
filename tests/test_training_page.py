"""docs/training.md keeps its word: every option and every logged metric is on the page."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from robot_lfd.cli import call
from robot_lfd.train.config import TrainConfig

PAGES = Path(__file__).parent.parent / "docs"
PLAIN = {"demos", "out", "mode", "steps", "seed", "json", "batch_rows", "algo"}  # shown in the examples or said by name


def told(*pages: str) -> str:
    return "".join((PAGES / page).read_text() for page in pages)


def test_every_option_of_training_is_on_a_page():
    text = told("training.md", "pixels.md")
    missing = [f.name for f in dataclasses.fields(TrainConfig) if f"--{f.name.replace('_', '-')}" not in text]
    assert not set(missing) - PLAIN


def test_every_logged_metric_is_on_the_page(tmp_path: Path):
    demos, explained = tmp_path / "reach", set(re.findall(r"`(\w+)`", told("training.md")))
    words = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(demos), "--episodes", "2"]
    assert call(words) == 0
    fast = ("--hidden", "8", "--batch-rows", "8", "--pretrain-steps", "1", "--practice-limit", "40", "--steps", "201")
    for kind in (("iq", "--divergence", "w1"), ("sqil",), ("dac",), ("valuedice",), ("bc", "--bc-head", "gmm")):
        out = tmp_path / kind[0]
        assert call(["train", "--demos", str(demos), "--out", str(out), "--algo", *kind, *fast]) == 0
        logged = {k for line in (out / "metrics.jsonl").read_text().splitlines() for k in json.loads(line)}
        assert not logged - explained, kind
