"""Options of `lfd train` that count with pictures, on state, or with some algorithms alone: none is just ignored.

What every run has, or may have in a benchmark of several algorithms, is taken by all: widths, discounts, budgets.
"""

from __future__ import annotations

import dataclasses

from robot_lfd.errors import LfdError
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.numbers import check_numbers

SOFT = ("iq", "sqil")  # algorithms of the soft actor-critic that learn from pictures
DEFAULT_STEPS = {"bc": 5_000, "distill": 8_000, "iq": 10_000, "sqil": 10_000}

_WITH_PICTURES = (
    "cameras", "encoder", "shift_px", "colour_jitter", "state_weight", "teacher", "teacher_steps",
    "critic_sees", "encoder_gradient", "encoder_weights", "train_on",
)  # fmt: skip
_ON_STATE = (
    "near_m", "no_own_successes", "candidates", "n_step", "bc_head", "memory", "memory_steps", "chunk_blend",
    "correction_weight", "copies", "practice_per_update", "practice_noise", "rollout_workers", "staleness_bound",
    "bound_targets", "ema_share", "no_normalisation",
)  # fmt: skip
_OF_CLONING = ("chunk", "chunk_execute")
_OF_SOFT = (
    "critic_sees", "gamma", "critics", "no_layer_norm", "terminal", "temperature", "learn_temperature", "bc_weight",
    "bc_decay_steps", "bc_fall_at", "q_filter", "actor_step", "action_noise", "success_blind",
)  # fmt: skip
_OF_IQ = ("divergence", "chi2_alpha", "value_term", "state_only")
_SHARED = {"gamma", "critics", "no_layer_norm", "bc_weight", "critic_sees", "success_blind"}
_OF_PRACTICE = ("updates_per_step", "practice_limit")


def check_options(config: TrainConfig) -> None:
    """Raises LfdError, in one line, for an option that was given and would change nothing."""
    for name in _changed(config):
        option = f"--{name.replace('_', '-')}"
        if config.obs == "state":
            if name in _WITH_PICTURES:
                raise LfdError(f"{option} is for --obs pixels, --obs is {config.obs}; leave it out")
        elif name in _ON_STATE:
            raise LfdError(f"{option} is for --obs state, --obs is {config.obs}; leave it out")
        elif name in _unused(config):
            raise LfdError(f"{option} changes nothing with --obs pixels --algo {config.algo}; leave it out")
        if config.obs == "state" and name in _unused_on_state(config):
            raise LfdError(f"{option} changes nothing with --algo {config.algo}; leave it out")


def _changed(config: TrainConfig) -> list[str]:
    """Returns the options that are not at their defaults."""
    return [
        f.name for f in dataclasses.fields(config)
        if f.default is not dataclasses.MISSING and getattr(config, f.name) != f.default
    ]  # fmt: skip


def _unused(config: TrainConfig) -> set[str]:
    """Returns the options that the algorithm does not look at when it learns from pictures."""
    unused = set[str]()
    if config.algo not in SOFT:
        unused |= {*_OF_SOFT, *_OF_IQ}
    if config.algo == "sqil":
        unused |= {*_OF_IQ}
    if not practises(config):
        unused |= {*_OF_PRACTICE, "success_blind"}
    unused |= {"pretrain_steps"} if config.algo == "bc" else {*_OF_CLONING}
    if config.algo != "distill":
        unused |= {"teacher_steps"}
    else:
        unused |= {"keep_pauses", "mode"}  # a teacher does not hesitate, and it is there to practise
    return unused


def _unused_on_state(config: TrainConfig) -> set[str]:
    """Returns the options of a loss that the algorithm does not have; of budgets and networks all may be told."""
    unused = set[str]()
    if config.algo != "iq":
        unused |= {*_OF_IQ, "bound_targets"} - {"state_only"}  # which has an error of its own
    if config.algo in ("bc", "valuedice"):
        unused |= {*_OF_SOFT, "ema_share"} - _SHARED
    if config.algo == "bc":
        unused.add("bc_weight")
    if config.algo == "dac":
        unused.add("terminal")
    if config.memory == "none":
        unused.add("memory_steps")
    if config.state_only:
        unused |= {"q_filter", "action_noise", "bc_decay_steps", "bc_fall_at"}
    return unused


def practises(config: TrainConfig) -> bool:
    """Whether a run from pictures also acts in the simulator."""
    return config.algo == "distill" or (config.algo in SOFT and config.mode == "online")


def check_pixels(config: TrainConfig) -> None:
    """Raises LfdError for settings that contradict each other or make no sense with pictures."""
    if config.algo not in DEFAULT_STEPS:
        raise LfdError(f"--obs pixels is offered for --algo {', '.join(DEFAULT_STEPS)}, not for {config.algo}")
    if (config.algo == "distill") != (config.teacher is not None):
        raise LfdError("--algo distill and --teacher RUN (a run on state) go together; give both or neither")
    check_numbers(config)
    _check_encoders(config)
    if config.algo in SOFT and config.value_term == "first":
        raise LfdError("--value-term first draws no first pictures with --obs pixels; use expert or replay")


def _check_encoders(config: TrainConfig) -> None:
    by = config.encoder_gradient
    if config.algo not in SOFT and by not in (None, "none"):
        raise LfdError(f"--encoder-gradient {by}: --algo {config.algo} has one loss; leave it out, or freeze with none")
    if config.algo not in SOFT and by == "none" and config.encoder_weights is None:
        raise LfdError("--encoder-gradient none freezes encoders that know nothing yet; give them --encoder-weights")
    if config.algo in SOFT and by == "critic" and config.critic_sees == "state":
        raise LfdError("--encoder-gradient critic: the critics see the state, no pictures; add --critic-sees pixels")
    if config.algo in SOFT and by == "none" and config.encoder_weights is None and config.pretrain_steps == 0:
        raise LfdError("--encoder-gradient none needs encoders: from --pretrain-steps of cloning or --encoder-weights")


def pixel_steps(config: TrainConfig) -> int:
    """Returns how many steps the run takes: gradient steps, or practice steps where it practises."""
    return DEFAULT_STEPS[config.algo] if config.steps is None else config.steps


def state_weight(config: TrainConfig) -> float:
    """Returns the weight of guessing the simulator's state: none where training is not to know it."""
    knows = config.algo == "distill" or (config.algo in SOFT and config.critic_sees == "state")
    usual = 1.0 if knows else 0.0
    return usual if config.state_weight is None else config.state_weight


def encoder_gradient(config: TrainConfig) -> str:
    """Returns whose losses teach the encoders."""
    usual = "critic" if config.algo in SOFT and config.critic_sees == "pixels" else "actor"
    return usual if config.encoder_gradient is None else config.encoder_gradient


def is_frozen(config: TrainConfig) -> bool:
    """Whether the encoders never learn, so that what they say can be remembered."""
    return config.encoder_weights is not None and config.encoder_gradient == "none"
