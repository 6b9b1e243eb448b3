"""The recipe: what the demos decide where nothing was told, and what a run that goes on keeps of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from robot_lfd.cli import call
from robot_lfd.train import recipe
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import read, with_steps
from robot_lfd.train.recipe import Recipe, filled, recipe_of

FAST = ("--batch-rows", "16", "--pretrain-steps", "5", "--practice-limit", "40")
OPEN = TrainConfig(demos=(), out=Path("unused"))
SMALL = {"hidden": (128, 128), "practice_per_update": 1, "bc_fall_at": 0, "steps": 25_000, "pretrain_steps": 1500}


def people(rows: int, mean_steps: float) -> Recipe:
    return recipe_of(arm=True, discrete=False, candidates=True, rows=rows, mean_steps=mean_steps)


def test_few_short_demos_are_decided_on_in_fours_by_small_networks():
    assert asdict(people(700, 70.0)) == {**SMALL, "chunk": 4, "gamma": 0.97}


def test_long_demos_are_decided_on_in_eights_and_further_ahead():
    assert asdict(people(3300, 133.0)) == {**SMALL, "chunk": 8, "gamma": 0.99}
    assert people(700, 100.0).chunk == 4


def test_many_rows_get_larger_networks_more_practice_and_longer_training():
    many = people(30_138, 150.7)
    assert (many.hidden, many.practice_per_update, many.chunk, many.gamma) == ((256, 256), 4, 8, 0.99)
    assert (many.steps, many.pretrain_steps, many.bc_fall_at) == (90_000, 6_000, 60_000)
    middle = people(12_000, 60.0)
    assert (middle.steps, middle.pretrain_steps, middle.bc_fall_at, middle.chunk) == (36_000, 3_600, 24_000, 4)
    assert people(5_001, 60.0).steps == people(5_000, 60.0).steps == 25_000


@pytest.mark.parametrize(
    "arm,discrete,candidates,expected",
    [
        (True, False, False, (1, 0.97, 1)),
        (False, False, False, (1, 0.99, 4)),
        (False, True, False, (1, 0.99, 1)),
        (False, False, True, (4, 0.99, 1)),
    ],
)
def test_what_chooses_among_nothing_that_people_did_does_not_ask_the_demos(
    arm: bool, discrete: bool, candidates: bool, expected: tuple[int, float, int]
):
    found = recipe_of(arm=arm, discrete=discrete, candidates=candidates, rows=30_138, mean_steps=150.7)
    assert (found.chunk, found.gamma, found.practice_per_update) == expected
    assert (found.hidden, found.steps, found.bc_fall_at) == ((128, 128), 25_000, 0)


def test_what_was_told_stays_and_what_cannot_be_chosen_is_left_alone():
    many = people(30_138, 150.7)
    told = filled(replace(OPEN, gamma=0.9, hidden=(16,), steps=7), many)
    assert (told.gamma, told.hidden, told.steps, told.chunk) == (0.9, (16,), 7, 8)
    cloned = filled(replace(OPEN, algo="bc"), many)
    assert (cloned.steps, cloned.practice_per_update, cloned.bc_fall_at) == (5_000, 1, 0)
    assert filled(replace(OPEN, mode="offline"), many).bc_fall_at == 0
    assert filled(replace(OPEN, bc_decay_steps=9), many).bc_fall_at == 0
    for shared in ({"rollout_workers": 2}, {"updates_per_step": 2}):
        assert filled(replace(OPEN, **shared), many).practice_per_update == 1


def train(demos: Path, out: Path, *more: str) -> dict[str, Any]:
    assert call(["train", "--demos", str(demos), "--out", str(out), *FAST, *more]) == 0
    return json.loads((out / "config.json").read_text())


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / f"checkpoints/{step:08d}/training.safetensors")


def test_a_run_of_many_long_demos_is_the_one_that_says_so_by_hand(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    steps = ("--steps", "75", "--bc-fall-at", "60")
    said = ("--hidden", "256", "256", "--chunk", "8", "--gamma", "0.99", "--practice-per-update", "4")
    by_hand = train(demos, tmp_path / "said", *steps, *said)
    monkeypatch.setattr(recipe, "LONG_STEPS", 1.0)
    monkeypatch.setattr(recipe, "MANY_ROWS", 1)
    by_rule = train(demos, tmp_path / "open", *steps)
    assert {k: v for k, v in by_rule.items() if k != "out"} == {k: v for k, v in by_hand.items() if k != "out"}
    line = "networks of 256 256, 8 actions a decision, gamma 0.99, 4 practice steps a gradient step, cloning a fifth"
    assert " ".join(capfd.readouterr().out.split()).count(line) == 2
    ruled, told = weights(tmp_path / "open", 75), weights(tmp_path / "said", 75)
    assert ruled.keys() == told.keys() and all(torch.equal(v, told[k]) for k, v in ruled.items())


def test_a_run_that_goes_on_keeps_what_the_demos_decided_and_an_older_one_what_was_usual_then(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    begun = train(demos, run, "--steps", "5")
    monkeypatch.setattr(recipe, "LONG_STEPS", 1.0)
    assert train(demos, run, "--steps", "6", "--resume")["chunk"] == 4
    assert read(replace(OPEN, demos=(demos,), out=run)).config.chunk == 8  # of one that begins anew
    older = {k: v for k, v in begun.items() if k not in ("bc_fall_at", "practice_per_update")}
    (run / "config.json").write_text(json.dumps({**older, "chunk": None, "gamma": None, "hidden": [128, 128]}))
    monkeypatch.setattr(recipe, "MANY_ROWS", 1)
    on = train(demos, run, "--steps", "7", "--resume")
    assert (on["chunk"], on["gamma"], on["practice_per_update"], on["bc_fall_at"]) == (4, 0.97, 1, 0)
    assert "changes" not in on


def test_how_many_steps_hangs_on_the_demos_where_none_were_told(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(OPEN, demos=(demos,), out=tmp_path / "run")
    rows = len(read(config).expert.rows)
    assert with_steps(config).steps == 25_000 and with_steps(replace(config, algo="bc", candidates=0)).steps == 5_000
    assert with_steps(replace(OPEN, steps=3)).steps == 3  # and nothing is read
    monkeypatch.setattr(recipe, "MANY_ROWS", 1)
    monkeypatch.setattr(recipe, "MOST_STEPS", 25_000 + rows)
    assert with_steps(config) == replace(config, steps=25_000)
