"""Agents that learn from pictures, built from the run's settings and the demos' statistics."""

from __future__ import annotations

from typing import Any

import torch

from policies.looking import Compute
from policies.pixel_actor import Eyes, Sight
from policies.pixel_cloning import PixelCloning, PixelCloningConfig
from policies.pixel_soft import PixelSoft, PixelSoftConfig
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.train.agents import iq_critic_loss, soft_config, sqil_critic_loss
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.encoder_weights import give_encoders
from robot_lfd.train.images import Sights
from robot_lfd.train.pixel_options import SOFT, encoder_gradient, is_frozen, state_weight
from robot_lfd.train.rows import statistics_of

_CRITIC_LOSSES = {"iq": iq_critic_loss, "sqil": sqil_critic_loss}


def make_pixel_agent(
    config: TrainConfig, spec: PolicySpec, sights: Sights, compute: Compute
) -> PixelCloning | PixelSoft:
    """Returns a new agent for the algorithm named in `config`, with the encoders that the user brought."""
    sight = Sight(len(spec.cameras), spec.size_px, spec.frame_stack, spec.encoder)
    agent = (_soft if config.algo in SOFT else _cloning)(config, spec, sights, sight, compute)
    if config.encoder_weights is not None:
        averaged = agent.ema_eyes if isinstance(agent, PixelSoft) else agent.ema_actor
        give_encoders(config.encoder_weights, eyes_of(agent), averaged)
    return agent


def eyes_of(agent: PixelCloning | PixelSoft) -> Eyes:
    """Returns the eyes that are trained."""
    return agent.eyes if isinstance(agent, PixelSoft) else agent.actor


def _cloning(config: TrainConfig, spec: PolicySpec, sights: Sights, sight: Sight, compute: Compute) -> PixelCloning:
    cloning = PixelCloningConfig(
        hidden=spec.hidden, shift_px=config.shift_px, jitter=config.colour_jitter,
        state_weight=state_weight(config), frozen=is_frozen(config),
    )  # fmt: skip
    known = statistics_of(sights.state) if cloning.state_weight > 0 else None
    felt = statistics_of(sights.proprio)
    return PixelCloning(sight, felt, spec.decided_size, cloning, config.seed, known, compute)


def _soft(config: TrainConfig, spec: PolicySpec, sights: Sights, sight: Sight, compute: Compute) -> PixelSoft:
    by: Any = encoder_gradient(config)
    pixels = PixelSoftConfig(
        critic_sees=config.critic_sees, encoder_gradient=by, frozen=is_frozen(config), shift_px=config.shift_px,
        jitter=config.colour_jitter, state_weight=state_weight(config),
    )  # fmt: skip
    known = statistics_of(sights.state) if sights.state.shape[1] else None
    return PixelSoft(
        _CRITIC_LOSSES[config.algo](config, spec), spec.absorbing_value, sight, statistics_of(sights.proprio), known,
        torch.from_numpy(sights.action.std(0)), soft_config(config, spec), pixels, config.seed, compute,
    )  # fmt: skip
