"""The loss against hand-worked numbers and against a small MDP whose optimum is known."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from policies.batch import Batch
from policies.iq_learn import absorbing_value, iq_loss, reward_bound
from policies.networks import Normaliser
from policies.soft_agent import SoftAgent, SoftConfig, actor_loss
from policies.sqil import sqil_loss

HALF = torch.tensor([True, True, False, False])


def test_the_loss_equals_the_numbers_worked_by_hand():
    # gamma 0.5, chi2_alpha 0.5; one critic; rows 0, 1 expert, rows 2, 3 replay
    q = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    value = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    next_value = torch.tensor([2.0, 0.0, 2.0, 4.0])
    online = torch.tensor([[4.0, 0.0, 2.0, 2.0]])
    # r = q - V'/2 = [0, 2, -1, -3]; expert mean 1; value gaps [-1, 1, 0, -1], mean -0.25;
    # chi2 = mean[0, 4, 1, 9] / (4 * 0.5) = 3.5 / 2 = 1.75
    loss, terms = iq_loss(q, value, online, next_value, HALF, gamma=0.5, chi2_alpha=0.5)
    assert float(terms["expert_reward"]) == pytest.approx(1.0)
    assert float(terms["value_gap"]) == pytest.approx(-0.25)
    assert float(terms["chi2"]) == pytest.approx(1.75)
    assert float(loss) == pytest.approx(-1.0 - 0.25 + 1.75)


def test_twin_critics_are_averaged_not_mixed():
    rng = torch.Generator().manual_seed(0)
    q, value, next_value = (torch.randn(2, 4, generator=rng) for _ in range(3))
    target = torch.randn(4, generator=rng)

    def loss(*critics: int) -> torch.Tensor:
        rows = list(critics)
        return iq_loss(q[rows], value[rows], next_value[rows], target, HALF, gamma=0.9, chi2_alpha=0.5)[0]

    both, each = loss(0, 1), [loss(0), loss(1)]
    assert float(both) == pytest.approx(float(sum(each) / 2), rel=1e-6)


def test_gradients_push_expert_rewards_up_and_cancel_along_a_path():
    q = torch.zeros(1, 4, requires_grad=True)
    value = torch.zeros(1, 4, requires_grad=True)
    after = torch.zeros(1, 4, requires_grad=True)
    iq_loss(q, value, after, torch.zeros(4), HALF, gamma=0.9, chi2_alpha=0.5)[0].backward()
    assert q.grad is not None and value.grad is not None and after.grad is not None
    assert q.grad[0].tolist() == pytest.approx([-0.5, -0.5, 0.0, 0.0])  # at r = 0 chi2 has no slope
    assert value.grad[0].tolist() == pytest.approx([0.25] * 4)
    assert after.grad[0].tolist() == pytest.approx([-0.9 * 0.25] * 4)  # along a path the two cancel but for 1 - gamma


def test_the_optimal_reward_is_the_closed_form_and_stays_inside_its_bound():
    # Tabular, on states with expert and replay shares d_E, d_rho; V(s) = r here since gamma is 0 and one action exists.
    d_e, d_rho, chi2_alpha = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6]), 0.5
    expert = np.repeat([0, 1, 2], (d_e * 1000).astype(int))
    replay = np.repeat([0, 1, 2], (d_rho * 1000).astype(int))
    states = torch.from_numpy(np.concatenate([expert, replay]))
    is_expert = torch.arange(2000) < 1000
    # q is free of V (another action), so that the value term of replay is what -d_rho r stands for
    table = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([table], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        r = table[states]
        loss = -r[is_expert].mean() + r[~is_expert].mean() + r.square().mean() / (4 * chi2_alpha)
        loss.backward()
        return loss

    optimiser.step(closure)
    expected = 4 * chi2_alpha * (d_e - d_rho) / (d_e + d_rho)
    np.testing.assert_allclose(table.detach().numpy(), expected, atol=1e-6)
    assert np.abs(expected).max() < reward_bound(chi2_alpha)


def test_the_absorbing_value_is_its_reward_for_ever():
    reward = 0.5 * reward_bound(0.5)
    assert absorbing_value(0.5, 0.9) == pytest.approx(sum(reward * 0.9**t for t in range(2000)))


def test_sqil_targets_are_one_on_expert_rows_and_zero_elsewhere():
    q = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    loss, terms = sqil_loss(q, q, q, torch.tensor([0.0, 1.0, 0.0, 1.0]), HALF, gamma=0.5)
    # targets 1, 1.5, 0, 0.5 -> errors 0, 0.25, 1, 0.25
    assert float(loss) == pytest.approx(0.375)
    assert float(terms["bellman_expert"]) == pytest.approx(0.125)


def test_the_actor_climbs_q_and_leaves_the_critic_alone():
    agent, batch = make_agent(), make_batch()
    before = {k: v.clone() for k, v in agent.critic.state_dict().items()}
    agent._actor_step(batch)
    assert all(torch.equal(v, before[k]) for k, v in agent.critic.state_dict().items())
    assert all(p.requires_grad for p in agent.critic.parameters())


def test_the_critic_step_leaves_actor_and_targets_alone():
    agent, batch = make_agent(), make_batch()
    actor = {k: v.clone() for k, v in agent.actor.state_dict().items()}
    target = {k: v.clone() for k, v in agent.target_critic.state_dict().items()}
    critic = {k: v.clone() for k, v in agent.critic.state_dict().items()}
    agent._critic_step(batch)
    assert all(torch.equal(v, actor[k]) for k, v in agent.actor.state_dict().items())
    assert all(torch.equal(v, target[k]) for k, v in agent.target_critic.state_dict().items())
    assert all(not torch.equal(v, critic[k]) for k, v in agent.critic.state_dict().items())


def test_actor_loss_weighs_cloning_as_told():
    q, log_prob = torch.tensor([[1.0, 3.0]]), torch.tensor([0.5, -0.5])
    cloned, demo = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    loss, terms = actor_loss(q, log_prob, cloned, demo, temperature=0.1, bc_weight=4.0)
    assert float(terms["actor_soft"]) == pytest.approx(-2.0)
    assert float(terms["actor_bc"]) == pytest.approx(0.5)
    assert float(loss) == pytest.approx(0.0)


def test_only_a_true_end_is_absorbing():
    agent, batch = make_agent(), make_batch()
    seen: list[torch.Tensor] = []

    def spy(q, value, next_value, target, is_expert):
        seen.extend([target, *next_value])
        return iq_loss(q, value, next_value, target, is_expert, gamma=0.9, chi2_alpha=0.5)

    agent.critic_loss = spy
    agent.update(batch._replace(terminated=torch.tensor([True, False, False, True])))
    for row in seen:
        assert row[0] == row[3] == agent.absorbing_value
        assert row[1] != agent.absorbing_value and row[2] != agent.absorbing_value


@pytest.mark.parametrize("critics", [1, 2])
def test_training_continues_bit_for_bit_from_a_saved_state(critics: int):
    first, second = make_agent(critics), make_agent(critics)
    for number in range(3):
        first.update(make_batch(number))
    saved = {k: v.clone() for k, v in first.state_dict().items()}
    second.load_state_dict(saved)
    for number in range(3, 6):
        assert first.update(make_batch(number)) == second.update(make_batch(number))
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_a_two_armed_bandit_is_learned_from_demos_alone():
    # one state; the expert always takes 0.8; every episode ends at once
    obs, rng = torch.zeros(64, 1), np.random.default_rng(0)
    agent = make_agent(config=SoftConfig(hidden=(32,), gamma=0.5, bc_weight=0.0, learning_rate=3e-3), obs_size=1)
    for _ in range(400):
        own = agent.act(obs[32:], explore=True)
        action = torch.cat([torch.full((32, 1), 0.8) + 0.02 * torch.from_numpy(rng.normal(size=(32, 1))).float(), own])
        ended = torch.ones(64, dtype=torch.bool)
        agent.update(Batch(obs, action, torch.zeros(64), obs, ended, torch.arange(64) < 32))
    assert float(agent.act(obs[:1], explore=False)) == pytest.approx(0.8, abs=0.15)


def make_agent(critics: int = 2, config: SoftConfig | None = None, obs_size: int = 3) -> SoftAgent:
    config = config or SoftConfig(hidden=(16, 16), critics=critics, gamma=0.9)
    loss = functools.partial(iq_loss, gamma=config.gamma, chi2_alpha=0.5)
    normaliser = Normaliser(torch.zeros(obs_size), torch.ones(obs_size))
    spread = torch.full((1 if obs_size == 1 else 2,), 0.5)
    return SoftAgent(loss, absorbing_value(0.5, config.gamma), normaliser, spread, config, seed=0)


def make_batch(seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    rows = [torch.randn(4, 3, generator=rng), torch.rand(4, 2, generator=rng) * 2 - 1, torch.zeros(4)]
    return Batch(*rows, torch.randn(4, 3, generator=rng), torch.zeros(4, dtype=torch.bool), HALF)
