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
from robot_lfd.runs import families, read_run
from robot_lfd.train import recipe
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import read, with_steps
from robot_lfd.train.recipe import Recipe, Task, decided, filled, planned_steps, recipe_of

FAST = ("--batch-rows", "16", "--pretrain-steps", "5", "--practice-limit", "40")
OPEN = TrainConfig(demos=(), out=Path("unused"))
SMALL = {"hidden": (128, 128), "practice_per_update": 1, "bc_fall_at": 0, "steps": 25_000, "pretrain_steps": 1500}


def people(rows: int, mean_steps: float) -> Task:
    return Task(arm=True, candidates=True, rows=rows, mean_steps=mean_steps)


MANY = people(30_138, 150.7)


def test_few_short_demos_are_decided_on_in_fours_by_small_networks():
    assert asdict(recipe_of(people(700, 70.0))) == {**SMALL, "chunk": 4, "gamma": 0.97}


def test_long_demos_are_decided_on_in_eights_and_further_ahead():
    assert asdict(recipe_of(people(3300, 133.0))) == {**SMALL, "chunk": 8, "gamma": 0.99}
    assert [recipe_of(people(700, mean)).chunk for mean in (100.0, 100.1)] == [4, 8]


def test_many_rows_get_larger_networks_more_practice_and_longer_training():
    many, middle = recipe_of(MANY), recipe_of(people(12_000, 60.0))
    assert (many.hidden, many.practice_per_update, many.chunk, many.gamma) == ((256, 256), 4, 8, 0.99)
    assert (many.steps, many.pretrain_steps, many.bc_fall_at) == (90_000, 6_000, 60_000)
    assert (middle.steps, middle.pretrain_steps, middle.bc_fall_at, middle.chunk) == (36_000, 3_600, 24_000, 4)
    assert [recipe_of(people(rows, 60.0)).hidden[0] for rows in (5_000, 5_001)] == [128, 256]


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
    found = recipe_of(Task(arm, discrete, candidates, rows=30_138, mean_steps=150.7))
    assert (found.chunk, found.gamma, found.practice_per_update) == expected
    assert (found.hidden, found.steps, found.bc_fall_at) == ((128, 128), 25_000, 0)


def test_what_was_told_stays():
    told = filled(replace(OPEN, gamma=0.9, hidden=(16,), steps=7), recipe_of(MANY))
    assert (told.gamma, told.hidden, told.steps, told.chunk) == (0.9, (16,), 7, 8)


def test_what_cannot_be_chosen_is_left_alone():
    cloned = decided(replace(OPEN, algo="bc"), MANY)
    assert (cloned.steps, cloned.practice_per_update, cloned.bc_fall_at) == (5_000, 1, 0)
    for no_fall in ({"mode": "offline"}, {"bc_decay_steps": 9}, {"bc_weight": 0.0}):
        assert decided(replace(OPEN, **no_fall), MANY).bc_fall_at == 0
    for shared in ({"rollout_workers": 2}, {"updates_per_step": 2}):
        assert decided(replace(OPEN, **shared), MANY).practice_per_update == 1
    assert decided(replace(OPEN, updates_per_step=2), MANY).bc_fall_at == 120_000  # gradient steps, two a step


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
    assert (by_rule["hidden"], by_rule["recipe"]["hidden"], by_hand["hidden"]) == (None, [256, 256], [256, 256])
    assert read_run(tmp_path / "open").settings == read_run(tmp_path / "said").settings
    line = "networks of 256 256, 8 actions a decision, gamma 0.99, 4 practice steps a gradient step, cloning a fifth"
    assert " ".join(capfd.readouterr().out.split()).count(line) == 2
    ruled, told = weights(tmp_path / "open", 75), weights(tmp_path / "said", 75)
    assert ruled.keys() == told.keys() and all(torch.equal(v, told[k]) for k, v in ruled.items())


