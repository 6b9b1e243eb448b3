"""DAC and ValueDICE: their losses against numbers worked by hand, where their gradients go, and what an end means."""

from __future__ import annotations

import math

import pytest
import torch

from policies.absorbing import mark_rows, points_between
from policies.batch import Batch, Judged
from policies.dac import DacAgent, absorbing_value, discriminator_loss, reward_critic_loss
from policies.networks import Normaliser
from policies.soft_agent import SoftConfig
from policies.value_dice import DiceConfig, ValueDiceAgent, dice_objective, orthogonal_penalty

NORMALISER = Normaliser(torch.zeros(3), torch.ones(3))
SPREAD = torch.full((2,), 0.5)


def batch(rows: int = 8, ended: tuple[int, ...] = (), seed: int = 0) -> Batch:
    """Returns `rows` expert rows around +1 and as many others around -1; those named in `ended` are ends."""
    generator = torch.Generator().manual_seed(seed)
    side = torch.where(torch.arange(2 * rows) < rows, 1.0, -1.0)[:, None]
    obs, following = (side + 0.1 * torch.randn(2 * rows, 3, generator=generator) for _ in range(2))
    terminated = torch.zeros(2 * rows, dtype=torch.bool)
    terminated[list(ended)] = True
    action = (0.5 * side).expand(-1, 2).contiguous()
    return Batch(obs, action, torch.full((2 * rows,), 99.0), following, terminated, side[:, 0] > 0, torch.zeros(0, 3))


def dac() -> DacAgent:
    return DacAgent(NORMALISER, SPREAD, SoftConfig(hidden=(16, 16), gamma=0.9, learning_rate=3e-3), seed=0)


def dice(alpha: float = 0.1) -> ValueDiceAgent:
    return ValueDiceAgent(NORMALISER, SPREAD, DiceConfig(hidden=(16, 16), gamma=0.9, alpha=alpha), seed=0)


def test_the_discriminators_loss_is_the_cross_entropy_of_both_halves():
    # -log sigmoid(log 3) = log 4/3; -log(1 - sigmoid(0)) = log 2, twice, averaged
    loss, terms = discriminator_loss(torch.tensor([math.log(3.0), 0.0, 0.0]), torch.tensor([True, False, False]))
    assert float(loss) == pytest.approx(math.log(4 / 3) + math.log(2.0))
    assert float(terms["discriminator_right"]) == 0.5  # the expert's row is told, 0 is no verdict on the others


def test_the_best_logit_is_the_log_ratio_of_the_two_densities():
    logit = torch.tensor([math.log(3.0)], requires_grad=True)  # a place with 3 expert rows and 1 other: D = 3/4
    each = logit.expand(4)
    expert = torch.nn.functional.softplus(-each[:3]).sum() + torch.nn.functional.softplus(each[3:]).sum()
    expert.backward()
    assert float(logit.grad) == pytest.approx(0.0, abs=1e-6)


def test_dacs_critic_fits_the_reward_it_is_told_plus_the_discounted_value():
    judged = Judged(
        torch.tensor([[3.0]]), torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([10.0]), torch.zeros(1, 0),
        torch.tensor([True]), torch.tensor([-2.0]),
    )  # fmt: skip
    assert float(reward_critic_loss(judged, gamma=0.5)[0]) == 0.0  # 3 = -2 + 0.5 * 10
    assert absorbing_value(0.3, 0.9) == pytest.approx(3.0)


def test_where_a_task_ends_the_absorbing_state_follows_and_stays():
    rows = mark_rows(NORMALISER, batch(4, ended=(1, 6)))
    nowhere = [0.0, 0.0, 0.0, 1.0]
    assert rows.seen == 8 and len(rows.state) == 10
    assert rows.next_state[1].tolist() == rows.next_state[6].tolist() == nowhere
    assert rows.state[8:].tolist() == rows.next_state[8:].tolist() == [nowhere] * 2
    assert rows.is_expert[8:].tolist() == [True, False] and rows.absorbed.nonzero().flatten().tolist() == [1, 6, 8, 9]
    assert (rows.state[:8, 3] == 0.0).all()


def test_points_of_the_penalty_lie_between_an_expert_row_and_another():
    points = points_between(torch.zeros(4, 6), torch.ones(5, 6), torch.Generator().manual_seed(0))
    assert points.shape == (4, 6) and points.requires_grad and ((points > 0.0) & (points < 1.0)).all()
    assert torch.equal(points[:, 0], points[:, 5])  # one share a pair


