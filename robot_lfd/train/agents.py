"""Agents by name: which learner `--algo` means, built from the run's settings and the demos' statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from policies.agent import Agent
from policies.behaviour_cloning import BehaviourCloning, SoftmaxCloning
from policies.candidates import CandidateAgent, Candidates
from policies.dac import DacAgent
from policies.iq_learn import W1_PENALTY, IqConfig, bounded_absorbing_value, iq_loss, reward_bound
from policies.networks import Normaliser, latest
from policies.sequence_cloning import SequenceCloning
from policies.soft_agent import CriticLoss, SoftAgent, SoftConfig
from policies.soft_q import OFFLINE, SoftQAgent, SoftQConfig
from policies.sqil import sqil_absorbing_value, sqil_loss
from policies.value_dice import DiceConfig, ValueDiceAgent
from robot_lfd.checkpoint import cloned_actor
from robot_lfd.errors import LfdError
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.rows import Rows, normaliser_of

GAIT_TEMPERATURE, GAIT_NOISE = 0.006, 0.3  # outside arms: a gait's own spread of actions is wide (LOG.md)
OFFLINE_BC_WEIGHT = 50.0  # offline Q knows the demos' own actions alone: a weight of 5 lets it lead away from them


def make_agent(config: TrainConfig, spec: PolicySpec, rows: Rows) -> Agent | SequenceCloning:
    """Returns a new agent for the algorithm named in `config`, normalising by the demos' statistics."""
    spread = torch.from_numpy(np.atleast_1d(rows.action.std(0)))
    normaliser = spec.sight(normaliser_of(rows, scaled=not config.no_normalisation))
    if spec.candidates:
        return _candidate_agent(config, spec, normaliser, spread)
    return _MAKERS[config.algo](config, spec, normaliser, spread)


def check_agent(config: TrainConfig, spec: PolicySpec) -> None:
    """Raises LfdError where the algorithm cannot do what the settings or the actions ask for."""
    if spec.discrete and (config.learn_temperature or config.q_filter or config.actor_step != "soft"):
        raise LfdError(f"{spec.env_id} has discrete actions, hence no actor: leave the options of the actor out")
    if spec.discrete and config.divergence == "w1":
        raise LfdError(f"{spec.env_id} has discrete actions, w1 needs a gradient between them; choose chi2")
    if spec.discrete and config.algo in ("dac", "valuedice"):
        raise LfdError(f"{spec.env_id} has discrete actions, {config.algo} needs continuous ones; use iq or sqil")
    if config.state_only and config.algo != "iq":
        raise LfdError(f"--state-only is IQ-Learn's, --algo is {config.algo}; use --algo iq or leave it out")
    if config.bound_targets and learns_by_likelihood(config, spec.chooses):
        raise LfdError("--bound-targets: offline a choice has no target critics; leave it out")
    if config.state_only and config.mode == "offline":
        raise LfdError("--state-only looks at no action, so practice alone ties one to what follows; use --mode online")
    if config.algo == "dac" and config.mode == "offline":
        raise LfdError("--algo dac tells the policy's rows from the demos', offline there are none; use --mode online")
    if config.state_only and config.bc_weight not in (None, 0.0):
        raise LfdError(f"--state-only looks at no action, --bc-weight {config.bc_weight} clones them; leave one out")
    if config.practice_noise is not None and not wanders(config, spec.chooses):
        raise LfdError("--practice-noise is of an actor that says numbers and practises; leave it out")


def default_temperature(config: TrainConfig, chooses: bool, arm: bool) -> float:
    """Returns the temperature: what was told, else what LOG.md measured."""
    of_numbers = SoftConfig.temperature if arm else GAIT_TEMPERATURE
    usual = SoftQConfig.temperature if chooses else of_numbers
    return usual if config.temperature is None else config.temperature


def default_noise(config: TrainConfig, chooses: bool, arm: bool) -> float:
    """Returns the most noise of an actor that practises, beside the demos' spread; 0: that spread alone."""
    usual = GAIT_NOISE if wanders(config, chooses) and not arm else 0.0
    return usual if config.practice_noise is None else config.practice_noise


def wanders(config: TrainConfig, chooses: bool) -> bool:
    """Whether the policy says numbers and practises with noise on them."""
    return config.algo in ("iq", "sqil", "dac") and config.mode == "online" and not chooses


def learns_by_likelihood(config: TrainConfig, chooses: bool) -> bool:
    """Whether this is offline IQ-Learn of a choice: no practice, no actor, Q alone; see policies.iq_learn."""
    return chooses and config.algo == "iq" and config.mode == "offline"


def default_absorbing_value(config: TrainConfig, gamma: float, demos_end: bool, chooses: bool) -> float | None:
    """Returns V of the state after the task's end, by the rule of the algorithm; None: V of the last observation.

    Args:
        demos_end: whether a demo ended by itself. Where none did, the end is a place that no expert goes to, such as
            a fall: its reward is the least that there is.
    """
    usual = "zero" if learns_by_likelihood(config, chooses) else "bound"
    terminal = usual if config.terminal is None else config.terminal
    if terminal == "bootstrap":
        return None
    if terminal == "zero" or config.algo in ("bc", "dac", "valuedice") or (config.algo == "sqil" and not demos_end):
        return 0.0
    if config.algo == "sqil":
        return sqil_absorbing_value(gamma)
    if not demos_end:
        return -reward_bound(config.chi2_alpha, config.divergence) / (1.0 - gamma)
    return bounded_absorbing_value(config.chi2_alpha, gamma, config.divergence)


