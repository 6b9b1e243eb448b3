"""The fast evaluation of the networks, its gradients and its optimiser, against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from policies.flat import Adam, Flat
from policies.fused import PlainStack, Stack, tanh_gaussian
from policies.networks import CriticEnsemble, Normaliser, TanhGaussianActor


@pytest.mark.parametrize(("kind", "layer_norm"), [(Stack, True), (Stack, False), (PlainStack, True)])
def test_a_stack_is_its_critics_forwards_and_backwards(kind: type, layer_norm: bool):
    critic = make_critic(layer_norm)
    plain, stack = copy.deepcopy(critic), kind(critic)
    x, weight = torch.randn(33, 5).requires_grad_(), torch.randn(2, 33, 1)
    same = x.detach().clone().requires_grad_()
    torch.testing.assert_close(stack(x), plain.outputs(same))
    (stack(x) * weight).sum().backward()
    (plain.outputs(same) * weight).sum().backward()
    torch.testing.assert_close(x.grad, same.grad)
    used = {k: p.grad for k, p in plain.named_parameters() if p.grad is not None}
    found = dict(zip(dict(critic.named_parameters()), stack.flat.pieces(stack.flat.take_gradient()), strict=True))
    assert len(used) == (10 if layer_norm else 6)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, used.get(name, torch.zeros_like(gradient)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Stack, PlainStack])
def test_a_frozen_stack_has_a_gradient_for_its_inputs_alone(kind: type):
    critic = make_critic()
    plain, stack = copy.deepcopy(critic), kind(critic)
    x = torch.randn(7, 5).requires_grad_()
    stack.frozen(x).sum().backward()
    (expected,) = torch.autograd.grad(plain.outputs(x).sum(), x)
    torch.testing.assert_close(x.grad, expected)
    assert float(stack.flat.take_gradient().abs().max()) == 0.0


def test_forwards_that_wait_for_their_backward_do_not_disturb_each_other():
    critic = make_critic()
    plain, stack = copy.deepcopy(critic), Stack(critic)
    first, second = torch.randn(7, 5).requires_grad_(), torch.randn(7, 5).requires_grad_()
    loss = stack(first).square().sum() + stack.frozen(second).square().sum()
    with torch.no_grad():
        stack(torch.randn(7, 5))
    loss.backward()
    expected = torch.autograd.grad(
        plain.outputs(first).square().sum() + plain.outputs(second).square().sum(), (first, second)
    )
    torch.testing.assert_close((first.grad, second.grad), expected)


def test_what_is_not_a_number_stays_visible():
    for stack in (Stack(make_critic()), Stack(make_critic(layer_norm=False)), Stack(make_actor())):
        x = torch.zeros(3, stack.inputs)
        x[1, 0] = torch.nan
        assert torch.isnan(stack(x)[:, 1]).all() and torch.isfinite(stack(x)[:, [0, 2]]).all()


@pytest.mark.parametrize("noise_learns", [False, True])
def test_the_actors_samples_and_their_gradients_are_those_of_the_network(noise_learns: bool):
    actor = make_actor(noise_learns)
    with torch.no_grad():
        actor.head.bias[2:] = torch.tensor([5.0, -1.7])  # one log_std above its bound, one near it
    plain, stack = copy.deepcopy(actor), Stack(actor)
    obs, noise, slope = torch.randn(40, 3), torch.randn(40, 2), torch.randn(40, 2)
    expected = plain.sample(obs, noise)[:2]
    found = tanh_gaussian(actor, stack(actor.normaliser(obs))[0], noise)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for action, log_prob in (found, expected):
        ((action * slope).sum() + (log_prob * slope[:, 0]).sum()).backward()
    gradients = stack.flat.pieces(stack.flat.take_gradient())
    for parameter, gradient in zip(plain.parameters(), gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compiled", [True, False])
def test_adam_in_one_loop_takes_torchs_steps_and_continues_from_torchs_state(compiled: bool):
    ours = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    theirs = copy.deepcopy(ours)
    mine, torchs = Adam(Flat(ours), 0.01), torch.optim.Adam(theirs.parameters(), lr=0.01)
    if not compiled:
        mine._arrays = None  # as on a GPU
    for number in range(40):
        if number == 20:
            mine.load_state_dict(torchs.state_dict())
        for module, optimiser in ((ours, mine), (theirs, torchs)):
            optimiser.zero_grad()
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
            module(x).square().sum().backward()
            optimiser.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    rows, expected = mine.state_dict()["state"], torchs.state_dict()["state"]
    for number, row in expected.items():
        for name, value in row.items():
            torch.testing.assert_close(rows[number][name], value, rtol=1e-4, atol=1e-6)


def test_a_flat_module_follows_its_vector_and_loads_as_before():
    module, source = nn.Linear(2, 1), nn.Linear(2, 1)
    flat = Flat(module)
    expected = torch.lerp(module.weight.detach(), source.weight.detach(), 0.25)
    flat.move_towards(Flat(source), 0.25)
    torch.testing.assert_close(module.weight.detach(), expected)
    module.load_state_dict(source.state_dict())
    torch.testing.assert_close(flat.vector.detach(), torch.cat([source.weight.reshape(-1), source.bias]).detach())


def make_critic(layer_norm: bool = True) -> CriticEnsemble:
    critic = CriticEnsemble(Normaliser(torch.zeros(3), torch.ones(3)), 2, (24, 16), 2, 0, layer_norm)
    with torch.no_grad():
        for parameter in critic.parameters():  # gains and shifts that are not 1 and 0
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return critic


def make_actor(noise_learns: bool = False) -> TanhGaussianActor:
    normaliser, spread = Normaliser(torch.zeros(3), torch.ones(3)), torch.tensor([0.5, 0.2])
    return TanhGaussianActor(normaliser, spread, (24, 16), seed=1, noise_learns=noise_learns)
