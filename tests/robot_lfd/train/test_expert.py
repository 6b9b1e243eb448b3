"""Which recorded steps are imitated: demos whole, of a policy's rollouts only what a person drove."""

import json
from dataclasses import replace

import numpy as np
import pytest

from robot_lfd import cli
from robot_lfd.demos.cache import load_flat
from robot_lfd.demos.select import Selection
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.rollout import rollout
from robot_lfd.train import reading
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.expert import expert_rows, told
from robot_lfd.train.recipe import decided
from tests.robot_lfd.point_arm import ID, Chase, make_point_arm, register

KEYS = ("target_rel",)


def add(store, env, speed, seed, by_hand=None):
    """Appends an episode; `by_hand`: the steps of a policy's rollout that a person drove, None for a demo."""
    tape = Tape(env)
    list(rollout(tape, Chase(speed), seed=seed))
    meta = {"device": "scripted"} if by_hand is None else {"device": "policy", "policy": {"run": "weak"}}
    hand = np.zeros(len(tape), bool) if by_hand is None else np.isin(np.arange(len(tape)), by_hand)
    store.append(tape.episode(intervention=hand, meta=meta))
    return len(tape)


@pytest.fixture
def stores(tmp_path):
    register()
    env = make_point_arm()
    made = [DemoStore.create(tmp_path / name, make_spec(ID, env, {})) for name in ("demos", "rollouts")]
    made[0].length = add(made[0], env, 0.5, 1)
    add(made[1], env, 0.7, 2, by_hand=[3, 4, 5])
    add(made[1], env, 0.7, 3, by_hand=[])
    return made


def expert(stores, **kwargs):
    return expert_rows(load_flat(stores, KEYS), stores, KEYS, keep_pauses=True, **kwargs)


def test_only_the_corrected_steps_of_a_rollout_are_imitated(stores):
    found = expert(stores, correction_weight=1)
    corrected = stores[1][stores[1].ids()[0]].action[3:6]
    assert (found.demos, found.shown, found.corrected) == (1, stores[0].length, 3)
    assert len(found.rows) == stores[0].length + 3 and np.array_equal(found.rows.action[-3:], corrected)


def test_corrections_together_weigh_as_much_as_the_demos(stores):
    found = expert(stores)
    often = round(stores[0].length / 3)
    assert len(found.rows) == stores[0].length + 3 * often and often > 1
    assert f"3 corrected steps of rollouts, each counted {often} times" in told(found)


def test_the_recipe_counts_a_corrected_step_once_however_much_it_weighs(stores, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(reading, "decided", lambda config, task: asked.append(task) or decided(config, task))
    usual = TrainConfig(demos=tuple(s.path for s in stores), out=tmp_path / "run", features=KEYS, keep_pauses=True)
    found = reading.read(replace(usual, correction_weight=50))
    reading.read(replace(usual, demos=(stores[1].path,)))
    length = stores[0].length
    assert len(found.expert.rows) == length + 150
    assert [(t.rows, t.mean_steps) for t in asked] == [(length + 3, float(length)), (3, 0.0)]


def test_what_happens_between_two_taps_is_left_out_but_not_a_gripper_on_its_way(tmp_path):
    class Taps:
        """Moves at every fourth step, closes the gripper at the tenth."""

        step = 0

        def reset(self):
            self.step = 0

        def act(self, obs):
            self.step += 1
            moved = 0.3 if self.step % 4 == 1 else 0.0
            return np.array([moved, 0.0, 0.0, 1.0 if self.step >= 10 else -1.0], np.float32)

    env = make_env("pybullet/Lift-v0", max_episode_steps=40)
    tape = Tape(env)
    list(rollout(tape, Taps(), seed=0))
    store = DemoStore.create(tmp_path / "taps", make_spec("pybullet/Lift-v0", env, {}))
    store.append(tape.episode(meta={"device": "scripted"}))
    keys = arm_of(env).policy_keys
    flat = load_flat([store], keys)
    every, asked = (
        expert_rows(flat, [store], keys, action_names=arm_of(env).action_names, keep_pauses=keep).rows
        for keep in (True, False)
    )
    kept = asked.step.tolist()
    assert len(every) == 40 and {0, 4, 8, 9, 12, 16, 36} <= set(kept), "every tap, and the gripper's command"
    assert {10, 11} <= set(kept) and not {2, 6, 22, 26, 34} & set(kept)
    assert len(expert_rows(flat, [store], keys).rows) > len(kept), "the arm coasts between taps"
    env.close()


def test_failed_rollouts_count_as_little_as_failed_demos(stores):
    ids = stores[1].ids()
    stores[1].label(ids[0], success=False)
    flat = load_flat(stores, KEYS, selection=Selection(success=True))
    assert expert_rows(flat, stores, KEYS).corrected == 0


def test_rollouts_without_corrections_alone_are_one_plain_line(stores):
    stores[1].delete(stores[1].ids()[0])
    with pytest.raises(LfdError, match="no step was driven by hand"):
        expert(stores[1:])
    with pytest.raises(LfdError, match="--correction-weight is 0"):
        expert(stores, correction_weight=0) if stores[1].undelete(stores[1].ids(deleted=True)[0]) is None else None


def test_a_supervisor_corrects_a_lame_policy_and_its_steps_are_learned_from(tmp_path, capsys):
    def lfd(*words):
        assert cli.call([*map(str, words), "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    demos, run, rollouts = tmp_path / "demos", tmp_path / "run", tmp_path / "rollouts"
    lfd("record", "--env", "pybullet/Lift-v0", "--device", "scripted", "--episodes", 1, "--out", demos)
    lfd("train", "--demos", demos, "--algo", "bc", "--steps", 20, "--out", run)
    words = ["--takeover", "scripted", "--headless", "--no-realtime", "--episodes", 2]
    flown = lfd("deploy", run, *words, "--record", rollouts)
    assert flown["success_rate"] == 1.0 and 0 < flown["interventions"] < flown["steps"]
    again = lfd("train", "--demos", demos, rollouts, "--algo", "bc", "--steps", 5, "--out", tmp_path / "better")
    assert again["steps"] == 5
    store = DemoStore.open(rollouts)
    hand = store[store.ids()[0]].intervention
    first = int(hand.argmax())
    assert first >= 25 and hand[first:].all()  # it watched for its patience, then drove to the end