def test_a_run_that_goes_on_keeps_what_the_demos_decided(demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = tmp_path / "run"
    begun = train(demos, run, "--steps", "5")
    assert begun["chunk"] is None and begun["recipe"]["chunk"] == 4  # what was told, and what was decided
    monkeypatch.setattr(recipe, "LONG_STEPS", 1.0)
    on = train(demos, run, "--steps", "6", "--resume")
    assert on["recipe"]["chunk"] == on["policy"]["window"] == 4 and "changes" not in on
    assert read(replace(OPEN, demos=(demos,), out=run)).config.chunk == 8  # of one that begins anew
    told = train(demos, run, "--steps", "7", "--resume", "--practice-per-update", "3")
    assert told["changes"] == [{"step": 6, "practice_per_update": [1, 3]}]


def test_what_was_told_once_need_not_be_told_again(demos: Path, tmp_path: Path):
    train(demos, tmp_path / "run", "--steps", "5", "--chunk", "2", "--hidden", "16")
    for step in ("6", "7", "8"):
        on = train(demos, tmp_path / "run", "--steps", step, "--resume")
        assert (on["chunk"], on["hidden"], on["policy"]["window"]) == (2, [16], 2) and "changes" not in on


def test_an_older_run_goes_on_with_what_was_usual_then_however_often(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = tmp_path / "run"
    begun = train(demos, run, "--steps", "5")
    older = {k: v for k, v in begun.items() if k not in ("bc_fall_at", "practice_per_update", "recipe")}
    (run / "config.json").write_text(json.dumps({**older, "hidden": [128, 128]}))
    monkeypatch.setattr(recipe, "LONG_STEPS", 1.0)
    monkeypatch.setattr(recipe, "MANY_ROWS", 1)
    for step in ("6", "7"):
        on = train(demos, run, "--steps", step, "--resume")
        assert "changes" not in on
        again = read(replace(OPEN, demos=(demos,), out=run, resume=True, pretrain_steps=5, batch_rows=16)).config
        assert (again.chunk, again.gamma, again.practice_per_update, again.bc_fall_at) == (4, 0.97, 1, 0)
        assert (again.hidden, again.steps) == ((128, 128), 25_000)


def test_a_run_without_a_checkpoint_hands_nothing_on(demos: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"command": "train", "gamma": 0.5}')
    assert read(replace(OPEN, demos=(demos,), out=tmp_path / "run", resume=True)).config.gamma == 0.97


def test_two_ends_of_one_choice_are_not_both_kept(demos: Path, tmp_path: Path):
    train(demos, tmp_path / "run", "--steps", "5", "--practice-per-update", "3", "--bc-fall-at", "4")
    goes_on = replace(OPEN, demos=(demos,), out=tmp_path / "run", resume=True)
    assert read(replace(goes_on, updates_per_step=2)).config.practice_per_update == 1
    assert read(replace(goes_on, bc_decay_steps=2)).config.bc_fall_at == 0
    assert (read(goes_on).config.practice_per_update, read(goes_on).config.bc_fall_at) == (3, 4)


def test_how_many_steps_hangs_on_the_demos_where_none_were_told(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = replace(OPEN, demos=(demos,), out=tmp_path / "run")
    rows = len(read(config).expert.rows)
    assert with_steps(config).steps == 25_000 and with_steps(replace(config, algo="bc", candidates=0)).steps == 5_000
    assert with_steps(replace(OPEN, steps=3)).steps == 3  # and nothing is read
    monkeypatch.setattr(recipe, "MANY_ROWS", 1)
    monkeypatch.setattr(Recipe, "steps", 10)  # what the largest is compared with
    monkeypatch.setattr(recipe, "MOST_STEPS", 2 * rows)
    monkeypatch.setattr(recipe, "LONG_STEPS", 1.0)
    assert with_steps(config).steps == 2 * rows
    assert planned_steps(config, tmp_path) == 10 and planned_steps(replace(config, algo="bc"), tmp_path) == 5_000
    (tmp_path / "config.json").write_text('{"recipe": {"steps": 77}}')
    assert planned_steps(config, tmp_path) == 77
    (tmp_path / "config.json").write_text('{"rec')  # just being written
    assert planned_steps(config, tmp_path) == 10


def test_old_and_new_runs_of_one_setting_are_seeds_of_it(demos: Path, tmp_path: Path):
    new = train(demos, tmp_path / "both" / "seed-0", "--steps", "5")
    train(demos, tmp_path / "both" / "seed-1", "--steps", "5", "--seed", "1")
    older = {k: v for k, v in new.items() if k not in ("bc_fall_at", "recipe")}
    (tmp_path / "both" / "seed-0" / "config.json").write_text(json.dumps({**older, "hidden": [128, 128]}))
    (family,) = families([tmp_path / "both"])
    assert len(family.runs) == 2
    train(demos, tmp_path / "said", "--steps", "5", "--practice-per-update", "4")
    assert len(families([tmp_path / "both", tmp_path / "said"])) == 2
