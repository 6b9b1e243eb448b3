"""Heads of clones, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from policies.heads import Mixture, MixtureHead, heaviest_mean, make_head, masked_mean, mixture_log_prob


def two_modes() -> Mixture:
    """Weights 3/4 and 1/4; N(0, 1) and N(1, 0.5^2) in one dimension."""
    return Mixture(torch.tensor([math.log(3.0), 0.0]), torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.5]]))


def test_a_mixtures_density_is_the_weighted_sum_of_its_modes():
    # at 1: 3/4 * 0.24197 (the normal density at 1) + 1/4 * 0.39894 / 0.5 = 0.18148 + 0.19947
    density = mixture_log_prob(two_modes(), torch.tensor([1.0]), torch.ones(1)).exp()
    assert float(density) == pytest.approx(0.38095, abs=1e-5)


def test_dimensions_that_do_not_count_are_integrated_out():
    wide = Mixture(two_modes().logit, torch.tensor([[0.0, 9.0], [1.0, -9.0]]), torch.tensor([[1.0, 0.1], [0.5, 0.1]]))
    some = mixture_log_prob(wide, torch.tensor([1.0, 5.0]), torch.tensor([1.0, 0.0]))
    assert torch.allclose(some, mixture_log_prob(two_modes(), torch.tensor([1.0]), torch.ones(1)))


def test_acting_takes_the_mean_of_the_heaviest_mode_not_the_mean_of_all():
    assert heaviest_mean(two_modes()).tolist() == [0.0]


def test_the_mean_counts_only_what_counts_and_is_zero_where_nothing_does():
    values, counts = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]]), torch.tensor([[1.0, 1.0, 0.0], [0.0] * 3])
    assert masked_mean(values, counts).tolist() == [2.0, 0.0]


def test_a_mixture_learns_both_of_two_ways_where_least_squares_learns_neither():
    torch.manual_seed(0)
    seen, action = torch.ones(64, 4), torch.where(torch.arange(64) % 3 == 0, -0.5, 0.5)[:, None]
    answers = {}
    for kind in ("mse", "gmm"):
        head = make_head(kind, 4, 1)
        optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(200):
            optimiser.zero_grad()
            head.loss(seen, action, torch.ones_like(action)).mean().backward()
            optimiser.step()
        answers[kind] = float(head.best(seen[:1]))
    assert answers["gmm"] == pytest.approx(0.5, abs=0.05)
    assert abs(answers["mse"]) < 0.25  # the mean of both, which nobody did


def test_the_mixtures_means_lie_inside_the_action_range_and_no_mode_is_a_needle():
    mixture = MixtureHead(3, 2)(torch.full((5, 3), 50.0))
    assert mixture.mean.shape == (5, 5, 2) and (mixture.mean.abs() <= 1.0).all() and (mixture.std >= 0.01).all()
