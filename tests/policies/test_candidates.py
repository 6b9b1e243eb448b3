"""Candidates: what people did now this, now that stays apart; the choice among them is soft Q-learning of K actions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from policies.batch import Batch
from policies.candidates import CandidateAgent, CandidateLearned, Candidates, fit_candidates, soft_minimum_loss
from policies.iq_learn import IqConfig, iq_loss
from policies.networks import DiscreteCriticEnsemble, Normaliser, soft_value
from policies.soft_q import SoftQAgent, SoftQConfig

K, WIDTH = 2, 2
NORMALISER = Normaliser(torch.zeros(1), torch.ones(1))


def two_ways(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Demos that go left and right by half a state, as often as the other, and never straight on."""
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1.0, 1.0, (rows, 1)).astype(np.float32)
    side = rng.choice([-1.0, 1.0], (rows, 1))
    return obs, np.concatenate([side * 0.5, 0.2 * obs], 1).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> Candidates:
    obs, action = two_ways()
    candidates = Candidates(NORMALISER, torch.from_numpy(action.std(0)), K, seed=0)
    fit_candidates(candidates, obs, action, 1500, 0, lambda: None)
    return candidates


def agent_of(candidates: Candidates, steps: int = 0) -> CandidateAgent:
    def loss(judged):
        return iq_loss(judged, IqConfig(0.9))

    chooser = SoftQAgent(loss, 20.0, NORMALISER, K, SoftQConfig(hidden=(16,)), seed=0)
    agent = CandidateAgent(candidates, chooser, seed=0)
    for _ in range(steps):
        agent.update(batch(agent))
    return agent


def batch(agent: CandidateAgent) -> Batch:
    obs, action = (x[:32] for x in two_ways())
    action, obs = torch.from_numpy(agent.nearest(obs, action)), torch.from_numpy(obs)
    ended = torch.arange(32) % 8 == 7
    return Batch(obs, action, torch.zeros(32), obs + 0.1, ended, torch.arange(32) < 16, obs[:0])


def test_the_soft_minimum_is_the_least_distance_where_it_is_hard_and_below_it_where_it_is_soft():
    distance = torch.tensor([[1.0, 3.0], [0.5, 0.25]])
    assert soft_minimum_loss(distance, 1e-3).item() == pytest.approx((1.0 + 0.25) / 2, abs=1e-3)
    by_hand = -np.log(np.exp(-np.array([[1.0, 3.0], [0.5, 0.25]])).sum(1)).mean()
    assert soft_minimum_loss(distance, 1.0).item() == pytest.approx(by_hand, rel=1e-6)


def test_two_ways_stay_two_and_none_is_their_average(fitted: Candidates):
    said = fitted(torch.linspace(-0.9, 0.9, 7)[:, None])  # (7, K, W)
    sides = said[..., 0].sort(-1).values
    assert torch.allclose(sides, torch.tensor([-0.5, 0.5]).expand(7, 2), atol=0.05)
    assert torch.allclose(said[..., 1], 0.2 * torch.linspace(-0.9, 0.9, 7)[:, None].expand(7, 2), atol=0.05)


def test_what_was_chosen_is_what_it_is_taken_for_afterwards(fitted: Candidates):
    obs = torch.linspace(-1.0, 1.0, 9)[:, None]
    for which in range(K):
        chosen = fitted.chosen(obs, torch.full((9,), which))
        assert (fitted.nearest(obs, chosen) == which).all()


def test_demos_with_fewer_rows_than_candidates_are_enough():
    obs, action = (x[:3] for x in two_ways())
    candidates = Candidates(NORMALISER, torch.ones(WIDTH), 8, seed=0)
    fit_candidates(candidates, obs, action, 1500, 0, lambda: None)
    assert candidates.distance(torch.from_numpy(obs), torch.from_numpy(action)).min(-1).values.max() < 0.01


def test_an_agent_goes_on_exactly_from_what_it_left(fitted: Candidates):
    whole = agent_of(fitted, steps=3)
    other = agent_of(Candidates(NORMALISER, fitted.scale, K, seed=5))
    other.load_state_dict(whole.state_dict())
    obs = torch.linspace(-1.0, 1.0, 9)[:, None]
    for agent in (whole, other):
        agent.update(batch(agent))
    assert torch.equal(whole.act(obs, explore=True), other.act(obs, explore=True))
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in whole.state_dict().items())


def test_a_learned_policy_judges_actions_by_the_candidate_that_they_are_nearest_to(fitted: Candidates):
    agent = agent_of(fitted, steps=20)
    table = DiscreteCriticEnsemble(NORMALISER, K, (16,), 2, seed=9)
    learned = CandidateLearned(
        Candidates(NORMALISER, fitted.scale, K, seed=9), table, agent.deployed(), temperature=0.1, window=1
    )
    obs = torch.linspace(-1.0, 1.0, 9)[:, None]
    with torch.no_grad():
        values = agent.chooser.ema_critic(obs)
        for which in range(K):
            beside = fitted.chosen(obs, torch.full((9,), which)) + 0.05
            assert torch.allclose(learned.q(obs, beside), values.mean(0)[:, which])
        assert torch.allclose(learned.value(obs, 1), soft_value(values, 0.1).mean(0))
        best = fitted.chosen(obs[:1], values.mean(0)[:1].argmax(-1))
        assert learned.has_critic and torch.equal(learned.act(obs[:1]), best)
