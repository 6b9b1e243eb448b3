"""Behaviour cloning on pieces of demos: recurrent, in chunks of actions, or step by step under another head.

The three differ in their actor alone: `PlainActor`, `RecurrentActor`, `ChunkActor`. Windows of T steps never cross
the end of an episode; where one is cut short, `valid` says which steps are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from policies.agent import under
from policies.behaviour_cloning import Clone
from policies.heads import MeanHead, MixtureHead, make_head, masked_mean
from policies.networks import Normaliser, trunk

Tensors = dict[str, torch.Tensor]
GRADIENT_NORM = 1.0  # of recurrent networks; larger steps are cut


class Windows(NamedTuple):
    """B pieces of T steps of one demo each."""

    obs: torch.Tensor  # (B, T, D) float32
    action: torch.Tensor  # (B, T, A) float32
    valid: torch.Tensor  # (B, T) float32: 0 past the demo's end, else 1


def _step_by_step(head: MeanHead | MixtureHead, seen: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Returns the head's loss for features (B, T, W), averaged over the real steps."""
    each = head.loss(seen, windows.action, torch.ones_like(windows.action))  # (B, T)
    return masked_mean(each.flatten(), windows.valid.flatten())


class PlainActor(nn.Module):
    """A network without memory under a head; with T = 1 it is plain behaviour cloning."""

    def __init__(self, normaliser: Normaliser, action_size: int, hidden: Sequence[int], head: str, seed: int) -> None:
        super().__init__()
        self.normaliser = normaliser
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = trunk([normaliser.width, *hidden])
            self.head = make_head(head, hidden[-1], action_size)

    def loss(self, windows: Windows) -> torch.Tensor:
        """Returns the head's loss, averaged over the real steps."""
        return _step_by_step(self.head, self.trunk(self.normaliser(windows.obs)), windows)

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the actions (B, A) for obs (B, D)."""
        return self.head.best(self.trunk(self.normaliser(obs)))

    def begin(self) -> None:
        """Does nothing: there is no memory."""

    replan = begin

    def step(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action (1, A) for obs (1, D)."""
        return self.best(obs)


class RecurrentActor(nn.Module):
    """An LSTM or GRU whose memory begins anew every `window` steps, as it did in each window that it learned from.

    Source: BC-RNN of Mandlekar et al. 2021 (robomimic), appendix: horizon 10, memory renewed at that pace when acting.

    Args:
        hidden: one entry a layer; all of the same width.
    """

    def __init__(
        self, normaliser: Normaliser, action_size: int, hidden: Sequence[int], cell: str, head: str, window: int,
        seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normaliser, self.window = normaliser, window
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            kind = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
            self.memory = kind(normaliser.width, hidden[0], num_layers=len(hidden), batch_first=True)
            self.head = make_head(head, hidden[0], action_size)
        self.begin()

    def loss(self, windows: Windows) -> torch.Tensor:
        """Returns the head's loss at every real step of the windows."""
        seen, _ = self.memory(self.normaliser(windows.obs))  # (B, T, W)
        return _step_by_step(self.head, seen, windows)

    def begin(self) -> None:
        """Forgets everything."""
        self._state, self._steps = None, 0

    def replan(self) -> None:
        """Does nothing: it decides on one action at a time."""

    def step(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action (1, A) for the next observation (1, D)."""
        if self._steps % self.window == 0:
            self._state = None
        self._steps += 1
        seen, self._state = self.memory(self.normaliser(obs)[:, None], self._state)
        return self.head.best(seen[:, -1])


class ChunkActor(nn.Module):
    """Says T actions at once and does the first `execute` of them before it looks again; or blends all it has said.

    Source: Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (ACT), RSS 2023, Sec. IV:
    action chunks, and their blending with weights exp(-0.01 i), i = 0 for the oldest. The network is a plain one here.
    """

    def __init__(
        self, normaliser: Normaliser, action_size: int, hidden: Sequence[int], head: str, window: int, execute: int,
        blend: bool, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normaliser, self.action_size, self.execute, self.blend = normaliser, action_size, execute, blend
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = trunk([normaliser.width, *hidden])
            self.head = make_head(head, hidden[-1], window * action_size)  # one mode is one whole chunk
        self.begin()

    def loss(self, windows: Windows) -> torch.Tensor:
        """Returns the loss of all T actions said at the first observation, over the real steps."""
        seen = self.trunk(self.normaliser(windows.obs[:, 0]))  # (B, W)
        counts = windows.valid.repeat_interleave(self.action_size, 1)  # (B, T A)
        return self.head.loss(seen, windows.action.flatten(1), counts).mean()

    def chunk(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the actions (B, T, A) from obs (B, D) on."""
        return self.head.best(self.trunk(self.normaliser(obs))).unflatten(-1, (-1, self.action_size))

    def begin(self) -> None:
        """Forgets what was planned."""
        self._said: list[torch.Tensor] = []  # chunks, oldest first, each cut to what is still to come: (T', A)

    replan = begin

    def step(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action (1, A) for the next observation (1, D)."""
        if self.blend or not self._said:
            chunk = self.chunk(obs)[0]
            self._said.append(chunk if self.blend else chunk[: self.execute])
        action = blended(torch.stack([chunk[0] for chunk in self._said]))
        self._said = [chunk[1:] for chunk in self._said if len(chunk) > 1]
        return action[None]


def blended(said: torch.Tensor, rate: float = 0.01) -> torch.Tensor:
    """Returns the weighted mean (A,) of what was said at different times about one moment, (N, A), oldest first."""
    weight = torch.exp(-rate * torch.arange(len(said), dtype=said.dtype))
    return (weight[:, None] * said).sum(0) / weight.sum()


Actor = PlainActor | RecurrentActor | ChunkActor


def make_actor(
    kind: str, normaliser: Normaliser, action_size: int, hidden: Sequence[int], *, head: str, window: int,
    execute: int, blend: bool, seed: int,
) -> Actor:  # fmt: skip
    """Returns the actor named "plain", "lstm", "gru" or "chunk"; what does not concern its kind is not looked at."""
    if kind == "plain":
        return PlainActor(normaliser, action_size, hidden, head, seed)
    if kind == "chunk":
        return ChunkActor(normaliser, action_size, hidden, head, window, execute, blend, seed)
    return RecurrentActor(normaliser, action_size, hidden, kind, head, window, seed)


class SequenceCloning(Clone):
    """Fits an actor to windows of demos. It has no part in practice."""

    def __init__(self, actor: Actor, learning_rate: float = 1e-3) -> None:
        super().__init__(actor, learning_rate)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns the action (1, A) for the next observation (1, D) of an episode; a clone does not explore."""
        return self.ema_actor.step(obs)

    def update(self, batch: Windows) -> dict[str, float]:
        """Does one gradient step."""
        loss = self.actor.loss(batch)
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.actor.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.follow()
        return {"bc_loss": float(loss.detach()), "gradient_norm": float(norm)}


class ClonedLearned:
    """A clone of windows as `learned.Learned`: acts on one observation after the other, judges nothing."""

    has_critic = False

    def __init__(self, actor: Actor, model: Tensors) -> None:
        self.actor = actor
        actor.load_state_dict(under(model, "actor"))

    def begin(self) -> None:
        """Forgets the last episode."""
        self.actor.begin()

    def replan(self) -> None:
        """Forgets what was planned."""
        self.actor.replan()

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action (1, A) for the next observation (1, D)."""
        return self.actor.step(obs)
