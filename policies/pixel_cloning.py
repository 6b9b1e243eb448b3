"""PixelCloning: the regression from pictures to actions, those of a person or of a teacher that knows the state."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.behaviour_cloning import bc_loss
from policies.looking import Compute, Looking
from policies.networks import Normaliser, move_towards
from policies.pixel_actor import PixelActor, PixelBatch, Sight


@dataclass(frozen=True)
class PixelCloningConfig:
    """What the default recipe sets; LOG.md has the measurement behind each number.

    Attributes:
        frozen: the encoders were given and do not learn.
    """

    hidden: Sequence[int] = (128, 128)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    shift_px: int = 4
    jitter: float = 0.0
    state_weight: float = 1.0
    frozen: bool = False
    ema_share: float = 0.005


class PixelCloning:
    """Fits the actor to the rows' actions by mean squared error; deployed is the average of its weights over time.

    Args:
        normaliser: of the proprioception. state_scale: of the simulator state, whose prediction is an auxiliary loss
            where `state_size` is not 0; the deployed policy never sees it.
    """

    def __init__(
        self, sight: Sight, normaliser: Normaliser, action_size: int, config: PixelCloningConfig, seed: int,
        state_scale: Normaliser | None = None, compute: Compute = Compute(),
    ) -> None:  # fmt: skip
        self.config, self.state_scale, self.compute = config, state_scale, compute
        state_size = 0 if state_scale is None else len(state_scale.mean)
        self.actor = PixelActor(sight, normaliser, action_size, config.hidden, seed, state_size)
        self.actor.encoders.requires_grad_(not config.frozen)
        self.ema_actor = copy.deepcopy(self.actor).requires_grad_(False)
        for module in (self.actor, self.ema_actor, self.state_scale):
            if module is not None:
                module.to(compute.device)
        self.optimiser = torch.optim.AdamW(
            self.actor.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        compute.share.average_before_steps(self.optimiser)
        self.generator = torch.Generator(compute.device).manual_seed(seed + 1)
        self.looking = Looking(self.actor, config.shift_px, config.jitter, self.generator, compute)

    @torch.no_grad()
    def act(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns actions (B, A) of the averaged actor."""
        device = self.compute.device
        return self.ema_actor.best(pictures.to(device), proprio.to(device)).cpu()

    def update(self, batch: PixelBatch) -> dict[str, float]:
        """Does one gradient step."""
        c = self.config
        seen = self.looking.seen(batch.pictures, batch.proprio)
        loss = clone = bc_loss(self.actor.decide(seen), batch.action)
        terms = {"bc_loss": clone}
        if self.state_scale is not None and self.actor.guess is not None:
            terms["state_loss"] = bc_loss(self.actor.guess(seen), self.state_scale(batch.state))
            loss = loss + c.state_weight * terms["state_loss"]
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        move_towards(self.ema_actor, self.actor, c.ema_share)
        return {k: float(v.detach()) for k, v in terms.items()}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of networks, optimiser and augmentation."""
        parts = {"actor": self.actor, "ema_actor": self.ema_actor}
        state = {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}
        state |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        self.actor.load_state_dict(under(state, "actor"))
        self.ema_actor.load_state_dict(under(state, "ema_actor"))
        load_optimiser_tensors(self.optimiser, under(state, "optimiser"))
        self.generator.set_state(state["generator"].cpu())

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns the averaged actor, without the head that guesses the simulator's state."""
        return {f"actor.{k}": v for k, v in self.ema_actor.state_dict().items() if not k.startswith("guess.")}