def _behaviour_cloning(
    config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor
) -> Agent | SequenceCloning:
    if spec.discrete:
        return SoftmaxCloning(normaliser, spec.action_size, hidden=spec.hidden, seed=config.seed)
    if spec.actor != "gaussian":
        return SequenceCloning(cloned_actor(spec, normaliser, config.seed))
    return BehaviourCloning(normaliser, spread, hidden=spec.hidden, seed=config.seed)


def iq_critic_loss(config: TrainConfig, spec: PolicySpec) -> CriticLoss:
    """Returns IQ-Learn's loss of the critics with the run's choices."""
    choices = IqConfig(
        spec.decision_gamma, config.chi2_alpha, config.divergence, config.value_term, config.state_only,
        own_next_value=learns_by_likelihood(config, spec.chooses),
        target_bound=bounded_absorbing_value(config.chi2_alpha, spec.decision_gamma, config.divergence)
        if config.bound_targets else None,
    )  # fmt: skip
    return functools.partial(iq_loss, config=choices)


def sqil_critic_loss(config: TrainConfig, spec: PolicySpec) -> CriticLoss:
    """Returns SQIL's loss of the critics."""
    return functools.partial(sqil_loss, gamma=spec.decision_gamma)


def _iq_learn(config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor) -> Agent:
    return _soft_agent(iq_critic_loss(config, spec), config, spec, normaliser, spread)


def _sqil(config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor) -> Agent:
    return _soft_agent(sqil_critic_loss(config, spec), config, spec, normaliser, spread)


def _dac(config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor) -> Agent:
    judged = latest(normaliser, spec.frame_stack)
    return DacAgent(normaliser, spread, soft_config(config, spec), config.seed, judged)


def _value_dice(config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor) -> Agent:
    usual = DiceConfig()
    dice = DiceConfig(
        hidden=spec.hidden, gamma=spec.gamma, alpha=usual.alpha if config.mode == "online" else 0.0,
        bc_weight=usual.bc_weight if config.bc_weight is None else config.bc_weight,
    )  # fmt: skip
    return ValueDiceAgent(normaliser, spread, dice, config.seed)


def _soft_agent(
    loss: CriticLoss, config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor
) -> SoftAgent | SoftQAgent:
    if spec.discrete:
        return _soft_q(loss, config, spec, normaliser, spec.action_size)
    judged, soft = latest(normaliser, spec.frame_stack), soft_config(config, spec)
    return SoftAgent(loss, spec.absorbing_value, normaliser, spread, soft, config.seed, judged)


def _soft_q(
    loss: CriticLoss, config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, actions: int
) -> SoftQAgent:
    usual = OFFLINE if learns_by_likelihood(config, chooses=True) else SoftQConfig()
    settings = replace(
        usual, hidden=spec.hidden, critics=config.critics, gamma=spec.decision_gamma, temperature=spec.temperature,
        layer_norm=not config.no_layer_norm, bc_weight=_cloning_weight(config, usual.bc_weight),
        bc_decay_steps=config.bc_decay_steps, bc_fall_at=config.bc_fall_at or 0,
        ema_share=_ema_share(config, usual.ema_share),
    )  # fmt: skip
    return SoftQAgent(loss, spec.absorbing_value, normaliser, actions, settings, config.seed)


def _candidate_agent(
    config: TrainConfig, spec: PolicySpec, normaliser: Normaliser, spread: torch.Tensor
) -> CandidateAgent:
    candidates = Candidates(normaliser, spread, spec.candidates, config.seed)
    if config.algo == "bc":
        chooser = SoftmaxCloning(normaliser, spec.candidates, hidden=spec.hidden, seed=config.seed)
    else:
        loss = {"iq": iq_critic_loss, "sqil": sqil_critic_loss}[config.algo](config, spec)
        chooser = _soft_q(loss, config, spec, normaliser, spec.candidates)
    return CandidateAgent(candidates, chooser, config.seed)


def soft_config(config: TrainConfig, spec: PolicySpec) -> SoftConfig:
    """Returns the settings of the soft actor-critic."""
    usual = SoftConfig.bc_weight if config.mode == "online" else OFFLINE_BC_WEIGHT
    return SoftConfig(
        hidden=spec.hidden, critics=config.critics, gamma=spec.decision_gamma, temperature=spec.temperature,
        learn_temperature=config.learn_temperature, most_noise=spec.most_noise,
        bc_weight=_cloning_weight(config, usual), bc_decay_steps=config.bc_decay_steps,
        bc_fall_at=config.bc_fall_at or 0, q_filter=config.q_filter, actor_step=config.actor_step,
        action_noise=config.action_noise, layer_norm=not config.no_layer_norm,
        ema_share=_ema_share(config, SoftConfig.ema_share),
        w1_penalty=W1_PENALTY if config.divergence == "w1" and config.algo == "iq" else 0.0,
    )  # fmt: skip


def _ema_share(config: TrainConfig, usual: float) -> float:
    return usual if config.ema_share is None else config.ema_share


def _cloning_weight(config: TrainConfig, usual: float) -> float:
    if config.state_only:
        return 0.0
    return usual if config.bc_weight is None else config.bc_weight


_Maker = Callable[[TrainConfig, PolicySpec, Normaliser, torch.Tensor], Agent | SequenceCloning]
_MAKERS: dict[str, _Maker] = {
    "bc": _behaviour_cloning, "iq": _iq_learn, "sqil": _sqil, "dac": _dac, "valuedice": _value_dice,
}  # fmt: skip
