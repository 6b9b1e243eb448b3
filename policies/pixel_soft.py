"""PixelSoft: the soft actor-critic of IQ-Learn for an actor that sees pictures; its losses are those on state.

What is seen and felt becomes a row, beside the simulator's state where the critics look at that: `SoftAgent` then
learns on rows. The encoders get their gradient from the rows, in one backward pass a step, whatever the losses were:

- critics see the state (asymmetric; Pinto et al. 2018, "Asymmetric Actor Critic for Image-Based Robot Learning"): the
  encoders learn from the actor's losses. The critics cost next to nothing, and what follows is only looked at, not
  learned from.
- critics see pictures: the encoders learn from the critics alone (Yarats et al. 2022, DrQ-v2, Sec. 3.1) or from the
  actor alone. Other than DrQ-v2, what follows carries its gradient too: IQ-Learn's value term needs it (`iq_learn`).

Either way the encoders begin with what cloning the demos taught them, and may be left at that.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch
from policies.behaviour_cloning import bc_loss
from policies.looking import Compute, Looking
from policies.networks import Columns, Normaliser, move_towards
from policies.pixel_actor import Eyes, PixelBatch, Sight
from policies.soft_agent import CriticLoss, SoftAgent, SoftConfig

CriticSees = Literal["state", "pixels"]
EncoderGradient = Literal["critic", "actor", "none"]


class PixelTransitions(NamedTuple):
    """B transitions as a pixel agent learns from them; pictures as in `PixelBatch`."""

    now: PixelBatch
    next_pictures: torch.Tensor  # (B, K, S, H, W, 3) uint8
    next_proprio: torch.Tensor  # (B, P)
    next_state: torch.Tensor  # (B, D)
    terminated: torch.Tensor  # (B,) bool
    is_expert: torch.Tensor  # (B,) bool


@dataclass(frozen=True)
class PixelSoftConfig:
    """What is set beside SoftConfig; LOG.md has the measurement behind each number.

    Attributes:
        encoder_gradient: whose losses teach the encoders after cloning; "none": they stay as cloning left them.
        frozen: the encoders were given and do not even learn from cloning.
        state_weight: of guessing the simulator's state from what is seen, a loss of the encoders alone; 0: none.
    """

    critic_sees: CriticSees = "state"
    encoder_gradient: EncoderGradient = "actor"
    frozen: bool = False
    shift_px: int = 4
    jitter: float = 0.0
    state_weight: float = 1.0
    learning_rate: float = 1e-3  # of the encoders
    weight_decay: float = 1e-4


class PixelSoft:
    """Eyes before a SoftAgent. Deployed are eyes and actor; neither critics nor state are.

    Args:
        felt: normaliser of the proprioception (P,). known: of the simulator's state (D,), None where it is not used.
        spread: (A,) of the demos' actions, see TanhGaussianActor. soft: SoftAgent's settings.
    """

    def __init__(
        self, critic_loss: CriticLoss, absorbing_value: float | None, sight: Sight, felt: Normaliser,
        known: Normaliser | None, spread: torch.Tensor, soft: SoftConfig, config: PixelSoftConfig, seed: int,
        compute: Compute = Compute(),
    ) -> None:  # fmt: skip
        self.config, self.compute, self.state_scale = config, compute, known
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 3)
            self.eyes = Eyes(sight, felt)
            width, state = self.eyes.vector_size + len(felt.mean), 0 if known is None else len(known.mean)
            guesses = config.state_weight > 0 and known is not None and not config.frozen
            self.guess = nn.Linear(width, state) if guesses else None
        self.ema_eyes = copy.deepcopy(self.eyes).requires_grad_(False)
        seen = Normaliser(torch.zeros(width), torch.ones(width))
        judged = known if config.critic_sees == "state" and known is not None else None
        self.soft = SoftAgent(
            critic_loss, absorbing_value, Columns(seen, state), spread, soft, seed,
            Columns(seen, state, opaque=config.encoder_gradient != "critic") if judged is None else Columns(judged, 0),
            compute.share,
        )  # fmt: skip
        self._move_to(compute.device)
        taught = [*self.eyes.parameters(), *(self.guess.parameters() if self.guess else ())]
        self.eyes_optimiser: torch.optim.Optimizer = torch.optim.AdamW(
            taught, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        compute.share.average_before_steps(self.eyes_optimiser)
        self.generator = torch.Generator(compute.device).manual_seed(seed + 4)
        self.looking = Looking(self.eyes, config.shift_px, config.jitter, self.generator, compute)

    def _move_to(self, device: torch.device) -> None:
        for module in (self.eyes, self.ema_eyes, self.guess, self.state_scale):
            if module is not None:
                module.to(device)
        self.soft.move_to(device)

    @torch.no_grad()
    def act(self, pictures: torch.Tensor, proprio: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A): samples of the actor to explore, else the averaged actor's mean."""
        eyes = self.eyes if explore else self.ema_eyes
        seen = eyes.see(pictures.to(self.compute.device), proprio.to(self.compute.device))
        nothing = seen.new_zeros(len(seen), self._state_size)  # the actor has no eyes for these columns
        return self.soft.act(torch.cat([nothing, seen], 1), explore=explore).cpu()

    @property
    def _state_size(self) -> int:
        return 0 if self.state_scale is None else len(self.state_scale.mean)

    def update(self, batch: PixelTransitions) -> dict[str, float]:
        """Does one critic step, one actor step, and one step of the encoders by the gradient that these left them."""
        now, by = batch.now, self.config.encoder_gradient
        with torch.set_grad_enabled(by != "none"):
            seen = self.looking.seen(now.pictures, now.proprio)
        with torch.set_grad_enabled(by == "critic"):
            next_seen = self.looking.seen(batch.next_pictures, batch.next_proprio)
        leaf, next_leaf = (s.detach().requires_grad_(s.requires_grad) for s in (seen, next_seen))
        critic_leaf = leaf if by == "critic" else seen.detach()
        actor_leaf = leaf if by == "actor" else seen.detach()
        terms = self.soft.critic_step(self._rows(batch, critic_leaf, next_leaf))
        terms |= self.soft.actor_step(self._rows(batch, actor_leaf, next_seen.detach()))
        self.soft.follow()
        if by != "none":
            terms |= self._guess_loss(leaf, now.state)
            self._teach_eyes((seen, leaf), (next_seen, next_leaf))
            move_towards(self.ema_eyes, self.eyes, self.soft.config.ema_share)
        return {k: float(v.detach()) for k, v in terms.items()}

    def clone_step(self, batch: PixelTransitions | PixelBatch) -> dict[str, float]:
        """Does one step of behaviour cloning, encoders included unless they are frozen."""
        now = batch.now if isinstance(batch, PixelTransitions) else batch
        with torch.set_grad_enabled(not self.config.frozen):
            seen = self.looking.seen(now.pictures, now.proprio)
        leaf = seen.detach().requires_grad_(seen.requires_grad)
        rows = Batch(
            torch.cat([now.state[:, : self._state_size], leaf], 1), now.action, *(now.action.new_zeros(0),) * 5
        )
        found = self.soft.clone_step(rows)
        if seen.requires_grad:
            found |= {k: float(v) for k, v in self._guess_loss(leaf, now.state).items()}
            self._teach_eyes((seen, leaf))
            self.ema_eyes.load_state_dict(self.eyes.state_dict())
        return found

    def _rows(self, batch: PixelTransitions, seen: torch.Tensor, next_seen: torch.Tensor) -> Batch:
        now, kept = batch.now, self._state_size
        obs = torch.cat([now.state[:, :kept], seen], 1)
        next_obs = torch.cat([batch.next_state[:, :kept], next_seen], 1)
        unknown = now.action.new_zeros(len(obs))  # no reward is looked at
        return Batch(
            obs, now.action, unknown, next_obs, batch.terminated, batch.is_expert, obs.new_zeros(0, obs.shape[1])
        )

    def _guess_loss(self, leaf: torch.Tensor, state: torch.Tensor) -> dict[str, torch.Tensor]:
        """Adds the gradient of guessing the state to that of what is seen."""
        self.eyes_optimiser.zero_grad()
        if self.guess is None or self.state_scale is None:
            return {}
        loss = bc_loss(self.guess(leaf), self.state_scale(state))
        (self.config.state_weight * loss).backward()
        return {"state_loss": loss.detach()}

    def _teach_eyes(self, *pairs: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Sends the gradients that the losses left at the leaves back through the encoders, and takes a step."""
        seen = [s for s, leaf in pairs if s.requires_grad and leaf.grad is not None]
        torch.autograd.backward(seen, [leaf.grad for _, leaf in pairs if leaf.grad is not None])
        self.eyes_optimiser.step()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of networks, optimisers, sampling and augmentation."""
        state = {f"soft.{k}": v for k, v in self.soft.state_dict().items()}
        for part, module in self._own_networks().items():
            state |= {f"{part}.{k}": v for k, v in module.state_dict().items()}
        state |= {f"eyes_optimiser.{k}": v for k, v in optimiser_tensors(self.eyes_optimiser).items()}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        self.soft.load_state_dict(under(state, "soft"))
        for part, module in self._own_networks().items():
            module.load_state_dict(under(state, part))
        load_optimiser_tensors(self.eyes_optimiser, under(state, "eyes_optimiser"))
        self.generator.set_state(state["generator"].cpu())

    def _own_networks(self) -> dict[str, nn.Module]:
        found = {"eyes": self.eyes, "ema_eyes": self.ema_eyes, "guess": self.guess}
        return {k: m for k, m in found.items() if m is not None}

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns the averaged eyes and actor as a PixelActor has them; nothing that knows a state."""
        actor = self.soft.ema_actor.state_dict()
        actor |= {f"head.{k}": actor[f"head.{k}"][: self.soft.action_size] for k in ("weight", "bias")}  # not the noise
        return {f"actor.{k}": v for k, v in {**self.ema_eyes.state_dict(), **actor}.items()}
