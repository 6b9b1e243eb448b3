"""Training from pictures as a user calls it: cloning and distillation, resumed exactly, evaluated, refused plainly."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import robot_lfd
from policies.encoders import SmallEncoder
from robot_lfd.cli import call
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from robot_lfd.evaluate import sight_of
from robot_lfd.rollout import rollout
from robot_lfd.runs import families
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.distill import Turns
from robot_lfd.train.pixel_reading import read_pixels

FAST = ["--obs", "pixels", "--hidden", "16", "--batch-rows", "4", "--shift-px", "2", "--checkpoint-every", "1000"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two demos that hold pictures, and a teacher on state."""
    path = tmp_path_factory.mktemp("pixels")
    words = ["--episodes", "2", "--cameras", "front", "wrist", "--size-px", "32", "--device", "scripted"]
    assert call(["record", "--env", "pybullet/Reach-v0", "--out", str(path / "reach"), *words]) == 0
    teacher = ["--demos", str(path / "reach"), "--out", str(path / "teacher"), "--algo", "bc", "--steps", "200"]
    assert call(["train", *teacher, "--hidden", "16"]) == 0
    return path


def train(home: Path, out: Path, *more: str) -> int:
    return call(["train", "--demos", str(home / "reach"), "--out", str(out), *FAST, *more])


def distil(home: Path, out: Path, *more: str) -> int:
    teacher = (
        "--algo",
        "distill",
        "--teacher",
        str(home / "teacher"),
        "--pretrain-steps",
        "3",
        "--teacher-steps",
        "30",
    )
    return train(home, out, *teacher, "--practice-limit", "12", *more)


def tensors(run: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "checkpoints" / f"{step:08d}" / f"{name}.safetensors")


def learn(home: Path, out: Path, *more: str) -> int:
    return train(home, out, "--algo", "iq", "--pretrain-steps", "2", "--practice-limit", "12", *more)


@pytest.mark.parametrize("kind", ["bc", "distill", "online", "offline"])
def test_two_halves_with_a_resume_between_equal_one_whole_run(
    home: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("robot_lfd.train.pixels.WARM_UP_ROWS", 10)

    def go(out: Path, *more: str) -> int:
        if kind == "bc":
            return train(home, out, "--algo", "bc", *more)
        if kind == "offline":
            return train(home, out, "--algo", "iq", "--mode", "offline", "--critic-sees", "pixels", *more)
        return (distil if kind == "distill" else learn)(home, out, *more)

    assert go(tmp_path / "whole", "--steps", "29", "--frame-stack", "2") == 0
    assert go(tmp_path / "halves", "--steps", "17", "--frame-stack", "2") == 0  # stops in the middle of an episode
    assert go(tmp_path / "halves", "--steps", "29", "--frame-stack", "2", "--resume") == 0
    for name in ("model", "training"):
        whole, halves = (tensors(tmp_path / run, 29, name) for run in ("whole", "halves"))
        assert whole.keys() == halves.keys()
        assert all(torch.equal(whole[k], halves[k]) for k in whole), name


def test_a_clone_of_chunks_learns_what_came_next_and_does_half_of_what_it_says(home: Path, tmp_path: Path):
    words = TrainConfig(demos=(home / "reach",), out=tmp_path / "run", algo="bc", obs="pixels", chunk=4)
    demos = read_pixels(words).demos
    recorded = DemoStore.open(home / "reach")
    first = recorded[recorded.ids()[0]]
    place = int(demos.sights.row[0])
    assert np.array_equal(demos.sights.action[0].reshape(4, -1), first.action[place : place + 4])

    assert train(home, tmp_path / "run", "--algo", "bc", "--steps", "3", "--chunk", "4", "--frame-stack", "2") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    actor = policy._learned.actor  # pyright: ignore
    looked: list[torch.Tensor] = []
    best = actor.best
    actor.best = lambda *seen: looked.append(best(*seen)) or looked[-1]
    env = make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs)
    steps = list(itertools.islice(rollout(env, policy, seed=3), 6))
    env.close()
    assert len(looked) == 3 and looked[0].shape == (1, 4 * 4)
    done = np.stack([step.action for step in steps])
    said = torch.stack([chunk.reshape(4, 4)[:2] for chunk in looked]).reshape(6, 4)
    assert np.allclose(done, said.numpy(), atol=1e-6)


