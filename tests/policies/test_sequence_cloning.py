"""Clones of pieces of demos: what they remember, what they plan, what they forget."""

from __future__ import annotations

import pytest
import torch

from policies.networks import Normaliser
from policies.sequence_cloning import SequenceCloning, Windows, blended, make_actor

KINDS = ("plain", "lstm", "gru", "chunk")


def actor(kind: str, *, head: str = "mse", window: int = 4, execute: int = 2, blend: bool = False, seed: int = 0):
    return make_actor(
        kind, Normaliser(torch.zeros(3), torch.ones(3)), 2, (16, 16), head=head, window=window, execute=execute,
        blend=blend, seed=seed,
    )  # fmt: skip


def windows(rows: int, steps: int, seed: int = 0) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    obs = torch.randn(rows, steps, 3, generator=generator)
    return Windows(obs, torch.tanh(obs[..., :2]), torch.ones(rows, steps))


def still(pieces: Windows) -> Windows:
    """Returns pieces in which nothing changes, so that all actions can be told from the first observation."""
    return pieces._replace(obs=pieces.obs[:, :1].expand_as(pieces.obs), action=pieces.action[:, :1].expand(-1, 4, -1))


@pytest.mark.parametrize("head", ["mse", "gmm"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_past_a_demos_end_teaches_nothing(kind: str, head: str):
    pieces = windows(6, 4)
    pieces.valid[:, 2:] = 0.0
    other = pieces._replace(action=pieces.action.clone())
    other.action[:, 2:] = 0.77
    one = actor(kind, head=head)
    assert torch.equal(one.loss(pieces), one.loss(other))
    other.action[:, 1] = 0.77
    assert not torch.equal(one.loss(pieces), one.loss(other))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_continues_exactly_from_its_state(kind: str):
    agent = SequenceCloning(actor(kind), learning_rate=5e-3)
    losses = [agent.update(still(windows(32, 4, seed=i)))["bc_loss"] for i in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    again = SequenceCloning(actor(kind, seed=5), learning_rate=5e-3)
    again.load_state_dict({k: v.clone() for k, v in agent.state_dict().items()})
    for i in range(3):
        assert agent.update(windows(8, 4, seed=i)) == again.update(windows(8, 4, seed=i))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_acting_step_by_step_is_what_was_trained_on_whole_windows(kind: str):
    one, pieces = actor(kind), windows(1, 4)
    seen, _ = one.memory(one.normaliser(pieces.obs))
    one.begin()
    stepped = torch.stack([one.step(pieces.obs[:, t])[0] for t in range(4)])
    assert torch.allclose(stepped, one.head.best(seen)[0], atol=1e-6)


@torch.no_grad()
def test_memory_begins_anew_with_each_episode_and_after_its_steps():
    one, obs = actor("lstm"), torch.ones(1, 3)
    one.begin()
    acts = [one.step(obs) for _ in range(6)]
    assert not torch.equal(acts[0], acts[1])  # it remembers
    assert torch.equal(acts[0], acts[4]) and torch.equal(acts[1], acts[5])  # window of 4
    one.begin()
    assert torch.equal(one.step(obs), acts[0])


@torch.no_grad()
def test_a_chunk_is_done_in_part_before_the_policy_looks_again():
    one = actor("chunk", window=4, execute=3)
    seen = [torch.randn(1, 3, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    one.begin()
    acts = torch.cat([one.step(obs) for obs in seen])
    assert torch.equal(acts[:3], one.chunk(seen[0])[0, :3]) and torch.equal(acts[3:], one.chunk(seen[3])[0, :1])
    one.step(seen[1])
    one.begin()
    assert torch.equal(one.step(seen[2]), one.chunk(seen[2])[0, :1])  # nothing left of the last plan


@torch.no_grad()
def test_blending_averages_all_that_was_said_about_a_moment():
    one = actor("chunk", window=2, blend=True)
    seen = [torch.randn(1, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    said = [one.chunk(obs)[0] for obs in seen]
    one.begin()
    acts = [one.step(obs)[0] for obs in seen]
    assert torch.allclose(acts[0], said[0][0])
    assert torch.allclose(acts[1], blended(torch.stack([said[0][1], said[1][0]])))
    assert torch.allclose(acts[2], blended(torch.stack([said[1][1], said[2][0]])))


def test_blending_weights_fall_from_the_oldest_on():
    # weights 1 and exp(-log 2) = 1/2: (1 * 0 + 0.5 * 3) / 1.5
    assert float(blended(torch.tensor([[0.0], [3.0]]), rate=0.6931472)) == pytest.approx(1.0)
