"""Pixel policies: encoders, augmentation, and a regression that finds a thing in a picture."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import pytest
import torch

from policies.agent import under
from policies.augment import colour_jitter, moved_at_once, moved_in_turn, random_shift
from policies.encoders import ENCODERS, make_encoder
from policies.iq_learn import IqConfig, iq_loss
from policies.looking import Compute, Looking
from policies.networks import Normaliser
from policies.pixel_actor import PixelActor, PixelBatch, Sight, as_float
from policies.pixel_cloning import PixelCloning, PixelCloningConfig
from policies.pixel_soft import PixelSoft, PixelSoftConfig, PixelTransitions
from policies.soft_agent import SoftConfig

SIZE = 40


def make_agent(state_size: int = 2, seed: int = 0, **config: float) -> PixelCloning:
    scale = Normaliser(torch.zeros(state_size), torch.ones(state_size)) if state_size else None
    settings = PixelCloningConfig(hidden=(32,), shift_px=0, **config)  # type: ignore[arg-type]
    return PixelCloning(
        Sight(2, SIZE, stack=2, width=16), Normaliser(torch.zeros(1), torch.ones(1)), 2, settings, seed, scale
    )


def dots(rows: int, seed: int = 0) -> PixelBatch:
    """A white dot in an empty picture; the action is its place."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randint(4, SIZE - 4, (rows, 2), generator=generator)
    pictures = torch.zeros(rows, 2, 2, SIZE, SIZE, 3, dtype=torch.uint8)
    for row, (y, x) in enumerate(place.tolist()):
        pictures[row, :, :, y - 2 : y + 3, x - 2 : x + 3] = 255
    action = (place - SIZE / 2) / SIZE
    return PixelBatch(pictures, torch.zeros(rows, 1), action, action)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_takes_every_picture_size_and_learns(name: str):
    for size in (64, 84):
        encoder = make_encoder(name, 6, size, 16)
        out = encoder(torch.rand(2, 6, size, size) - 0.5)
        assert out.shape == (2, 16)
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_a_shift_moves_a_stack_as_one_and_repeats_its_edges():
    column = torch.arange(SIZE, dtype=torch.uint8)
    pictures = column[None, None, None, :, None, None].expand(16, 2, 3, SIZE, SIZE, 3).contiguous()
    moved = random_shift(pictures, 4, torch.Generator().manual_seed(0))
    assert moved.shape == pictures.shape and moved.dtype == torch.uint8
    by = moved[:, :, :, 20, 0, 0].int() - 20  # (B, K, S)
    assert (by == by[:, :, :1]).all(), "frames of one stack moved apart"
    assert by.min() == -4 and by.max() == 4 and (by[:, 0, 0] != by[:, 1, 0]).any()
    expected = (torch.arange(SIZE) + by[0, 0, 0]).clamp(0, SIZE - 1)
    assert torch.equal(moved[0, 0, 0, :, 5, 1].int(), expected.int())
    assert random_shift(pictures, 0, torch.Generator()) is pictures


def test_jitter_changes_colours_alike_over_a_stack_and_within_bounds():
    pictures = torch.full((8, 2, 3, 5, 5, 3), 0.2)
    changed = colour_jitter(pictures, 0.3, torch.Generator().manual_seed(0))
    assert changed.abs().max() <= 0.5 and (changed != 0.2).any()
    assert torch.equal(changed, changed[:, :, :1, :1, :1].expand_as(changed)), "one colour of a camera, one change"
    assert torch.equal(colour_jitter(pictures, 0.0, torch.Generator()), pictures)


def test_the_regression_finds_the_dot():
    agent, batch = make_agent(ema_share=0.05), dots(64)
    first = agent.update(batch)["bc_loss"]
    for _ in range(100):
        last = agent.update(batch)["bc_loss"]
    assert last < 0.05 * first
    held_out = dots(64, seed=1)
    error = (agent.act(held_out.pictures, held_out.proprio) - held_out.action).abs().mean()
    assert error < 0.12, "the averaged actor does not see where the dot is"


def test_the_guess_of_the_state_teaches_the_encoders_and_is_not_deployed():
    agent = make_agent(state_size=2)
    assert agent.actor.guess is not None
    seen = agent.actor.see(as_float(dots(4).pictures), torch.zeros(4, 1))
    agent.actor.guess(seen).square().sum().backward()
    assert all(p.grad is not None for p in agent.actor.encoders.parameters())
    assert all(p.grad is None for p in (*agent.actor.trunk.parameters(), *agent.actor.head.parameters()))
    kept = {k.removeprefix("actor.") for k in agent.deployed()}
    sight = agent.actor.sight
    bare = PixelActor(sight, Normaliser(torch.zeros(1), torch.ones(1)), 2, (32,), 0)
    assert kept == set(bare.state_dict())


def test_training_continues_from_its_state_bit_for_bit():
    whole, halves = make_agent(jitter=0.2), make_agent(jitter=0.2)
    for _ in range(4):
        whole.update(dots(8))
    for _ in range(2):
        halves.update(dots(8))
    again = make_agent(jitter=0.2, seed=5)
    again.load_state_dict({k: v.contiguous().clone() for k, v in halves.state_dict().items()})  # as a file gives them
    for _ in range(2):
        again.update(dots(8))
    expected, found = whole.state_dict(), again.state_dict()
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def make_soft(critic_sees: str = "state", by: str = "actor", seed: int = 0, **config: float) -> PixelSoft:
    sight, one = Sight(2, SIZE, stack=2, width=16), Normaliser(torch.zeros(1), torch.ones(1))
    pixels = PixelSoftConfig(critic_sees, by, shift_px=2, **config)  # type: ignore[arg-type]
    loss = functools.partial(iq_loss, config=IqConfig(0.9))
    known = Normaliser(torch.zeros(2), torch.ones(2)) if critic_sees == "state" else None
    return PixelSoft(loss, 5.0, sight, one, known, torch.ones(2), SoftConfig((32,)), pixels, seed)