def test_every_practice_step_is_labelled_with_what_the_teacher_would_do(home: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert distil(home, run, "--steps", "40") == 0
    teacher = robot_lfd.load_policy(home / "teacher")
    state = np.fromfile(run / "labelled" / "state.bin", np.float32).reshape(40, -1)
    action = np.fromfile(run / "labelled" / "action.bin", np.float32).reshape(40, -1)
    ends = np.cumsum(teacher.spec.sizes)[:-1]  # type: ignore[attr-defined]
    for row, label in zip(state, action, strict=True):
        obs = dict(zip(teacher.spec.features, np.split(row, ends), strict=True))  # type: ignore[attr-defined]
        assert np.array_equal(teacher.act(obs), label)
    assert len(np.unique(state, axis=0)) > 30, "the arm did not move"
    first = np.fromfile(run / "labelled" / "first.bin", np.int64)
    assert set(first) == {0, 12, 24, 36}
    pictures = np.fromfile(run / "labelled" / "images+front.bin", np.uint8).reshape(40, 32, 32, 3)
    assert pictures.std((1, 2, 3)).min() > 5
    said = json.loads((run / "config.json").read_text())["read"]
    assert said["simulator_state"] == ["target_rel", "eef_height", "eef_vel"], "what training knew is not said"
    assert said["teacher"]["demos"] == [str(home / "reach")]


def test_a_teacher_that_decides_on_several_actions_decides_anew_after_the_students_step(home: Path, tmp_path: Path):
    words = ["train", "--demos", str(home / "reach"), "--out", str(tmp_path / "teacher"), "--algo", "bc", "--steps"]
    assert call([*words, "50", "--hidden", "16", "--candidates", "3", "--chunk", "4", "--pretrain-steps", "20"]) == 0
    teacher, asked = robot_lfd.load_policy(tmp_path / "teacher"), robot_lfd.load_policy(tmp_path / "teacher")
    env = make_env("pybullet/Reach-v0")
    obs = env.reset(seed=0)[0]

    class Student:
        actor = type("Actor", (), {"sight": type("Sight", (), {"stack": 1})})

        def act(self, pictures: object, proprio: object) -> torch.Tensor:
            return torch.full((1, 4), 0.5)

    sights = type("Sights", (), {"stacked": lambda *_: None, "proprio": np.zeros((100, 1), np.float32)})()
    turns = Turns(teacher, Student(), np.random.default_rng(0), 40)  # type: ignore[arg-type]
    turns.begin()
    asked.reset()
    taught = []
    for step in range(60):
        action, label, by_teacher = turns.choose(obs, sights, step, step)  # type: ignore[arg-type]
        if taught and not taught[-1]:
            asked.reset()
        assert np.array_equal(label, asked.act(obs)), step
        taught.append(by_teacher)
        obs = env.step(np.asarray(action))[0]
    assert 0 < sum(taught) < 40 and not any(taught[40:])
    env.close()


def test_practice_keeps_each_observation_once_with_what_followed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("robot_lfd.train.pixels.WARM_UP_ROWS", 10)
    run, steps = tmp_path / "run", 30
    assert learn(home, run, "--steps", str(steps)) == 0
    row = np.fromfile(run / "seen" / "row.bin", np.int64)
    first = np.fromfile(run / "seen" / "first.bin", np.int64)
    assert np.array_equal(row, [i + i // 12 for i in range(steps)]), "an episode of 12 steps has 13 observations"
    assert set(first[:32]) == {0, 13, 26}
    known = json.loads((run / "config.json").read_text())["read"]
    assert known["critic_sees"] == "state" and known["simulator_state"] == ["target_rel", "eef_height", "eef_vel"]
    assert "no object's state; training also looked at the simulator's target_rel" in families([run])[0].runs[0].sight
    policy = robot_lfd.load_policy(run)
    env = make_env("pybullet/Reach-v0", **sight_of(policy))
    obs, _ = env.reset(seed=20_000_000)  # the first practice episode's
    pictures = np.memmap(run / "seen" / "images+wrist.bin", np.uint8, "r").reshape(-1, 32, 32, 3)
    assert np.array_equal(pictures[0], obs["images/wrist"])
    assert not policy.has_critic  # type: ignore[attr-defined]
    env.close()


def test_frozen_encoders_look_once_at_each_observation_and_stay_as_they_were(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert train(home, tmp_path / "first", "--algo", "bc", "--steps", "3") == 0
    looked: list[int] = []
    monkeypatch.setattr(SmallEncoder, "forward", counted(SmallEncoder.forward, looked))
    words = ("--encoder-weights", str(tmp_path / "first"), "--encoder-gradient", "none")
    assert train(home, tmp_path / "second", "--algo", "bc", "--steps", "60", *words) == 0
    assert max(looked) <= 256 and sum(n for n in looked if n > 1) <= 2 * 82, "a picture was looked at twice"
    before, after = (tensors(tmp_path / "first", 3, "model"), tensors(tmp_path / "second", 60, "model"))
    same = {k for k in before if torch.equal(before[k], after[k])}
    assert {k for k in before if ".encoders." in k} == same


def counted(forward: Callable[..., torch.Tensor], looked: list[int]) -> Callable[..., torch.Tensor]:
    def look(self: SmallEncoder, pictures: torch.Tensor) -> torch.Tensor:
        looked.append(len(pictures))
        return forward(self, pictures)

    return look


def test_a_pixel_policy_sees_no_state_and_remembers_its_frames_within_an_episode_only(home: Path, tmp_path: Path):
    assert distil(home, tmp_path / "run", "--steps", "5", "--frame-stack", "2") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    keys = policy.policy_keys  # type: ignore[attr-defined]
    assert set(keys) == {"eef_height", "eef_vel", "gripper_width", "gripper_vel", "images/front", "images/wrist"}
    env = make_env("pybullet/Reach-v0", max_episode_steps=3, **sight_of(policy))
    first, again = ([s.action for s in rollout(env, policy, seed=4)] for _ in range(2))
    assert np.array_equal(first, again), "something was left over from the last episode"
    obs, _ = env.reset(seed=4)
    only = {k: obs[k] for k in keys}
    policy.reset()
    assert np.array_equal(policy.act(only), first[0])
    changed = {**only, "images/front": 255 - only["images/front"]}
    assert not np.array_equal(policy.act(changed), first[0])
    assert not np.array_equal(policy.act(only), first[0]), "the frame before counts too"


def test_evaluation_and_deployment_draw_what_the_policy_sees(home: Path, tmp_path: Path, capfd):
    assert train(home, tmp_path / "run", "--algo", "bc", "--steps", "2", "--cameras", "wrist") == 0
    capfd.readouterr()
    assert call(["eval", str(tmp_path / "run"), "--episodes", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["algo"] == "bc"
    words = ["--episodes", "1", "--headless", "--no-realtime", "--record", str(tmp_path / "rollouts")]
    call(["deploy", str(tmp_path / "run"), *words])
    assert DemoStore.open(tmp_path / "rollouts").spec.features["images/wrist"]["shape"] == [32, 32, 3]


def test_what_cannot_work_is_said_in_one_line_before_the_first_step(home: Path, tmp_path: Path, capfd):
    bare = tmp_path / "bare"
    assert (
        call(["record", "--env", "pybullet/Reach-v0", "--out", str(bare), "--device", "scripted", "--episodes", "1"])
        == 0
    )
    teacher = ("--algo", "distill", "--teacher", str(home / "teacher"))
    draw = f"lfd data render {home / 'reach'} --out {home / 'reach'}-seen --cameras side"
    cases = {
        ("--algo", "bc", "--cameras", "side"): f"has pictures of front, wrist, not of side; draw them: {draw}",
        ("--algo", "dac"): "--obs pixels is offered for --algo bc, distill, iq, sqil, not for dac",
        ("--algo", "bc", "--bc-head", "gmm"): "--bc-head is for --obs state, --obs is pixels; leave it out",
        ("--algo", "bc", "--gamma", "0.9"): "--gamma changes nothing with --obs pixels --algo bc",
        ("--algo", "iq", "--mode", "offline", "--updates-per-step", "2"): "--updates-per-step changes nothing",
        ("--algo", "iq", "--encoder-gradient", "critic"): "the critics see the state, no pictures",
        ("--algo", "bc", "--encoder-gradient", "none"): "give them --encoder-weights",
        ("--algo", "bc", "--encoder-weights", str(home / "teacher")): "does not fit the encoders here",
        ("--algo", "bc", "--train-on", "cuda"): "torch finds no GPU here",
        ("--algo", "bc", "--chunk", "4", "--chunk-execute", "5"): "--chunk-execute is 5, expected 1 to 4",
        ("--algo", "iq", "--chunk", "4"): "--chunk changes nothing with --obs pixels --algo iq",
        ("--algo", "distill"): "--algo distill and --teacher RUN (a run on state) go together",
        ("--algo", "bc", "--teacher", str(home / "teacher")): "--algo distill and --teacher RUN",
        ("--algo", "bc", "--frame-stack", "0"): "--frame-stack is 0, expected at least 1",
        ("--algo", "bc", "--features", "nonsense"): "unknown observation 'nonsense'",
        (*teacher[:3], str(tmp_path / "none")): "no such run",
    }
    for words, message in cases.items():
        capfd.readouterr()
        assert train(home, tmp_path / "x", *words) == 1, words
        error = capfd.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0], error
    assert call(["train", "--demos", str(bare), "--out", str(tmp_path / "x"), *FAST, "--algo", "bc"]) == 1
    assert f"lfd data render {bare}" in capfd.readouterr().err
    assert call(["train", "--demos", str(home / "reach"), "--out", str(tmp_path / "x"), *teacher]) == 1
    assert "add --obs pixels" in capfd.readouterr().err
    assert call(["train", "--demos", str(home / "reach"), "--out", str(tmp_path / "x"), "--cameras", "front"]) == 1
    assert "--cameras is for --obs pixels, --obs is state" in capfd.readouterr().err
    assert not (tmp_path / "x").exists()
