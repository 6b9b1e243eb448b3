"""Pixel policies: encoders, augmentation, and a regression that finds a thing in a picture."""

from __future__ import annotations

import pytest
import torch

from policies.augment import colour_jitter, random_shift
from policies.encoders import ENCODERS, make_encoder
from policies.networks import Normaliser
from policies.pixel_actor import PixelActor, PixelBatch, Sight, as_float
from policies.pixel_cloning import PixelCloning, PixelCloningConfig

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