def transitions(rows: int = 4) -> PixelTransitions:
    now, after = dots(2 * rows), dots(2 * rows, seed=1)
    ended = torch.arange(2 * rows) == 0
    return PixelTransitions(now, after.pictures, after.proprio, after.state, ended, torch.arange(2 * rows) < rows)


def moved(agent: PixelSoft, step: Callable[[], object]) -> set[str]:
    """The parts of the agent that a step changes."""
    before = {k: v.clone() for k, v in agent.state_dict().items()}
    step()
    parts = ("eyes.", "guess.", "soft.actor.", "soft.critic.")
    changed = {k for k, v in agent.state_dict().items() if k in before and not torch.equal(v, before[k])}
    return {part for part in parts if any(k.startswith(part) for k in changed)}


def test_an_update_teaches_eyes_actor_and_critics_and_none_freezes_the_eyes_after_cloning():
    batch = transitions()
    everything = {"eyes.", "soft.actor.", "soft.critic."}
    assert moved(agent := make_soft(), lambda: agent.update(batch)) == {*everything, "guess."}
    assert moved(agent := make_soft("pixels", "critic"), lambda: agent.update(batch)) == everything
    assert moved(agent := make_soft("pixels", "actor"), lambda: agent.update(batch)) == everything
    agent = make_soft("pixels", "none")
    assert moved(agent, lambda: agent.update(batch)) == {"soft.actor.", "soft.critic."}
    assert moved(agent, lambda: agent.clone_step(batch)) == {"eyes.", "soft.actor."}
    agent = make_soft("pixels", "none", frozen=True)
    assert moved(agent, lambda: agent.clone_step(batch)) == {"soft.actor."}


@pytest.mark.parametrize(("critic_sees", "by"), [("state", "actor"), ("pixels", "critic"), ("pixels", "actor")])
def test_the_encoders_have_the_gradient_of_the_losses_that_are_to_teach_them_and_of_no_other(critic_sees: str, by: str):
    """The one backward pass through the leaves equals the losses' own gradients, written down without leaves."""
    agent, batch = make_soft(critic_sees, by, state_weight=0.0), transitions()
    noise, shift = agent.soft.generator.get_state(), agent.generator.get_state()
    plain = copy.deepcopy(agent.eyes), copy.deepcopy(agent.soft)
    agent.eyes_optimiser = torch.optim.SGD(agent.eyes.parameters(), lr=0.0)  # keeps the gradient, moves nothing
    agent.update(batch)
    eyes, soft = plain
    soft.generator, again = torch.Generator(), torch.Generator()
    soft.generator.set_state(noise)
    again.set_state(shift)
    looking = Looking(eyes, 2, 0.0, again, Compute())
    seen = looking.seen(batch.now.pictures, batch.now.proprio)
    after = looking.seen(batch.next_pictures, batch.next_proprio)
    learns = by == "critic"
    soft.critic_step(agent._rows(batch, seen if learns else seen.detach(), after if learns else after.detach()))
    if by == "actor":
        soft.actor_step(agent._rows(batch, seen, after.detach()))
    for expected, found in zip(eyes.parameters(), agent.eyes.parameters(), strict=True):
        assert expected.grad is not None and found.grad is not None and expected.grad.abs().sum() > 0
        assert torch.allclose(expected.grad, found.grad, atol=1e-6)


def test_what_is_deployed_acts_like_the_averaged_actor_and_knows_no_state():
    agent = make_soft()
    for _ in range(2):
        agent.update(transitions())
    sight, one = agent.eyes.sight, Normaliser(torch.zeros(1), torch.ones(1))
    bare = PixelActor(sight, one, 2, (32,), 5)
    bare.load_state_dict(under(agent.deployed(), "actor"))
    assert set(agent.deployed()) == {f"actor.{k}" for k in bare.state_dict()}
    batch = dots(4, seed=2)
    with torch.no_grad():
        own = bare.best(batch.pictures, batch.proprio)
    assert torch.allclose(own, agent.act(batch.pictures, batch.proprio, explore=False), atol=1e-6)


def test_a_soft_agent_continues_from_its_state_bit_for_bit():
    whole, halves = make_soft(), make_soft()
    for _ in range(4):
        whole.update(transitions())
    for _ in range(2):
        halves.update(transitions())
    again = make_soft(seed=5)
    again.load_state_dict({k: v.contiguous().clone() for k, v in halves.state_dict().items()})
    for _ in range(2):
        again.update(transitions())
    expected, found = whole.state_dict(), again.state_dict()
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_a_gpus_way_gives_what_the_cpus_does():
    pictures = torch.randint(0, 256, (6, 2, 9, 9, 3), dtype=torch.uint8)
    by = torch.tensor([[0, 4, -4, 1, -1, 3], [2, -4, 4, 0, -1, 1]])[..., None]
    down, across = (torch.arange(9) + by).clamp(0, 8)
    assert torch.equal(moved_in_turn(pictures, down, across), moved_at_once(pictures, down, across))
    agent = make_agent()
    exact = agent.looking.vectors(dots(4).pictures)
    half = Looking(agent.actor, 0, 0.0, agent.generator, Compute(half=True)).vectors(dots(4).pictures)
    assert half.dtype == torch.float32 and 0 < (half - exact).abs().max() < 0.1
