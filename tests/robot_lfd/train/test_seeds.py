"""Several seeds with one command: each a run of its own, none done twice, evaluated and compared together."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from robot_lfd.cli import call
from robot_lfd.errors import Diverged
from robot_lfd.train import seeds, trainer

FAST = ("--algo", "bc", "--hidden", "16", "--batch-rows", "16", "--steps", "20", "--checkpoint-every", "10")


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demos") / "reach"
    words = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(path), "--episodes", "2"]
    assert call(words) == 0
    return path


def train(demos: Path, out: Path, *more: str) -> int:
    return call(["train", "--demos", str(demos), "--out", str(out), *FAST, *more])


def model(run: Path) -> bytes:
    return (run / "checkpoints" / "00000020" / "model.safetensors").read_bytes()


def test_each_seed_is_a_run_equal_to_one_trained_alone(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "both", "--seeds", "2", "--seed", "3") == 0
    assert sorted(p.name for p in (tmp_path / "both").iterdir()) == ["seed-3", "seed-4"]
    assert train(demos, tmp_path / "alone", "--seed", "4") == 0
    assert model(tmp_path / "both" / "seed-4") == model(tmp_path / "alone") != model(tmp_path / "both" / "seed-3")


def test_what_an_interrupt_left_goes_on_where_it_was_and_finished_seeds_are_not_done_again(
    demos: Path, tmp_path: Path, monkeypatch, capfd
):
    assert train(demos, tmp_path / "whole", "--seeds", "3") == 0
    done = []
    real = trainer.run

    def interrupted(config):
        if config.seed == 1:
            monkeypatch.setattr(trainer, "run", real)
            real(dataclasses.replace(config, steps=10))
            raise KeyboardInterrupt
        return real(config)

    monkeypatch.setattr(trainer, "run", interrupted)
    assert train(demos, tmp_path / "parts", "--seeds", "3") == 1
    assert not (tmp_path / "parts" / "seed-2").exists()
    monkeypatch.setattr(trainer, "run", lambda config: done.append(config.seed) or real(config))
    assert train(demos, tmp_path / "parts", "--seeds", "3", "--resume") == 0
    assert done == [1, 2] and "seed 0: 20 steps were done before" in capfd.readouterr().out
    for k in range(3):
        assert model(tmp_path / "parts" / f"seed-{k}") == model(tmp_path / "whole" / f"seed-{k}")


def test_a_seed_that_diverges_does_not_stop_the_others_and_is_told(demos: Path, tmp_path: Path, monkeypatch, capfd):
    real = trainer.run

    def run(config):
        if config.seed == 0:
            raise Diverged("training diverged at step 7: critic_loss is not finite; lower --gamma")
        return real(config)

    monkeypatch.setattr(trainer, "run", run)
    assert train(demos, tmp_path / "run", "--seeds", "2", "--json") == 1
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert found["ok"] is False and "diverged at step 7" in found["seeds"][0]["error"]
    assert found["seeds"][1]["steps"] == 20


def test_the_seeds_are_evaluated_each_and_together_and_compared_as_one(demos: Path, tmp_path: Path, capfd):
    run = tmp_path / "run"
    assert train(demos, run, "--seeds", "2") == 0
    assert call(["eval", str(run), "--episodes", "2", "--json"]) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert found["episodes"] == 4 and len(found["rates"]) == len(found["seeds"]) == 2
    assert found["success_rate"] == pytest.approx(sum(found["rates"]) / 2)
    assert call(["compare", str(run), "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out.splitlines()[-1])["families"]
    assert row["final"]["success_rate"] == found["success_rate"] and row["demos"] == 2 and row["seeds"] == [0, 1]


def test_what_cannot_work_is_one_plain_line(demos: Path, tmp_path: Path, capfd):
    assert train(demos, tmp_path / "run", "--seeds", "0") == 1
    assert "--seeds is 0, expected at least 1" in capfd.readouterr().err
    assert train(demos, tmp_path / "run", "--seeds", "1") == 0
    assert train(demos, tmp_path / "run", "--seeds", "2") == 1
    assert "already holds 1 seeds; go on with --resume" in capfd.readouterr().err
    assert call(["deploy", str(tmp_path / "run"), "--headless"]) == 1
    assert "holds runs of several seeds; name one of them" in capfd.readouterr().err
    assert call(["eval", str(tmp_path / "run"), "--video", "a.mp4"]) == 1
    assert "film one of them" in capfd.readouterr().err
    assert train(demos, tmp_path / "single") == 0
    assert train(demos, tmp_path / "single", "--seeds", "2") == 1
    assert "already holds a single run" in capfd.readouterr().err


def test_the_number_of_seeds_counts_up_from_the_first():
    config = seeds.TrainConfig(demos=(), out=Path("run"), seed=7, seeds=3)
    assert [(c.seed, c.out.name, c.seeds) for c in seeds._configs(config)] == [
        (7, "seed-7", None), (8, "seed-8", None), (9, "seed-9", None),
    ]  # fmt: skip