def test_dac_learns_to_reward_what_the_expert_does_and_ignores_the_environments_reward():
    agent = dac()
    found = {}
    for i in range(150):
        found = agent.update(batch(16, ended=(0,), seed=i))
    assert found["discriminator_right"] == 1.0 and found["reward_expert"] > 0.5 > -0.5 > found["reward_replay"]
    assert found["q_expert"] < 50.0  # 99 a step is what the environment gave


def test_dac_values_an_end_that_only_experts_reach_and_devalues_one_that_only_others_reach():
    for ended, sign in (((0,), 1.0), ((20,), -1.0)):
        agent = dac()
        for i in range(250):
            agent.update(batch(16, ended=ended, seed=i))
        assert agent.absorbing_value is not None and sign * agent.absorbing_value > 1.0


def test_the_dice_objective_equals_its_formula():
    delta, first = torch.tensor([math.log(2.0), math.log(4.0), 0.5]), torch.tensor([3.0])
    is_expert = torch.tensor([True, True, False])
    offline, _ = dice_objective(delta, first, is_expert, gamma=0.9, alpha=0.0)
    assert float(offline) == pytest.approx(math.log(3.0) - 0.1 * 3.0)
    mixed, _ = dice_objective(delta, first, is_expert, gamma=0.9, alpha=0.25)
    expected = math.log(0.75 * 3.0 + 0.25 * math.exp(0.5)) - 0.75 * 0.1 * 3.0 - 0.25 * 0.5
    assert float(mixed) == pytest.approx(expected)


def test_the_dice_objective_does_not_change_when_nu_is_shifted_by_a_constant():
    # nu + c: delta + (1 - gamma) c and first + c. The log gains (1 - gamma) c, the linear terms lose as much.
    delta, first, is_expert = torch.randn(6), torch.randn(3), torch.tensor([True] * 3 + [False] * 3)
    plain, _ = dice_objective(delta, first, is_expert, gamma=0.9, alpha=0.1)
    moved, _ = dice_objective(delta + 0.1 * 7.0, first + 7.0, is_expert, gamma=0.9, alpha=0.1)
    assert float(plain) == pytest.approx(float(moved), abs=1e-5)


def test_rows_at_right_angles_cost_nothing():
    assert float(orthogonal_penalty(torch.eye(3) * 5.0)) == 0.0
    assert float(orthogonal_penalty(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))) == 18.0  # (1 * 3 + 2 * 0)^2, twice


def test_nus_step_leaves_the_actor_alone_and_the_actors_step_leaves_nu_alone():
    agent = dice()
    rows = mark_rows(agent.normaliser, batch(8))
    own, _, _ = agent.actor.sample(torch.cat([batch(8).next_obs, batch(8).obs[:8]]), agent._noise(24))
    agent._objective(rows, own.detach())[0].backward()
    assert all(p.grad is None for p in agent.actor.parameters())
    assert all(p.grad is not None for p in agent.nu.weights)
    agent.update(batch(8))
    before = [p.detach().clone() for p in agent.nu.parameters()]
    agent.nu_optimiser = torch.optim.SGD(agent.nu.parameters(), lr=0.0)
    agent.update(batch(8, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(before, agent.nu.parameters(), strict=True))


@pytest.mark.parametrize("make", [dac, dice])
def test_an_agent_continues_exactly_from_its_state(make):
    agent, again = make(), make()
    for i in range(5):
        agent.update(batch(8, ended=(2, 11), seed=i))
    again.load_state_dict({k: v.clone() for k, v in agent.state_dict().items()})
    for i in range(3):
        assert agent.update(batch(8, ended=(2,), seed=i)) == again.update(batch(8, ended=(2,), seed=i))


@pytest.mark.parametrize("make", [dac, dice])
def test_a_batch_in_which_many_ended_and_one_in_which_none_did_are_both_fine(make):
    agent = make()
    for ended in ((), tuple(range(16))):
        assert all(math.isfinite(v) for v in agent.update(batch(8, ended=ended)).values())


def test_value_dice_offline_draws_the_policy_to_the_expert_without_a_cloning_term():
    torch.manual_seed(0)
    config = DiceConfig(hidden=(16, 16), gamma=0.9, alpha=0.0, bc_weight=0.0, actor_learning_rate=1e-4)
    agent = ValueDiceAgent(NORMALISER, SPREAD, config, seed=0)
    demos = batch(8)
    both = demos._replace(obs=demos.obs[:8].repeat(2, 1), next_obs=demos.next_obs[:8].repeat(2, 1))
    both = both._replace(action=demos.action[:8].repeat(2, 1))
    before = float((agent.actor.best(demos.obs[:8]) - 0.5).abs().mean())
    for _ in range(800):
        agent.update(both)
    assert float((agent.actor.best(demos.obs[:8]) - 0.5).abs().mean()) < 0.6 * before
