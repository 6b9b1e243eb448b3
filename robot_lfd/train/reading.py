"""Reading: demos to rows, and what the policy will be, all checked before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from robot_lfd.demos.cache import load_flat
from robot_lfd.demos.select import Selection
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import is_ours, make_env
from robot_lfd.errors import LfdError
from robot_lfd.policy_spec import PolicySpec, distance_columns
from robot_lfd.train.agents import (
    check_agent,
    default_absorbing_value,
    default_noise,
    default_temperature,
)
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.expert import Expert, expert_rows, usual_steps
from robot_lfd.train.numbers import check_numbers
from robot_lfd.train.pixel_options import check_options, pixel_steps
from robot_lfd.train.recipe import Recipe, Task, decided, filled
from robot_lfd.train.rows import Rows
from robot_lfd.train.shape import actor_shape

USUAL_NEAR_M = 0.005  # of two things that are to meet: a peg and its hole differ by less


def may_keep_own(config: TrainConfig) -> bool:
    """Whether what practice solves can count as an expert's: there is practice, and success is known."""
    return mode_of(config) == "online" and not config.success_blind


def keeps_own(config: TrainConfig) -> bool:
    """Whether what practice solves counts as an expert's."""
    return may_keep_own(config) and not config.no_own_successes


def mode_of(config: TrainConfig) -> str:
    """Returns "online" or "offline"; cloning never practises."""
    return "offline" if config.algo == "bc" else config.mode


def steps_of(config: TrainConfig) -> int:
    """Returns how many steps the run takes, see `with_steps`."""
    if config.obs == "pixels":
        return pixel_steps(config)
    assert config.steps is not None, "how many is left open, and the demos were not looked at"
    return config.steps


def with_steps(config: TrainConfig) -> TrainConfig:
    """Returns the settings with a number of steps, which hangs on the demos where none was told."""
    told = config.obs == "pixels" or config.steps is not None
    return config if told else replace(config, steps=read(config).config.steps)


class Read(NamedTuple):
    """What a training begins with: the settings, none of the recipe's open any more, the rows, and the policy to be.

    Attributes:
        recipe: what was decided for the settings that might have been left open, whether they were or not.
    """

    config: TrainConfig
    recipe: Recipe
    expert: Expert
    spec: PolicySpec


def read(config: TrainConfig) -> Read:
    """Returns what there is to imitate, what the policy will be, and the settings of which the demos decided.

    Raises:
        LfdError: nothing to learn from, settings that contradict each other or the demos.
    """
    _check_settings(config)
    if not config.demos:
        raise LfdError("no dataset was given; name one or more with --demos")
    stores = [DemoStore.open(path) for path in config.demos]
    first = stores[0].spec
    env = make_env(first.env_id, **first.env_kwargs)
    keys, names = config.features or arm_of(env).policy_keys, arm_of(env).action_names
    spaces, actions = getattr(env.observation_space, "spaces", {}), env.action_space
    env.close()
    for key in keys:
        if key not in spaces:
            raise LfdError(f"unknown observation '{key}'; {first.env_id} has: {', '.join(spaces)}")
    arm = is_ours(first.env_id)  # of others, every demo counts
    success = None if config.include_failures or not arm else True
    demos = load_flat(stores, keys, selection=Selection(success=success, first=config.max_demos))
    discrete = isinstance(actions, gym.spaces.Discrete)
    shape = actor_shape(config, discrete, arm)
    expert = expert_rows(
        demos, stores, keys, success_blind=config.success_blind, keep_pauses=config.keep_pauses or not arm,
        correction_weight=config.correction_weight, frames=config.frame_stack,
        action_names=names if arm and "candidates" in shape else (),
    )  # fmt: skip
    rows = expert.rows
    _check_rows(rows, first.env_id)
    counted = expert.shown + expert.corrected, usual_steps(expert) if expert.demos else 0.0
    recipe = decided(config, Task(arm, discrete, "candidates" in shape, *counted))
    config = filled(config, recipe)
    shape = actor_shape(config, discrete, arm)  # now that it is known how much is decided on at once
    assert config.hidden is not None and config.gamma is not None
    demos_end = arm or bool(rows.terminated.any())  # an arm's task ends when it is solved, only then
    chooses = discrete or "candidates" in shape
    spec = PolicySpec(
        algo=config.algo, env_id=first.env_id, env_kwargs=first.env_kwargs, control_hz=first.control_hz,
        features=tuple(keys), sizes=tuple(int(np.prod(spaces[k].shape)) for k in keys),
        action_size=int(actions.n) if discrete else rows.action.shape[1],
        hidden=config.hidden, critics=1 if chooses and config.algo == "bc" else config.critics, gamma=config.gamma,
        temperature=default_temperature(config, chooses, arm), absorbing_value=None,
        discrete=discrete, layer_norm=not config.no_layer_norm, frame_stack=config.frame_stack,
        near_m=_near_m(config, keys, arm), most_noise=default_noise(config, chooses, arm),
        state_only=config.state_only, **shape,
    )  # fmt: skip
    spec = replace(spec, absorbing_value=default_absorbing_value(config, spec.decision_gamma, demos_end, chooses))
    check_agent(config, spec)
    return Read(config, recipe, expert, spec)


def _check_settings(config: TrainConfig) -> None:
    if config.algo == "distill":
        raise LfdError("--algo distill makes a policy that sees pictures; add --obs pixels")
    check_options(config)
    check_numbers(config)
    if config.copies > 1 and mode_of(config) == "offline":
        raise LfdError("--copies is for practice, and this run has none; leave it out, or say --mode online")
    if config.practice_per_update not in (None, 1):
        _check_practice(config)
    if config.no_own_successes and not may_keep_own(config):
        raise LfdError("--no-own-successes: none would count here; leave it out")


def _check_practice(config: TrainConfig) -> None:
    if mode_of(config) == "offline":
        raise LfdError("--practice-per-update: this run does not practise; leave it out, or say --mode online")
    if config.updates_per_step > 1:
        raise LfdError("--practice-per-update and --updates-per-step are two ends of one choice; leave one out")
    if config.rollout_workers:
        raise LfdError("--practice-per-update and --rollout-workers: not together so far; leave one out")


def _near_m(config: TrainConfig, keys: Sequence[str], arm: bool) -> float:
    """Returns the scale of the magnifying glass over distances, metres; 0: there is none."""
    distances = distance_columns(keys, [1] * len(keys))
    if config.near_m is None:
        return USUAL_NEAR_M if arm and distances and config.frame_stack == 1 else 0.0
    if config.near_m and config.frame_stack > 1:
        raise LfdError("--near-m and --frame-stack: not together so far; leave one out")
    if config.near_m and not distances:
        raise LfdError(f"--near-m: none of {', '.join(keys)} is a distance (..._rel, ..._height); leave it out")
    return config.near_m


def unchanging(rows: Rows, spec: PolicySpec) -> list[str]:
    """Returns the features that have one value in all rows; the normaliser's floor keeps them from growing."""
    still = np.ptp(rows.obs[:, : sum(spec.sizes)], 0) == 0.0
    first = np.cumsum([0, *spec.sizes])
    return [k for k, a, b in zip(spec.features, first[:-1], first[1:], strict=True) if still[a:b].all()]


def _check_rows(rows: Rows, env_id: str) -> None:
    for name in ("obs", "action", "next_obs"):
        if not np.isfinite(getattr(rows, name)).all():
            raise LfdError(f"the demos of {env_id} hold NaN or infinity in '{name}'; lfd data verify names the episode")
