"""Discrete IQ-Learn against a three-state MDP whose optimum is worked out in closed form."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from policies.batch import Batch, Judged
from policies.iq_learn import IqConfig, iq_loss
from policies.networks import Normaliser
from policies.soft_q import SoftQAgent, SoftQConfig, soft_policy, soft_value

GAMMA, ALPHA = 0.8, 0.5
# Three states, two actions, deterministic: action 0 goes round one way, action 1 the other. Temperature 1.
NEXT = np.array([[1, 2], [2, 0], [0, 1]])
START = np.array([0.5, 0.3, 0.2])
EXPERT = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])


def occupancy(policy: np.ndarray) -> np.ndarray:
    """Returns the discounted occupancy (1 - gamma) sum gamma^t p(s_t, a_t) of a policy, (3, 2), summing to 1."""
    step = np.zeros((3, 3))
    for s in range(3):
        for a in range(2):
            step[s, NEXT[s, a]] += policy[s, a]
    states = np.linalg.solve(np.eye(3) - GAMMA * step.T, (1 - GAMMA) * START)
    return states[:, None] * policy


def learned_table(expert: np.ndarray, alpha: float) -> torch.Tensor:
    """Returns the table Q (3, 2) that maximises E_expert[r - r^2 / (4 alpha)] - (1 - gamma) E[V(s_0)], by iq_loss."""
    table = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    # row by row, weighted by their exact shares: a batch of samples would only come near them
    exact = {"max_iter": 1000, "tolerance_grad": 1e-12, "tolerance_change": 1e-18}
    optimiser = torch.optim.LBFGS([table], line_search_fn="strong_wolfe", **exact)
    shares = torch.from_numpy(occupancy(expert)).flatten()

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = soft_value(table, 1.0)
        rows = []
        for i in range(6):
            s, a = divmod(i, 2)
            after = value[NEXT[s, a]].reshape(1, 1)
            one = Judged(
                table[s, a].reshape(1, 1), value[s].reshape(1, 1), after, after[0], after[:, :0], torch.tensor([True])
            )  # fmt: skip
            gain = iq_loss(one, IqConfig(GAMMA, alpha, "chi2", "expert"))[1]
            rows.append(gain["regulariser"] - gain["expert_reward"])  # -phi(r) of one row
        start = (1 - GAMMA) * (torch.from_numpy(START) * value).sum()
        loss = (shares * torch.stack(rows)).sum() + start
        loss.backward()
        return loss

    for _ in range(5):
        optimiser.step(closure)
    return table.detach()


def test_on_a_three_state_mdp_reward_policy_and_values_match_the_closed_form():
    # With p_E(s, a) the expert's and p(s, a) the learner's occupancy, phi(r) = r - r^2 / (4 alpha) has its optimum at
    # r = 2 alpha (1 - p / p_E), where p is that of the soft-optimal policy for r.
    expert = occupancy(EXPERT)
    table = learned_table(EXPERT, ALPHA)
    policy = soft_policy(table, 1.0).numpy()
    value = soft_value(table, 1.0).numpy()
    reward = table.numpy() - GAMMA * value[NEXT]
    closed = 2 * ALPHA * (1 - occupancy(policy) / expert)
    np.testing.assert_allclose(reward, closed, atol=1e-6)
    # Q, V and the policy are those of soft value iteration on that reward
    soft = np.zeros(3)
    for _ in range(400):
        q = closed + GAMMA * soft[NEXT]
        soft = np.log(np.exp(q).sum(1))
    np.testing.assert_allclose(table.numpy(), q, atol=1e-5)
    np.testing.assert_allclose(value, soft, atol=1e-5)
    np.testing.assert_allclose(policy, np.exp(q - soft[:, None]), atol=1e-5)


def test_a_weak_regulariser_recovers_the_experts_policy():
    policy = soft_policy(learned_table(EXPERT, 200.0), 1.0).numpy()
    np.testing.assert_allclose(policy, EXPERT, atol=5e-3)
    strong = soft_policy(learned_table(EXPERT, 0.5), 1.0).numpy()
    assert np.abs(strong - EXPERT).max() > 0.02  # the entropy bonus then draws it towards the even policy


def test_the_soft_value_is_the_policys_expected_value_plus_its_entropy():
    q = torch.tensor([[1.0, 2.0, 4.0]])
    p = soft_policy(q, 0.5)
    assert float(soft_value(q, 0.5)) == pytest.approx(float((p * (q - 0.5 * p.log())).sum()), rel=1e-6)


def test_a_discrete_agent_learns_what_the_expert_does_in_each_state():
    agent = make_agent(SoftQConfig(hidden=(32,), bc_weight=0.0, learning_rate=3e-3, gamma=0.9))
    for number in range(400):
        agent.update(make_batch(number))
    states = torch.eye(3)
    assert agent.act(states, explore=False).tolist() == [0, 1, 0]


def test_training_continues_bit_for_bit_from_a_saved_state():
    first, second = make_agent(), make_agent()
    for number in range(3):
        first.update(make_batch(number))
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for number in range(3, 6):
        assert first.update(make_batch(number)) == second.update(make_batch(number))
    assert torch.equal(first.act(torch.eye(3), explore=True), second.act(torch.eye(3), explore=True))


@pytest.mark.parametrize(("absorbing_value", "begins_at"), [(5.0, 5.0), (-5.0, 0.0), (0.0, 0.0), (None, 0.0)])
def test_every_q_begins_at_the_value_of_an_end_that_is_worth_going_to(absorbing_value: float | None, begins_at: float):
    agent = make_agent(SoftQConfig(hidden=(16,), temperature=0.01), absorbing_value)
    for critic in (agent.critic, agent.target_critic, agent.ema_critic):
        torch.testing.assert_close(critic(torch.eye(3)), torch.full((2, 3, 2), begins_at), rtol=0.0, atol=0.05)


def make_agent(config: SoftQConfig | None = None, absorbing_value: float | None = 5.0) -> SoftQAgent:
    config = config or SoftQConfig(hidden=(16,))
    loss = functools.partial(iq_loss, config=IqConfig(config.gamma))
    return SoftQAgent(loss, absorbing_value, Normaliser(torch.zeros(3), torch.ones(3)), 2, config, seed=0)


def make_batch(seed: int) -> Batch:
    """Returns 32 rows of an expert who takes 0, 1, 0 in the three states, and 32 of a learner who tosses a coin."""
    rng = np.random.default_rng(seed)
    state, coin = rng.integers(3, size=64), rng.integers(2, size=64)
    expert = np.arange(64) < 32
    action = np.where(expert, np.array([0, 1, 0])[state], coin)
    obs = torch.eye(3)
    after = obs[torch.from_numpy(NEXT[state, action])]
    return Batch(
        obs[torch.from_numpy(state)],
        torch.from_numpy(action),
        torch.zeros(64),
        after,
        torch.zeros(64, dtype=torch.bool),
        torch.from_numpy(expert),
        obs[:0],
    )


@pytest.mark.parametrize("falls,fallen", [({"bc_decay_steps": 3}, 0.1), ({"bc_fall_at": 3}, 0.2)])
def test_the_cloning_weight_falls_and_goes_on_falling_after_a_restart(falls: dict[str, int], fallen: float):
    """Once it has fallen, an update is that of an agent whose weight was so little from the start."""
    agent, low = make_agent(SoftQConfig(**falls)), make_agent(SoftQConfig(bc_weight=fallen))
    for number in range(3):
        agent.update(make_batch(number))
    resumed = make_agent(SoftQConfig(**falls))
    resumed.load_state_dict(agent.state_dict())
    low.load_state_dict(agent.state_dict())
    for each in (agent, resumed, low):
        each.update(make_batch(7))
    for name, tensor in agent.critic.state_dict().items():
        assert torch.equal(tensor, resumed.critic.state_dict()[name])
        torch.testing.assert_close(tensor, low.critic.state_dict()[name])
    high = make_agent(SoftQConfig())
    high.load_state_dict(low.state_dict())
    high.update(make_batch(8))
    low.update(make_batch(8))
    assert any(not torch.equal(t, high.critic.state_dict()[k]) for k, t in low.critic.state_dict().items())


def test_an_untrained_policy_is_the_same_at_every_temperature():
    obs = torch.eye(3)
    chances = [
        soft_policy(make_agent(SoftQConfig(hidden=(16,), temperature=t)).critic(obs), t) for t in (1.0, 0.1, 0.001)
    ]
    torch.testing.assert_close(chances[1], chances[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(chances[2], chances[0], rtol=1e-3, atol=1e-4)
