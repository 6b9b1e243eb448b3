"""The loss against hand-worked numbers and against a small MDP whose optimum is known."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from policies.agent import falling
from policies.batch import Batch, Judged
from policies.iq_learn import (
    DIVERGENCES,
    IqConfig,
    bounded_absorbing_value,
    expert_value_term,
    first_value_term,
    gradient_penalty,
    iq_loss,
    replay_value_term,
    reward_bound,
)
from policies.networks import Normaliser, soft_value
from policies.soft_agent import SoftAgent, SoftConfig, advantage_step_loss, clone_loss, soft_step_loss, temperature_loss
from policies.sqil import sqil_loss

HALF = torch.tensor([True, True, False, False])


def judged(q, value, next_value, target, first=None) -> Judged:
    return Judged(q, value, next_value, target, torch.zeros(len(q), 0) if first is None else first, HALF)


def test_the_loss_equals_the_numbers_worked_by_hand():
    # gamma 0.5, chi2_alpha 0.5; one critic; rows 0, 1 expert, rows 2, 3 replay
    q = torch.tensor([[1.0, 2.0, 0.0, -1.0]])
    value = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    next_value = torch.tensor([2.0, 0.0, 2.0, 4.0])
    online = torch.tensor([[4.0, 0.0, 2.0, 2.0]])
    # r = q - V'/2 = [0, 2, -1, -3]; expert mean 1; value gaps [-1, 1, 0, -1], mean -0.25;
    # chi2 = mean[0, 4, 1, 9] / (4 * 0.5) = 3.5 / 2 = 1.75
    loss, terms = iq_loss(judged(q, value, online, next_value), IqConfig(gamma=0.5))
    assert float(terms["expert_reward"]) == pytest.approx(1.0)
    assert float(terms["value_gap"]) == pytest.approx(-0.25)
    assert float(terms["regulariser"]) == pytest.approx(1.75)
    assert float(loss) == pytest.approx(-1.0 - 0.25 + 1.75)


def test_targets_beyond_what_rewards_can_sum_to_are_cut_there():
    q, target = torch.zeros(1, 4), torch.tensor([30.0, -30.0, 3.0, 0.0])
    _, cut = iq_loss(judged(q, q, q, target), IqConfig(gamma=0.5, target_bound=4.0))
    assert float(cut["expert_reward"]) == pytest.approx((-0.5 * 4.0 + 0.5 * 4.0) / 2)
    assert float(cut["regulariser"]) == pytest.approx((4.0 + 4.0 + 2.25) / 4 / 2)
    _, whole = iq_loss(judged(q, q, q, target), IqConfig(gamma=0.5))
    assert float(whole["regulariser"]) == pytest.approx((225.0 + 225.0 + 2.25) / 4 / 2)


def test_twin_critics_are_averaged_not_mixed():
    rng = torch.Generator().manual_seed(0)
    q, value, next_value = (torch.randn(2, 4, generator=rng) for _ in range(3))
    target = torch.randn(4, generator=rng)

    def loss(*critics: int) -> torch.Tensor:
        rows = list(critics)
        return iq_loss(judged(q[rows], value[rows], next_value[rows], target), IqConfig(gamma=0.9))[0]

    both, each = loss(0, 1), [loss(0), loss(1)]
    assert float(both) == pytest.approx(float(sum(each) / 2), rel=1e-6)


def test_gradients_push_expert_rewards_up_and_cancel_along_a_path():
    q = torch.zeros(1, 4, requires_grad=True)
    value = torch.zeros(1, 4, requires_grad=True)
    after = torch.zeros(1, 4, requires_grad=True)
    iq_loss(judged(q, value, after, torch.zeros(4)), IqConfig(gamma=0.9))[0].backward()
    assert q.grad is not None and value.grad is not None and after.grad is not None
    assert q.grad[0].tolist() == pytest.approx([-0.5, -0.5, 0.0, 0.0])  # at r = 0 chi2 has no slope
    assert value.grad[0].tolist() == pytest.approx([0.25] * 4)
    assert after.grad[0].tolist() == pytest.approx([-0.9 * 0.25] * 4)  # along a path the two cancel but for 1 - gamma


def test_the_optimal_reward_is_the_closed_form_and_stays_inside_its_bound():
    # three states with expert and replay shares d_E, d_rho, one action each, and nothing after them: V(s) = Q = r
    d_e, d_rho, chi2_alpha = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6]), 0.5
    shares = torch.from_numpy(np.round(10 * np.concatenate([d_e, d_rho])).astype(int))
    states, is_expert = torch.arange(3).repeat(2).repeat_interleave(shares), torch.arange(20) < 10
    table = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([table], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        r, nothing = table[states][None], torch.zeros(1, 20)
        loss, _ = iq_loss(Judged(r, r, nothing, nothing[0], torch.zeros(1, 0), is_expert), IqConfig(0.0, chi2_alpha))
        loss.backward()
        return loss

    optimiser.step(closure)
    expected = 4 * chi2_alpha * d_e / (d_e + d_rho) - 2 * chi2_alpha  # gamma is 0
    np.testing.assert_allclose(table.detach().numpy(), expected, atol=1e-6)
    assert np.abs(expected).max() < reward_bound(chi2_alpha)


def test_the_default_loss_comes_to_rest_where_its_slopes_vanish_by_hand():
    # three states in a ring, two actions (on by one, on by two); the default loss, its target a copy of the last table
    gamma, chi2_alpha, temperature = 0.9, 0.5, 0.5
    expert, own = np.array([[8, 1], [6, 3], [8, 1]]), np.array([[3, 6], [4, 5], [2, 7]])  # how often each was done
    is_expert = torch.arange(expert.sum() + own.sum()) < expert.sum()
    pairs = torch.cat([torch.arange(6).repeat_interleave(torch.from_numpy(n.ravel())) for n in (expert, own)])
    state, action = pairs // 2, pairs % 2
    following = (state + action + 1) % 3
    table = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    target, optimiser = soft_value(table.detach(), temperature), torch.optim.LBFGS([table])

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = soft_value(table, temperature)
        seen = Judged(
            table[state, action][None], value[state][None], value[following][None], target[following],
            torch.zeros(1, 0), is_expert,
        )  # fmt: skip
        loss, _ = iq_loss(seen, IqConfig(gamma, chi2_alpha))
        loss.backward()
        return loss

    for _ in range(200):
        target = soft_value(table.detach(), temperature)
        optimiser = torch.optim.LBFGS([table], line_search_fn="strong_wolfe", tolerance_change=1e-14)
        optimiser.step(closure)
    q = table.detach().numpy()
    value = temperature * np.log(np.exp(q / temperature).sum(-1))
    policy = np.exp((q - value[:, None]) / temperature)
    d_e, both = expert / expert.sum(), (expert + own) / (expert + own).sum()
    goes_to = (np.arange(3)[:, None] + np.arange(2) + 1) % 3
    reached = np.array([both[goes_to == s].sum() for s in range(3)])
    # dJ/dQ(s, a) = d_E - pi (m(s) - gamma m'(s)) - m(s, a) r / (2 alpha), m the mixture, m' where it leads
    by_hand = 2 * chi2_alpha * (d_e - policy * (both.sum(-1) - gamma * reached)[:, None]) / both
    np.testing.assert_allclose(q - gamma * value[goes_to], by_hand, atol=1e-6)
    assert np.abs(by_hand).max() < reward_bound(chi2_alpha)


def test_the_three_estimates_of_the_value_term_are_those_of_the_paper():
    value, after = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[2.0, 0.0, 2.0, 0.0]])
    found = judged(value, value, after, torch.zeros(4), first=torch.tensor([[5.0, 7.0]]))
    assert float(first_value_term(found, 0.5)) == pytest.approx(0.5 * 6.0)
    assert float(expert_value_term(found, 0.5)) == pytest.approx((0.0 + 2.0) / 2)
    assert float(replay_value_term(found, 0.5)) == pytest.approx((0.0 + 2.0 + 2.0 + 4.0) / 4)


@pytest.mark.parametrize("name", ["chi2", "kl", "js", "hellinger"])
def test_phi_belongs_to_its_divergence(name: str):
    # sup over r of E_p[phi(r)] - E_q[r] is the f-divergence of p and q: compare with its own formula
    p, q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64)
    r = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([r], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (q * r).sum() - (p * DIVERGENCES[name](r, 1.0)).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    t = q / p
    formula = {
        "chi2": (p * (t - 1) ** 2).sum(),
        "kl": (p * t * t.log()).sum(),
        "js": (p * (t * t.log() - (1 + t) * ((1 + t) / 2).log())).sum(),
        "hellinger": (p * (t.sqrt() - 1) ** 2).sum(),
    }[name]
    assert -float(closure()) == pytest.approx(float(formula), abs=1e-8)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_phi_is_concave_and_finite_everywhere(name: str):
    r = torch.linspace(-50.0, 50.0, 2001, dtype=torch.float64, requires_grad=True)
    phi = DIVERGENCES[name](r, 0.5)
    (slope,) = torch.autograd.grad(phi.sum(), r)
    assert torch.isfinite(phi).all() and torch.isfinite(slope).all()
    assert (slope.diff() <= 1e-9).all()


def test_the_gradient_penalty_is_zero_for_slope_one_and_grows_by_the_square():
    obs, action = torch.randn(5, 2, requires_grad=True), torch.randn(5, 1, requires_grad=True)
    assert float(gradient_penalty(action.T + 0 * obs.sum(), (obs, action))) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_penalty(3 * action.T + 0 * obs.sum(), (obs, action))) == pytest.approx(4.0)


def test_state_only_rewards_do_not_look_at_the_demos_actions():
    q = torch.randn(1, 4, requires_grad=True)
    value = torch.randn(1, 4, requires_grad=True)
    iq_loss(judged(q, value, value, torch.zeros(4)), IqConfig(gamma=0.9, state_only=True))[0].backward()
    assert q.grad is None and value.grad is not None


def test_no_path_that_lingers_is_worth_more_than_the_end():
    reward = reward_bound(0.5)
    assert bounded_absorbing_value(0.5, 0.9) == pytest.approx(sum(reward * 0.9**t for t in range(2000)))


def test_sqil_targets_are_one_on_expert_rows_and_zero_elsewhere():
    q = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    loss, terms = sqil_loss(judged(q, q, q, torch.tensor([0.0, 1.0, 0.0, 1.0])), gamma=0.5)
    # targets 1, 1.5, 0, 0.5 -> errors 0, 0.25, 1, 0.25
    assert float(loss) == pytest.approx(0.375)
    assert float(terms["bellman_expert"]) == pytest.approx(0.125)


def test_the_actor_climbs_q_and_leaves_the_critic_alone():
    agent, batch = make_agent(), make_batch()
    before = {k: v.clone() for k, v in agent.critic.state_dict().items()}
    agent.actor_step(batch)
    assert all(torch.equal(v, before[k]) for k, v in agent.critic.state_dict().items())
    assert all(p.requires_grad for p in agent.critic.parameters())


def test_thecritic_step_leaves_actor_and_targets_alone():
    agent, batch = make_agent(), make_batch()
    actor = {k: v.clone() for k, v in agent.actor.state_dict().items()}
    target = {k: v.clone() for k, v in agent.target_critic.state_dict().items()}
    critic = {k: v.clone() for k, v in agent.critic.state_dict().items()}
    agent.critic_step(batch)
    assert all(torch.equal(v, actor[k]) for k, v in agent.actor.state_dict().items())
    assert all(torch.equal(v, target[k]) for k, v in agent.target_critic.state_dict().items())
    assert all(not torch.equal(v, critic[k]) for k, v in agent.critic.state_dict().items())


def test_the_actor_losses_equal_the_numbers_worked_by_hand():
    q, log_prob = torch.tensor([[1.0, 3.0]]), torch.tensor([0.5, -0.5])
    assert float(soft_step_loss(q, log_prob, torch.tensor(0.1))) == pytest.approx(-2.0)
    cloned, demo = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert float(clone_loss(cloned, demo, None)) == pytest.approx(1.25)
    assert float(clone_loss(cloned, demo, torch.tensor([1.0, 0.0]))) == pytest.approx(0.25)
    advantage = torch.tensor([0.0, 100.0])  # the second weight ends at 20
    assert float(advantage_step_loss(log_prob, advantage, 1.0)) == pytest.approx(-(0.5 - 20 * 0.5) / 2)
    log_temperature = torch.tensor(0.0, requires_grad=True)
    temperature_loss(log_temperature, torch.tensor([3.0, 3.0]), -2.0).backward()
    assert float(log_temperature.grad or 0.0) == pytest.approx(-1.0)  # entropy -3 is below -2: the price must rise


def test_the_cloning_weight_falls_to_a_tenth_when_told():
    agent = make_agent(config=SoftConfig(hidden=(16,), bc_weight=5.0, bc_decay_steps=4))
    weights = []
    for number in range(6):
        weights.append(falling(agent.config.bc_weight, agent.updates, agent.config.bc_decay_steps))
        agent.update(make_batch(number))
    assert weights == pytest.approx([5.0, 3.875, 2.75, 1.625, 0.5, 0.5])
    assert falling(5.0, 1000, 0) == 5.0
    assert [falling(5.0, n, 0, fall_at=4) for n in (3, 4, 9)] == pytest.approx([5.0, 1.0, 1.0])
    assert falling(5.0, 4, 2, fall_at=4) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"learn_temperature": True}, {"q_filter": True}, {"actor_step": "advantage"}, {"action_noise": 0.1},
        {"layer_norm": False}, {"w1_penalty": 10.0}, {"bc_decay_steps": 10},
    ],
)  # fmt: skip
def test_every_option_trains_to_finite_numbers_and_differs_from_the_default(changes: dict):
    usual, other = make_agent(), make_agent(config=SoftConfig(hidden=(16, 16), gamma=0.9, **changes))
    found = [(usual.update(make_batch(number)), other.update(make_batch(number))) for number in range(3)]
    assert all(np.isfinite(v) for _, second in found for v in second.values())
    assert found[-1][0] != found[-1][1]


def test_only_a_true_end_is_absorbing():
    agent, batch = make_agent(), make_batch()
    seen: list[torch.Tensor] = []

    def spy(found: Judged):
        seen.extend([found.target_next_value, *found.next_value])
        return iq_loss(found, IqConfig(gamma=0.9))

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


def test_a_copy_learns_alike_and_leaves_the_agent_it_is_of_alone():
    agent = make_agent()
    agent.update(make_batch())
    before, twin = {k: v.clone() for k, v in agent.state_dict().items()}, copy.deepcopy(agent)
    found = twin.update(make_batch(1))
    assert all(torch.equal(v, before[k]) for k, v in agent.state_dict().items())
    assert found == agent.update(make_batch(1))


def test_a_two_armed_bandit_is_learned_from_demos_alone():
    # one state; the expert always takes 0.8; every episode ends at once
    obs, rng = torch.zeros(64, 1), np.random.default_rng(0)
    agent = make_agent(config=SoftConfig(hidden=(32,), gamma=0.5, bc_weight=0.0, learning_rate=3e-3), obs_size=1)
    for _ in range(400):
        own = agent.act(obs[32:], explore=True)
        action = torch.cat([torch.full((32, 1), 0.8) + 0.02 * torch.from_numpy(rng.normal(size=(32, 1))).float(), own])
        ended = torch.ones(64, dtype=torch.bool)
        agent.update(Batch(obs, action, torch.zeros(64), obs, ended, torch.arange(64) < 32, obs[:0]))
    assert float(agent.act(obs[:1], explore=False)) == pytest.approx(0.8, abs=0.15)


def make_agent(critics: int = 2, config: SoftConfig | None = None, obs_size: int = 3) -> SoftAgent:
    config = config or SoftConfig(hidden=(16, 16), critics=critics, gamma=0.9)
    loss = functools.partial(iq_loss, config=IqConfig(gamma=config.gamma))
    normaliser = Normaliser(torch.zeros(obs_size), torch.ones(obs_size))
    spread = torch.full((1 if obs_size == 1 else 2,), 0.5)
    return SoftAgent(loss, bounded_absorbing_value(0.5, config.gamma), normaliser, spread, config, seed=0)


def make_batch(seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    obs, action = torch.randn(4, 3, generator=rng), torch.rand(4, 2, generator=rng) * 2 - 1
    after, none = torch.randn(4, 3, generator=rng), torch.zeros(4, dtype=torch.bool)
    return Batch(obs, action, torch.zeros(4), after, none, HALF, obs[:0])


def test_with_its_own_next_value_the_reward_has_the_gradient_of_eq_6():
    q, value, after = (torch.zeros(1, 4, requires_grad=True) for _ in range(3))
    config = IqConfig(0.9, divergence="chi2", value_term="first", own_next_value=True)
    iq_loss(judged(q, value, after, torch.full((4,), 7.0)), config)[0].backward()
    assert q.grad is not None and after.grad is not None
    assert q.grad[0].tolist() == pytest.approx([-0.5, -0.5, 0.0, 0.0])  # the target critics' 7 counts for nothing
    assert after.grad[0].tolist() == pytest.approx([0.45, 0.45, 0.0, 0.0])


def test_offline_with_its_own_next_value_the_loss_is_a_likelihood_and_a_penalty():
    # Eq. 9 over the expert's rows alone: V(s') of reward and value term cancel, Q(s, a) - V(s) = temperature log pi
    rng, temperature, chi2_alpha = torch.Generator().manual_seed(0), 0.3, 0.2
    table, after = torch.randn(1, 4, 3, generator=rng), torch.randn(1, 4, generator=rng)
    action = torch.tensor([0, 2, 1, 1])
    value, q = temperature * torch.logsumexp(table / temperature, -1), table[:, torch.arange(4), action]
    found = Judged(q, value, after, torch.zeros(4), q[:, :0], torch.ones(4, dtype=torch.bool))
    config = IqConfig(0.9, chi2_alpha, "chi2", "expert", own_next_value=True)
    nll = torch.nn.functional.cross_entropy(table[0] / temperature, action)
    penalty = (q - 0.9 * after).square().mean() / (4 * chi2_alpha)
    assert float(iq_loss(found, config)[0]) == pytest.approx(float(temperature * nll + penalty), rel=1e-5)
