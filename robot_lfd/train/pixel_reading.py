"""Reading demos with pictures: which cameras, what the arm feels, what training may know; checked before step one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from robot_lfd.checkpoint import LearnedPolicy, load_policy
from robot_lfd.demos.cache import load_flat
from robot_lfd.demos.select import Selection
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import is_ours, make_env
from robot_lfd.errors import LfdError
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.train.agents import default_absorbing_value, default_temperature
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.expert import expert_rows
from robot_lfd.train.images import Sights, demo_sights
from robot_lfd.train.pixel_options import SOFT, check_options, check_pixels, pixel_steps, state_weight
from robot_lfd.train.recipe import Recipe, Task, decided, filled
from robot_lfd.train.shape import chunk_execute, chunk_of
from robot_lfd.train.windows import decisions


@dataclass(frozen=True)
class PixelDemos:
    """`count` demos as sights. `felt`, `known`: names of the proprioception and of the state that training may know."""

    sights: Sights
    count: int
    felt: tuple[str, ...]
    known: tuple[str, ...]

    def labelled_by(self, teacher: LearnedPolicy) -> PixelDemos:
        """Returns the same demos with the teacher's actions in the place of the person's: one voice to learn from.

        The teacher goes through whole episodes, from their beginnings: it may remember.
        """
        ends, said = np.cumsum(teacher.spec.sizes)[:-1], []
        for i, seen in enumerate(self.sights.state):
            if self.sights.first[i] == i:
                teacher.reset()
            teacher.replan()  # what was done is the person's action, not what it had planned
            said.append(teacher.act(dict(zip(self.known, np.split(seen, ends), strict=True))))
        action = np.stack(said)[self.sights.row]
        return dataclasses.replace(self, sights=dataclasses.replace(self.sights, action=action))


class PixelRead(NamedTuple):
    """As `reading.Read`, of demos with pictures."""

    config: TrainConfig
    recipe: Recipe
    demos: PixelDemos
    spec: PolicySpec


def read_pixels(config: TrainConfig) -> PixelRead:
    """Returns the settings, none of the recipe's open any more, the demos' pictures, and what the policy will be.

    Raises:
        LfdError: the demos hold no pictures, or the settings contradict each other or the demos.
    """
    if not config.demos:
        raise LfdError("no dataset was given; name one or more with --demos")
    check_pixels(config)
    check_options(config)
    stores = [DemoStore.open(path) for path in config.demos]
    first = stores[0].spec
    env = make_env(first.env_id, **first.env_kwargs)
    arm, spaces, actions = arm_of(env), getattr(env.observation_space, "spaces", {}), env.action_space
    env.close()
    if not isinstance(actions, gym.spaces.Box):
        raise LfdError(f"{first.env_id} has discrete actions; --obs pixels is for arms")
    felt = tuple(config.features or arm.proprio_keys)
    known = _known(config, arm.policy_keys)
    for key in (*felt, *known):
        if key not in spaces:
            raise LfdError(f"unknown observation '{key}'; {first.env_id} has: {', '.join(spaces)}")
    soft = config.algo in SOFT
    cameras = _cameras(config, stores, arm.camera_names)
    pictures = tuple(f"images/{c}" for c in cameras)
    arms = is_ours(first.env_id)
    success = True if arms and not config.include_failures else None
    told_by = felt or arm.policy_keys  # of an arm that feels nothing, pauses are not left out
    keys = tuple(dict.fromkeys((*told_by, *known, *pictures)))
    demos = load_flat(stores, keys, selection=Selection(success=success, first=config.max_demos))
    every = config.keep_pauses or config.algo == "distill" or not (arms and felt)  # a teacher does not hesitate
    expert = expert_rows(demos, stores, told_by, success_blind=config.success_blind, keep_pauses=every)
    usual = dataclasses.replace(config, steps=None)
    recipe = dataclasses.replace(decided(config, Task(arms)), steps=pixel_steps(usual))
    config = filled(config, recipe)
    execute, rows = chunk_execute(config), decisions(expert.rows, chunk_of(config))
    sights = demo_sights(demos, cameras, felt, known)
    chosen = {"row": rows.step, "action": rows.action, "terminated": rows.terminated}
    sights = dataclasses.replace(sights, **chosen)
    assert config.hidden is not None and config.gamma is not None
    gamma = config.gamma if soft else 0.0
    picture = first.features[pictures[0]]["shape"]
    spec = PolicySpec(
        algo=config.algo, env_id=first.env_id, env_kwargs=first.env_kwargs, control_hz=first.control_hz,
        features=(*felt, *pictures),
        sizes=(*(int(np.prod(spaces[k].shape)) for k in felt), *(int(np.prod(picture)) for _ in pictures)),
        action_size=actions.shape[0], hidden=config.hidden, critics=config.critics if soft else 0, gamma=gamma,
        temperature=default_temperature(config, False, arms) if soft else 0.0,
        absorbing_value=default_absorbing_value(config, gamma, demos_end=arms, chooses=False) if soft else None,
        actor="pixels",
        encoder=config.encoder, frame_stack=config.frame_stack, window=chunk_of(config), execute=execute,
    )  # fmt: skip
    return PixelRead(config, recipe, PixelDemos(sights, expert.demos, felt, known), spec)


def _known(config: TrainConfig, policy_keys: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the state that training looks at: what the teacher or the critics see, or what is to be guessed."""
    if config.teacher is not None:
        return load_policy(config.teacher).spec.features
    judged = config.algo in SOFT and config.critic_sees == "state"
    return policy_keys if judged or state_weight(config) > 0 else ()


def _cameras(config: TrainConfig, stores: list[DemoStore], offered: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the cameras whose pictures are seen. Raises LfdError with the command that draws what is missing."""
    for store in stores:
        wanted = config.cameras or stores[0].spec.cameras or offered[:1]
        if missing := [c for c in wanted if c not in store.spec.cameras]:
            held = ", ".join(store.spec.cameras) or "no camera"
            command = f"lfd data render {store.path} --out {store.path}-seen --cameras {' '.join(wanted)}"
            raise LfdError(f"dataset '{store.path}' has pictures of {held}, not of {missing[0]}; draw them: {command}")
    return config.cameras or stores[0].spec.cameras
