"""PixelLearned: a trained pixel policy on flat rows: what the arm feels, then the picture of each camera."""

from __future__ import annotations

import torch

from policies.agent import under
from policies.learned import Plan
from policies.pixel_actor import PixelActor


class PixelLearned:
    """Splits rows (B, P + K H W 3) into proprioception and pictures, remembers the last frames, and acts.

    It has no critic: what training knew beside the pictures is not part of a deployed policy.

    Args:
        window: how many actions are decided on at once. execute: how many of them are done before it looks again.
    """

    has_critic = False

    def __init__(self, actor: PixelActor, model: dict[str, torch.Tensor], window: int = 1, execute: int = 1) -> None:
        self.actor, self._plan = actor, Plan(window, execute)
        actor.load_state_dict(under(model, "actor"))
        self.begin()

    def begin(self) -> None:
        """Forgets the frames of the last episode, and what was planned."""
        self._frames: list[torch.Tensor] = []
        self.replan()

    def replan(self) -> None:
        """Forgets what was planned, not what was seen."""
        self._plan.begin()

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns tanh(mean), (B, A); with frames or a window, each call is the next moment of one episode."""
        sight, felt = self.actor.sight, len(self.actor.normaliser.mean)
        shape = (len(obs), sight.cameras, sight.size_px, sight.size_px, 3)
        frame = obs[:, felt:].reshape(shape).to(torch.uint8)
        self._frames = [*(self._frames or [frame] * sight.stack), frame][-sight.stack :]
        return self._plan.next(lambda: self.actor.best(torch.stack(self._frames, 2), obs[:, :felt]))
