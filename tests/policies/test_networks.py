"""Actor, critics and normaliser against independent formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from policies.networks import (
    LEAST_SPREAD,
    CriticEnsemble,
    Magnifier,
    Normaliser,
    TanhGaussianActor,
    move_towards,
    tanh_gaussian_log_prob,
)


def test_the_log_density_is_that_of_torchs_own_tanh_normal():
    mean, log_std, noise = torch.randn(5, 3), torch.rand(5, 3) - 1.0, torch.randn(5, 3)
    before = mean + log_std.exp() * noise
    reference = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform())
    expected = reference.log_prob(torch.tanh(before).double().clamp(-1 + 1e-9, 1 - 1e-9)).sum(-1).float()
    torch.testing.assert_close(tanh_gaussian_log_prob(before, noise, log_std), expected, rtol=1e-3, atol=1e-3)


def test_the_ensemble_is_the_same_as_its_critics_one_by_one():
    critic = CriticEnsemble(Normaliser(torch.zeros(3), torch.ones(3)), 2, (8, 8), 2, seed=0)
    obs, action = torch.randn(5, 3), torch.rand(5, 2)
    together = critic(obs, action)
    for n in range(2):
        x = torch.cat([obs, action], -1)
        for i in range(2):
            x = x @ critic.weights[i][n] + critic.biases[i][n]
            x = torch.relu(torch.nn.functional.layer_norm(x, (8,)) * critic.gains[i][n] + critic.shifts[i][n])
        alone = (x @ critic.weights[2][n] + critic.biases[2][n]).squeeze(-1)
        torch.testing.assert_close(together[n], alone)
    assert not torch.equal(together[0], together[1])


def test_a_constant_feature_does_not_explode():
    normaliser = Normaliser(torch.tensor([1.0]), torch.tensor([0.0]))
    assert 0.4 < float(normaliser(torch.tensor([1.01]))) < 0.6  # the floor of std is 0.02
    assert float(normaliser(torch.tensor([100.0]))) == 8.0


def test_actions_stay_inside_their_range_and_seeds_decide_the_weights():
    normaliser = Normaliser(torch.zeros(3), torch.ones(3))
    actor, same = (TanhGaussianActor(normaliser, torch.ones(2), (8,), seed=1) for _ in range(2))
    other = TanhGaussianActor(normaliser, torch.ones(2), (8,), seed=2)
    obs = 100 * torch.randn(50, 3)
    action, _, _ = actor.sample(obs, 10 * torch.randn(50, 2))
    assert action.abs().max() <= 1.0
    assert torch.equal(actor.best(obs), same.best(obs)) and not torch.equal(actor.best(obs), other.best(obs))


def test_moving_towards_goes_the_share_told():
    a, b = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    expected = 0.9 * a.weight.detach() + 0.1 * b.weight.detach()
    move_towards(a, b, 0.1)
    torch.testing.assert_close(a.weight.detach(), expected)


def test_a_dimension_that_nobody_moved_is_not_moved_by_exploring():
    actor = TanhGaussianActor(Normaliser(torch.zeros(3), torch.ones(3)), torch.tensor([0.5, 0.0]), (8,), seed=0)
    obs = torch.randn(500, 3)
    action, log_prob, best = actor.sample(obs, torch.randn(500, 2))
    assert float((action - best)[:, 1].abs().max()) < 0.02 < 0.05 < float((action - best)[:, 0].abs().mean())
    assert log_prob.mean() < 3.0


@pytest.mark.parametrize("noise_learns", [False, True])
def test_noise_that_does_more_harm_than_its_entropy_is_worth_falls_where_it_learns(noise_learns: bool):
    spread = torch.tensor([0.2, 0.05])
    actor = TanhGaussianActor(
        Normaliser(torch.zeros(3), torch.ones(3)), spread, (8,), seed=0, noise_learns=noise_learns
    )
    optimiser = torch.optim.Adam(actor.parameters(), lr=0.01)
    draw = torch.Generator().manual_seed(0)
    for _ in range(100):
        action, log_prob, _ = actor.sample(torch.randn(64, 3, generator=draw), torch.randn(64, 2, generator=draw))
        loss = (30.0 * action.square().sum(-1) + 0.02 * log_prob).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    std = actor(torch.zeros(1, 3))[1].exp()[0]
    assert bool((std < 0.5 * spread).all()) == noise_learns
    assert torch.allclose(std, spread + LEAST_SPREAD) != noise_learns


def test_a_magnifying_glass_shows_distances_once_more_large_near_nought_and_small_far_off():
    seen = Magnifier(Normaliser(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 2.0])), [1], scale=0.005)
    rows = torch.tensor([[0.5, 0.0], [1.5, 0.001], [1.5, -0.5]])
    by_hand = [[0.0, 0.0, 0.0], [1.0, 0.0005, math.asinh(0.2)], [1.0, -0.25, -math.asinh(100.0)]]
    assert seen.width == 3 and torch.allclose(seen(rows), torch.tensor(by_hand), atol=1e-6)
