"""Training as a user calls it: resumes bit for bit, refuses plainly; its policy acts without training code."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import robot_lfd
from policies.networks import LEAST_SPREAD, LOG_STD_MAX
from robot_lfd.checkpoint import finished_checkpoints
from robot_lfd.cli import call
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from robot_lfd.metrics import read_metrics
from robot_lfd.train.agents import default_noise, default_temperature, make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import keeps_own, read, unchanging
from robot_lfd.train.resume import alone_in, practice_limit

FAST = ["--hidden", "16", "16", "--batch-rows", "16", "--pretrain-steps", "20", "--practice-limit", "40"]


def train(demos: Path, out: Path, *more: str) -> int:
    return call(["train", "--demos", str(demos), "--out", str(out), *FAST, *more])


@pytest.mark.parametrize(
    "algo,mode,more",
    [
        ("iq", "online", ()),
        ("iq", "online", ("--chunk", "3")),
        ("iq", "online", ("--candidates", "3", "--chunk", "2")),
        ("iq", "online", ("--candidates", "0")),
        ("iq", "online", ("--candidates", "0", "--practice-noise", "0.05")),
        ("iq", "online", ("--practice-per-update", "3")),
        ("iq", "online", ("--ema-share", "1", "--bound-targets", "--no-normalisation")),
        ("iq", "online", ("--frame-stack", "3", "--n-step", "2")),
        pytest.param("iq", "online", ("--copies", "2"), marks=pytest.mark.slow),
        pytest.param("iq", "online", ("--copies", "2", "--candidates", "3"), marks=pytest.mark.slow),
        ("iq", "offline", ()),
        ("sqil", "online", ("--chunk", "3")),
        ("sqil", "offline", ("--candidates", "3", "--near-m", "0.005")),
        ("bc", "offline", ("--candidates", "3")),
        ("bc", "offline", ()),
    ],
)
def test_two_halves_with_a_resume_between_equal_one_whole_run(
    demos: Path, tmp_path: Path, algo: str, mode: str, more: tuple[str, ...]
):
    kind = ("--algo", algo, "--mode", mode, "--checkpoint-every", "230", *more)
    assert train(demos, tmp_path / "whole", *kind, "--steps", "330") == 0
    assert train(demos, tmp_path / "halves", *kind, "--steps", "230") == 0  # stops in the middle of an episode
    assert train(demos, tmp_path / "halves", *kind, "--steps", "330", "--resume") == 0
    for name in ("model", "training"):
        whole, halves = (tensors(tmp_path / run, 330, name) for run in ("whole", "halves"))
        assert whole.keys() == halves.keys()
        assert all(torch.equal(whole[k], halves[k]) for k in whole), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_told_to_end_keeps_its_last_step_and_goes_on_from_there(
    demos: Path, tmp_path: Path, number: signal.Signals
):
    run, shown = tmp_path / "run", tmp_path / "shown.txt"
    words = [sys.executable, "-m", "robot_lfd.cli", "train", "--demos", demos, "--out", run, *FAST]

    def as_in_a_terminal() -> None:  # whoever runs the tests in the background hands on that Ctrl-C is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with shown.open("w") as out:
        process = subprocess.Popen(
            [*words, "--steps", "100000", "--checkpoint-every", "100"],
            stdout=out, stderr=out, preexec_fn=as_in_a_terminal,
        )  # fmt: skip
    try:
        while not finished_checkpoints(run) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
    assert "interrupted; what was finished is kept" in shown.read_text()
    assert "iq: step 100 of 100000" in shown.read_text()  # a file has lines where a terminal has a bar
    kept = int(finished_checkpoints(run)[-1].name)
    assert kept >= 100 and (run / f"checkpoints/{kept:08d}/training.safetensors").exists()
    assert train(demos, run, "--steps", str(kept + 5), "--resume") == 0


def test_a_run_folder_holds_what_the_design_says_and_nothing_pickled(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "300", "--json") == 0
    run = tmp_path / "run"
    checkpoint = run / "checkpoints" / "00000300"
    assert {p.name for p in checkpoint.iterdir()} >= {"model.safetensors", "config.json", "stats.json", "DONE"}
    assert (run / "config.json").exists() and list((run / "tensorboard").iterdir())
    records = read_metrics(run)
    assert [r["step"] for r in records] == [100, 200, 300] and records[-1]["critic_loss"] is not None
    assert not [p for p in run.rglob("*") if p.suffix in (".pkl", ".pt", ".pth")]


def test_a_policy_loads_without_training_code_and_acts_alike_every_time(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    env = make_env("pybullet/Reach-v0")
    obs, _ = env.reset(seed=0)
    policy.reset()
    first = [policy.act(obs) for _ in range(3)]
    policy.reset()
    assert all(np.array_equal(a, policy.act(obs)) for a in first)
    assert first[0].dtype == np.float32 and env.action_space.contains(first[0])
    code = (
        "import sys, robot_lfd\n"
        "robot_lfd.load_policy(sys.argv[1])\n"
        "assert not [m for m in sys.modules if 'robot_lfd.train' in m]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)


def test_the_recovered_reward_is_q_minus_the_discounted_value_that_follows(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210", "--candidates", "0") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    store = DemoStore.open(demos)
    demo = store[store.ids()[0]]
    now, after = ({k: v[a:b] for k, v in demo.obs.items()} for a, b in ((0, -1), (1, None)))
    ended = np.arange(len(demo)) == len(demo) - 1
    reward = policy.recovered_reward(now, demo.action, after, ended)
    expected = policy.q(now, demo.action) - policy.spec.gamma * policy.value(after)
    np.testing.assert_allclose(reward[:-1], expected[:-1], rtol=1e-5)
    assert reward[-1] == pytest.approx(policy.q(now, demo.action)[-1] - policy.spec.gamma * policy.spec.absorbing_value)


def test_a_policy_that_decides_on_several_actions_does_them_all_and_judges_them_together(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210", "--chunk", "3") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    store = DemoStore.open(demos)
    demo = store[store.ids()[0]]
    first = {k: v[0] for k, v in demo.obs.items()}
    policy.reset()
    said = [policy.act({k: v[t] for k, v in demo.obs.items()}) for t in range(4)]
    policy.reset()
    assert all(np.array_equal(policy.act(first), a) for a in said[:3]), "it does not look again before it is done"
    assert not np.array_equal(policy.act(first), said[3])
    now, after = ({k: v[a:b] for k, v in demo.obs.items()} for a, b in ((0, -1), (1, None)))
    ended = np.arange(len(demo)) == len(demo) - 1
    other = np.array(demo.action)
    other[2] += 0.5
    changed = policy.q(now, other) != policy.q(now, demo.action)
    assert changed.tolist() == [t <= 2 for t in range(len(demo))], "Q of a step is about it and the two that follow"
    reward = policy.recovered_reward(now, demo.action, after, ended)
    q, spec = policy.q(now, demo.action), policy.spec
    np.testing.assert_allclose(reward[:-3], (q - spec.gamma**3 * np.roll(policy.value(after), -2))[:-3], rtol=1e-4)
    np.testing.assert_allclose(reward[-3:], q[-3:] - spec.gamma**3 * spec.absorbing_value, rtol=1e-4)


def test_a_policy_that_sees_several_steps_judges_a_demo_as_it_saw_it_in_passing(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210", "--frame-stack", "3", "--n-step", "2") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    store = DemoStore.open(demos)
    demo = store[store.ids()[0]]
    seen, act = [], policy._learned.act
    policy._learned.act = lambda obs: (seen.append(obs), act(obs))[1]  # type: ignore[method-assign]
    for _ in range(2):  # the second time after a reset, so with nothing of the first
        policy.reset()
        for t in range(len(demo)):
            policy.act({k: v[t] for k, v in demo.obs.items()})
    one, two = torch.cat(seen).chunk(2)
    now, after = ({k: v[a:b] for k, v in demo.obs.items()} for a, b in ((0, -1), (1, None)))
    assert torch.equal(one, two) and one.shape == (len(demo), 3 * sum(policy.spec.sizes))
    q = policy.critic.q(one, torch.from_numpy(demo.action)).detach().numpy()
    np.testing.assert_allclose(policy.q(now, demo.action), q, rtol=1e-6)
    reward = policy.recovered_reward(now, demo.action, after, np.arange(len(demo)) == len(demo) - 1)
    value, spec = policy.critic.value(one, 16).detach().numpy(), policy.spec
    np.testing.assert_allclose(reward[:-2], (q - spec.gamma**2 * np.roll(value, -2))[:-2], rtol=1e-4)
    np.testing.assert_allclose(reward[-2:], q[-2:] - spec.gamma**2 * spec.absorbing_value, rtol=1e-4)


def test_more_demos_than_successes_are_never_trained_on_unless_told(demos: Path, tmp_path: Path, capfd):
    store = DemoStore.open(demos)
    store.label(store.ids()[0], success=False)
    try:
        assert train(demos, tmp_path / "a", "--algo", "bc", "--steps", "5", "--json") == 0
        assert json.loads(capfd.readouterr().out.splitlines()[-1])["demos"] == 2
        assert train(demos, tmp_path / "b", "--algo", "bc", "--steps", "5", "--json", "--include-failures") == 0
        assert json.loads(capfd.readouterr().out.splitlines()[-1])["demos"] == 3
    finally:
        store.label(store.ids()[0], success=True)


@pytest.mark.parametrize(
    ("more", "actor", "chunk", "near_m"),
    [
        ({}, "candidates", 4, 0.005),
        ({"algo": "sqil", "mode": "offline"}, "candidates", 4, 0.005),
        ({"chunk": 2, "frame_stack": 2}, "candidates", 2, 0.0),
        ({"candidates": 0}, "gaussian", 1, 0.005),
        ({"q_filter": True}, "gaussian", 1, 0.005),
        ({"state_only": True, "near_m": 0.0}, "gaussian", 1, 0.0),
        ({"algo": "dac"}, "gaussian", 1, 0.005),
        ({"algo": "bc"}, "gaussian", 1, 0.005),
        ({"features": ("eef_vel",)}, "candidates", 4, 0.0),
    ],
)
def test_arms_have_one_recipe_unless_something_else_is_asked_for(
    demos: Path, more: dict[str, Any], actor: str, chunk: int, near_m: float
):
    spec = read(TrainConfig(demos=(demos,), out=Path("unused"), **more)).spec
    assert (spec.actor, spec.window, spec.near_m) == (actor, chunk, near_m)
    assert spec.candidates == (16 if actor == "candidates" else 0)


def test_the_temperature_is_that_of_what_moves_unless_one_is_given():
    usual = TrainConfig(demos=(), out=Path("unused"))
    assert default_temperature(usual, chooses=False, arm=True) == 0.02
    assert default_temperature(usual, chooses=False, arm=False) == 0.006
    assert default_temperature(usual, chooses=True, arm=True) == default_temperature(usual, True, False) == 0.1
    assert default_temperature(replace(usual, temperature=0.5), chooses=False, arm=False) == 0.5


def test_the_noise_of_a_gait_is_bounded_unless_it_is_said_otherwise(demos: Path):
    usual = TrainConfig(demos=(demos,), out=Path("unused"))
    bounds = {(c, a): default_noise(usual, chooses=c, arm=a) for c in (True, False) for a in (True, False)}
    assert bounds == {(True, True): 0.0, (True, False): 0.0, (False, True): 0.0, (False, False): 0.3}
    assert default_noise(replace(usual, practice_noise=0.1), chooses=False, arm=True) == 0.1
    for noise in (0.05, None):
        config = replace(usual, candidates=0, practice_noise=noise)
        config, _, expert, spec = read(config)
        most = make_agent(config, spec, expert.rows).actor.log_std_max.exp()
        spread = torch.from_numpy(expert.rows.action.std(0)) + LEAST_SPREAD
        assert torch.allclose(most, spread.clamp(max=0.05 if noise else math.exp(LOG_STD_MAX)))


def test_what_practice_solves_counts_only_where_it_may_be_known():
    usual = TrainConfig(demos=(), out=Path("unused"))
    assert keeps_own(usual) and keeps_own(replace(usual, algo="dac", copies=4))
    for more in ({"algo": "bc"}, {"mode": "offline"}, {"success_blind": True}, {"no_own_successes": True}):
        assert not keeps_own(replace(usual, **more))


def test_what_cannot_work_is_said_in_one_line_before_the_first_step(demos: Path, tmp_path: Path, capfd):
    onto = ("--demos", str(demos), "--out", str(tmp_path / "x"))
    cases = {
        ("--demos", str(tmp_path / "none"), "--out", str(tmp_path / "x")): "no such dataset",
        (
            "--demos",
            str(demos),
            "--out",
            str(tmp_path / "x"),
            "--features",
            "nonsense",
        ): "unknown observation 'nonsense'",
        ("--demos", str(demos), "--out", str(tmp_path / "x"), "--gamma", "1.0"): "--gamma is 1.0",
        ("--demos", str(demos), "--out", str(tmp_path / "x"), "--steps", "0"): "--steps is 0",
        ("--demos", str(demos), "--out", str(tmp_path / "x"), "--copies", "0"): "--copies is 0",
        (*onto, "--candidates", "1"): "--candidates is 1, expected at least 2",
        (*onto, "--candidates", "4", "--q-filter"): "--q-filter: not of a policy that chooses among candidates",
        (*onto, "--candidates", "4", "--algo", "dac"): "--candidates: not of --algo dac",
        (*onto, "--no-own-successes", "--mode", "offline"): "--no-own-successes: none would count here",
        (*onto, "--no-own-successes", "--success-blind"): "--no-own-successes: none would count here",
        (*onto, "--algo", "bc", "--memory", "lstm", "--memory-steps", "0"): "--memory-steps is 0",
        (*onto, "--memory-steps", "5"): "--memory-steps changes nothing with --algo iq",
        (*onto, "--algo", "bc", "--q-filter"): "--q-filter changes nothing with --algo bc",
        (*onto, "--algo", "bc", "--bc-weight", "1"): "--bc-weight changes nothing with --algo bc",
        (*onto, "--algo", "valuedice", "--terminal", "zero"): "--terminal changes nothing with --algo valuedice",
        (*onto, "--algo", "sqil", "--divergence", "kl"): "--divergence changes nothing with --algo sqil",
        (*onto, "--algo", "dac", "--chi2-alpha", "1"): "--chi2-alpha changes nothing with --algo dac",
        (*onto, "--algo", "dac", "--mode", "offline"): "offline there are none",
        (*onto, "--state-only", "--q-filter"): "--q-filter changes nothing with --algo iq",
        (*onto, "--state-only", "--mode", "offline"): "use --mode online",
        (*onto, "--algo", "sqil", "--bound-targets"): "--bound-targets changes nothing with --algo sqil",
        (*onto, "--mode", "offline", "--bound-targets"): "offline a choice has no target critics",
        (*onto, "--ema-share", "0"): "--ema-share is 0.0, expected more than 0, at most 1",
        (*onto, "--seed", "-1"): "--seed is -1, expected at least 0",
        (*onto, "--checkpoint-every", "0"): "--checkpoint-every is 0",
        (*onto, "--eval-every", "-1"): "--eval-every is -1",
        (*onto, "--max-demos", "-1"): "--max-demos is -1",
        (*onto, "--bc-decay-steps", "-5"): "--bc-decay-steps is -5",
        (*onto, "--bc-weight", "nan"): "--bc-weight is nan, expected 0 or more",
        (*onto, "--hidden", "16", "0"): "--hidden is 16 0",
        (*onto, "--candidates", "100000"): "--candidates is 100000, expected at most 4096",
        (*onto, "--features", "eef_vel", "eef_vel"): "--features names 'eef_vel' twice",
        (*onto, "--practice-limit", "0"): "--practice-limit is 0",
        (*onto, "--practice-limit", "3"): "--practice-limit is 3, expected at least 4: a decision's steps",
        (*onto, "--practice-per-update", "0"): "--practice-per-update is 0",
        (*onto, "--practice-per-update", "2", "--mode", "offline"): "this run does not practise",
        (*onto, "--practice-per-update", "2", "--updates-per-step", "2"): "two ends of one choice",
        (*onto, "--practice-per-update", "2", "--rollout-workers", "2"): "not together so far",
        (*onto, "--near-m", "-1"): "--near-m is -1.0",
        (*onto, "--practice-noise", "0", "--candidates", "0"): "--practice-noise is 0.0",
        (*onto, "--practice-noise", "0.3"): "an actor that says numbers and practises",
        (*onto, "--practice-noise", "0.3", "--candidates", "0", "--mode", "offline"): "says numbers and practises",
        (*onto, "--near-m", "0.01", "--frame-stack", "2"): "--near-m and --frame-stack",
        (*onto, "--near-m", "0.01", "--features", "eef_vel"): "none of eef_vel is a distance",
        (
            "--demos",
            str(demos),
            "--out",
            str(tmp_path / "x"),
            "--algo",
            "bc",
            "--copies",
            "2",
        ): "--copies is for practice",
    }
    for words, message in cases.items():
        assert call(["train", *words]) == 1
        error = capfd.readouterr().err.strip().splitlines()
        assert len(error) == 1 and message in error[0], error
    assert not (tmp_path / "x").exists()


def test_a_run_is_not_overwritten_and_another_setting_does_not_resume_it(demos: Path, tmp_path: Path, capfd):
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "5") == 0
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "5") == 1
    assert "already holds a run" in capfd.readouterr().err
    assert train(demos, tmp_path / "run", "--algo", "iq", "--steps", "5", "--resume") == 1
    assert "was begun with other algo" in capfd.readouterr().err
    assert train(demos, tmp_path / "run", "--algo", "iq", "--copies", "2", "--steps", "5", "--resume") == 1
    assert "was begun with --copies 1, found 2" in capfd.readouterr().err
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "9", "--max-demos", "1", "--resume") == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert "was begun with other demos" in error[-1] and "(mean, std, action_std)" in error[-1]
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "9", "--resume") == 0


def test_a_run_keeps_its_seed_and_its_objective_and_writes_down_what_else_was_changed(
    demos: Path, tmp_path: Path, capfd
):
    run = tmp_path / "run"
    assert train(demos, run, "--seed", "5", "--steps", "8") == 0
    for more, message in (
        ((), "begun with --seed 5, found 0"),
        (("--seed", "5", "--success-blind"), "begun without --success-blind"),
        (("--seed", "5", "--divergence", "kl"), "begun with --divergence chi2-mixture, found kl"),
    ):
        assert train(demos, run, *more, "--steps", "9", "--resume") == 1
        assert message in capfd.readouterr().err
    assert train(demos, run, "--seed", "5", "--steps", "9", "--bc-weight", "0.2", "--resume") == 0
    assert "from step 8 on --bc-weight is 0.2; before None" in capfd.readouterr().out
    assert train(demos, run, "--seed", "5", "--steps", "10", "--bc-weight", "0.2", "--resume") == 0
    kept = json.loads((run / "config.json").read_text())
    assert kept["changes"] == [{"step": 8, "bc_weight": [None, 0.2]}]


def test_a_control_sees_observations_as_they_are_and_acts_by_its_last_weights(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210", "--no-normalisation", "--ema-share", "1") == 0
    stats = json.loads((tmp_path / "run/checkpoints/00000210/stats.json").read_text())
    assert set(stats["mean"]) == {0.0} and set(stats["std"]) == {1.0}
    model, training = tensors(tmp_path / "run", 210, "model"), tensors(tmp_path / "run", 210, "training")
    last = {k.removeprefix("agent.chooser.critic."): v for k, v in training.items() if ".chooser.critic." in k}
    acts = {k.removeprefix("critic."): v for k, v in model.items() if k.startswith("critic.")}
    shared = acts.keys() & last.keys()
    assert shared and all(torch.allclose(acts[k], last[k]) for k in shared)


def test_what_never_changes_in_the_demos_is_said(demos: Path, tmp_path: Path, capfd):
    config = TrainConfig(demos=(demos,), out=tmp_path / "run")
    config, _, expert, spec = read(config)
    assert unchanging(expert.rows, spec) == []
    first = spec.sizes[0]
    expert.rows.obs[:, :first] = 0.25
    assert unchanging(expert.rows, spec) == [spec.features[0]]


def test_two_trainings_do_not_write_into_one_run_at_once(demos: Path, tmp_path: Path, capfd):
    with alone_in(tmp_path / "run"):
        assert train(demos, tmp_path / "run", "--steps", "5") == 1
    assert "another lfd train writes to" in capfd.readouterr().err
    assert train(demos, tmp_path / "run", "--steps", "5") == 0


def test_demos_of_a_few_steps_leave_practice_room_for_decisions_and_too_little_of_it_is_said(
    demos: Path, tmp_path: Path, capfd
):
    spec = read(TrainConfig(demos=(demos,), out=Path("unused"))).spec
    usual = TrainConfig(demos=(demos,), out=Path("unused"))
    assert practice_limit(usual, spec, 1.0) == 10 * spec.window == 40
    assert practice_limit(usual, spec, 60.0) == 120
    assert train(demos, tmp_path / "run", "--steps", "100") == 0
    assert "too little practice for one gradient step" in capfd.readouterr().out


def test_a_policy_of_observations_alone_recovers_its_reward_from_values_alone(demos: Path, tmp_path: Path):
    assert train(demos, tmp_path / "run", "--steps", "210", "--state-only") == 0
    policy = robot_lfd.load_policy(tmp_path / "run")
    store = DemoStore.open(demos)
    demo = store[store.ids()[0]]
    now, after = ({k: v[a:b] for k, v in demo.obs.items()} for a, b in ((0, -1), (1, None)))
    reward = policy.recovered_reward(now, demo.action, after, np.zeros(len(demo), bool))
    expected = policy.value(now) - policy.spec.gamma * policy.value(after)
    np.testing.assert_allclose(reward, expected, rtol=1e-5)


def test_a_run_goes_on_as_it_began_with_what_it_solves_itself(demos: Path, tmp_path: Path, capfd):
    run = tmp_path / "run"
    assert train(demos, run, "--steps", "5") == 0
    assert train(demos, run, "--steps", "9", "--resume", "--no-own-successes") == 1
    assert "counts its own successes; go on so" in capfd.readouterr().err
    settings = json.loads((run / "config.json").read_text())
    del settings["no_own_successes"]  # as a version wrote it that had no such option
    (run / "config.json").write_text(json.dumps(settings))
    assert train(demos, run, "--steps", "9", "--resume") == 1
    assert "does not count its own successes (--no-own-successes)" in capfd.readouterr().err
    assert train(demos, run, "--steps", "9", "--resume", "--no-own-successes") == 0


@pytest.mark.parametrize("damage", ["DONE", "model.safetensors", "config.json"])
def test_an_unfinished_or_damaged_checkpoint_is_refused_plainly(demos: Path, tmp_path: Path, damage: str, capfd):
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "5") == 0
    file = tmp_path / "run" / "checkpoints" / "00000005" / damage
    file.unlink() if damage == "DONE" else file.write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    assert call(["eval", str(tmp_path / "run"), "--episodes", "1"]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "Traceback" not in error[0]


def test_a_checkpoint_of_a_newer_lfd_is_not_called_damaged(demos: Path, tmp_path: Path, capfd):
    assert train(demos, tmp_path / "run", "--algo", "bc", "--steps", "5") == 0
    file = tmp_path / "run" / "checkpoints" / "00000005" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mood": 0.5}))
    capfd.readouterr()
    assert call(["eval", str(tmp_path / "run"), "--episodes", "1"]) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "'mood', unknown to this lfd" in error[0] and "update lfd" in error[0]


def tensors(run: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "checkpoints" / f"{step:08d}" / f"{name}.safetensors")


def test_a_checkpoint_of_another_version_says_so_in_one_line(demos: Path, tmp_path: Path, capfd):
    assert train(demos, tmp_path / "run", "--steps", "5") == 0
    file = tmp_path / "run" / "checkpoints" / "00000005" / "training.safetensors"
    kept = safetensors.torch.load_file(file)
    safetensors.torch.save_file({k: v for k, v in kept.items() if k != "practice.planned"}, file)
    capfd.readouterr()
    assert train(demos, tmp_path / "run", "--steps", "9", "--resume") == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "cannot be continued: planned is not as this lfd writes it" in error[0]
