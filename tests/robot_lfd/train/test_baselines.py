"""The methods to compare with, as a user calls them: they train, resume bit for bit, act with their memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import robot_lfd
from robot_lfd.cli import call
from robot_lfd.envs.registry import make_env

FAST = ("--hidden", "16", "16", "--batch-rows", "16", "--pretrain-steps", "10", "--practice-limit", "40")
METHODS = {
    "dac": ("--algo", "dac"),
    "valuedice": ("--algo", "valuedice"),
    "valuedice-offline": ("--algo", "valuedice", "--mode", "offline"),
    "gmm": ("--algo", "bc", "--bc-head", "gmm"),
    "lstm": ("--algo", "bc", "--memory", "lstm", "--bc-head", "gmm"),
    "gru": ("--algo", "bc", "--memory", "gru", "--memory-steps", "5"),
    "chunk": ("--algo", "bc", "--chunk", "6"),
    "blend": ("--algo", "bc", "--chunk", "6", "--chunk-blend", "--bc-head", "gmm"),
}


def train(demos: Path, out: Path, *more: str) -> int:
    return call(["train", "--demos", str(demos), "--out", str(out), *FAST, *more])


@pytest.mark.parametrize("name", ["dac", "valuedice", "lstm"])
def test_two_halves_with_a_resume_between_equal_one_whole_run(demos: Path, tmp_path: Path, name: str):
    kind = (*METHODS[name], "--checkpoint-every", "230")
    assert train(demos, tmp_path / "whole", *kind, "--steps", "260") == 0
    assert train(demos, tmp_path / "halves", *kind, "--steps", "230") == 0
    assert train(demos, tmp_path / "halves", *kind, "--steps", "260", "--resume") == 0
    for file in ("model", "training"):
        where = Path("checkpoints") / "00000260" / f"{file}.safetensors"
        whole, halves = (safetensors.torch.load_file(tmp_path / run / where) for run in ("whole", "halves"))
        assert whole.keys() == halves.keys() and all(torch.equal(whole[k], halves[k]) for k in whole), file


@pytest.mark.parametrize("name", METHODS)
def test_a_policy_acts_alike_after_every_reset(demos: Path, tmp_path: Path, name: str):
    assert train(demos, tmp_path / "run", *METHODS[name], "--steps", "20") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    env = make_env("pybullet/Reach-v0")
    acts = []
    for _ in range(2):
        obs, _ = env.reset(seed=1)
        policy.reset()
        acts.append([])
        for _ in range(8):
            action = policy.act(obs)
            assert action.dtype == np.float32 and env.action_space.contains(action)
            acts[-1].append(action)
            obs, *_ = env.step(action)
    env.close()
    assert np.array_equal(acts[0], acts[1])


def test_a_policy_with_a_mixture_is_exported_and_one_with_memory_is_refused_plainly(demos: Path, tmp_path: Path, capfd):
    assert train(demos, tmp_path / "gmm", *METHODS["gmm"], "--steps", "20") == 0
    assert call(["export", str(tmp_path / "gmm"), "--out", str(tmp_path / "gmm.pt")]) == 0
    assert train(demos, tmp_path / "lstm", *METHODS["lstm"], "--steps", "5") == 0
    assert call(["export", str(tmp_path / "lstm")]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "remembers; only policies that act on what they see now" in error[0]
    assert train(demos, tmp_path / "chunk", *METHODS["chunk"], "--steps", "5") == 0
    assert call(["export", str(tmp_path / "chunk"), "--out", str(tmp_path / "chunk.pt")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--algo", "iq", "--bc-head", "gmm"), "--bc-head: not of --algo iq; use --algo bc"),
        (("--algo", "bc", "--memory", "lstm", "--chunk", "4"), "two answers to one question"),
        (("--algo", "bc", "--chunk", "4", "--chunk-execute", "5"), "--chunk-execute is 5, expected 1 to 4"),
        (("--algo", "bc", "--chunk-blend"), "say how long they are with --chunk"),
        (("--algo", "bc", "--memory", "gru", "--hidden", "16", "8"), "layers of one width, --hidden is 16 8"),
        (("--algo", "bc", "--chunk", "0"), "expected at least 1"),
    ],
)
def test_options_that_contradict_each_other_are_one_plain_line(demos: Path, tmp_path: Path, capfd, words, message):
    assert call(["train", "--demos", str(demos), "--out", str(tmp_path / "run"), *words]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "run").exists()


def test_an_evaluation_on_the_way_is_kept_with_its_episodes(demos: Path, tmp_path: Path):
    words = ("--algo", "bc", "--steps", "60", "--eval-every", "30", "--eval-episodes", "2")
    assert train(demos, tmp_path / "run", *words) == 0
    assert sorted(p.name for p in (tmp_path / "run" / "evaluations").iterdir()) == ["30-1000.json", "60-1000.json"]
    records = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert records.count("eval_success") == 2
