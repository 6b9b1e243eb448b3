"""Reading demos with pictures: which cameras, what the arm feels, what training may know; checked before step one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from robot_lfd.checkpoint import LearnedPolicy, PolicySpec, load_policy
from robot_lfd.config import TrainConfig
from robot_lfd.demos.cache import load_flat
from robot_lfd.demos.select import Selection
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.train.images import Sights, demo_sights
from robot_lfd.train.rows import something_moves

DEFAULT_STEPS = {"bc": 5_000, "distill": 8_000}


@dataclass(frozen=True)
class PixelDemos:
    """`count` demos as sights. `felt`, `known`: names of the proprioception and of the state that training may know."""

    sights: Sights
    count: int
    felt: tuple[str, ...]
    known: tuple[str, ...]

    def labelled_by(self, teacher: LearnedPolicy) -> PixelDemos:
        """Returns the same demos with the teacher's actions in the place of the person's: one voice to learn from."""
        seen = self.sights.state[self.sights.row]
        ends = np.cumsum(teacher.spec.sizes)[:-1]
        rows = (dict(zip(self.known, np.split(row, ends), strict=True)) for row in seen)
        teacher.reset()
        action = np.stack([teacher.act(row) for row in rows])
        return dataclasses.replace(self, sights=dataclasses.replace(self.sights, action=action))


def pixel_steps(config: TrainConfig) -> int:
    """Returns how many steps the run takes: gradient steps, or practice steps where there is a teacher."""
    return DEFAULT_STEPS[config.algo] if config.steps is None else config.steps


def state_weight(config: TrainConfig) -> float:
    """Returns the weight of guessing the simulator's state: none where only a person is cloned."""
    usual = 1.0 if config.algo == "distill" else 0.0
    return usual if config.state_weight is None else config.state_weight


def read_pixels(config: TrainConfig) -> tuple[PixelDemos, PolicySpec]:
    """Returns the demos' pictures and what the policy will be.

    Raises:
        LfdError: the demos hold no pictures, or the settings contradict each other or the demos.
    """
    _check(config)
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
    cameras = _cameras(config, stores, arm.camera_names)
    pictures = tuple(f"images/{c}" for c in cameras)
    arms = first.env_id.split("/")[0] in ("pybullet", "robosuite")  # environments of others know no success
    success = True if arms and not config.include_failures else None
    keys = tuple(dict.fromkeys((*felt, *known, *pictures)))
    demos = load_flat(stores, keys, selection=Selection(success=success, first=config.max_demos))
    sights = demo_sights(demos, cameras, felt, known)
    if not config.keep_pauses and config.algo != "distill":  # a teacher does not hesitate
        sights = _without_pauses(sights)
    picture = first.features[pictures[0]]["shape"]
    spec = PolicySpec(
        algo=config.algo, env_id=first.env_id, env_kwargs=first.env_kwargs, control_hz=first.control_hz,
        features=(*felt, *pictures),
        sizes=(*(int(np.prod(spaces[k].shape)) for k in felt), *(int(np.prod(picture)) for _ in pictures)),
        action_size=actions.shape[0], hidden=config.hidden, critics=0, gamma=0.0, temperature=0.0,
        absorbing_value=None, actor="pixels", encoder=config.encoder, frame_stack=config.frame_stack,
    )  # fmt: skip
    return PixelDemos(sights, len(demos.ids), felt, known), spec


def _check(config: TrainConfig) -> None:
    if not config.demos:
        raise LfdError("no dataset was given; name one or more with --demos")
    if config.algo not in DEFAULT_STEPS:
        raise LfdError(f"--obs pixels is offered for --algo {' and '.join(DEFAULT_STEPS)}, not for {config.algo}")
    if (config.algo == "distill") != (config.teacher is not None):
        raise LfdError("--algo distill and --teacher RUN (a run on state) go together; give both or neither")
    least = {"frame_stack": 1, "batch_rows": 1, "updates_per_step": 1, "shift_px": 0, "colour_jitter": 0}
    for name, floor in least.items():
        if getattr(config, name) < floor:
            raise LfdError(f"--{name.replace('_', '-')} is {getattr(config, name)}, expected at least {floor}")
    if pixel_steps(config) < 1:
        raise LfdError(f"--steps is {pixel_steps(config)}, expected at least 1")


def _known(config: TrainConfig, policy_keys: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the state that training looks at: what the teacher sees, or what is to be guessed."""
    if config.teacher is not None:
        return load_policy(config.teacher).spec.features
    return policy_keys if state_weight(config) > 0 else ()


def _cameras(config: TrainConfig, stores: list[DemoStore], offered: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the cameras whose pictures are seen. Raises LfdError with the command that draws what is missing."""
    for store in stores:
        wanted = config.cameras or stores[0].spec.cameras or offered[:1]
        if missing := [c for c in wanted if c not in store.spec.cameras]:
            held = ", ".join(store.spec.cameras) or "no camera"
            command = f"lfd data render {store.path} --out {store.path}-seen --cameras {' '.join(wanted)}"
            raise LfdError(f"dataset '{store.path}' has pictures of {held}, not of {missing[0]}; draw them: {command}")
    return config.cameras or stores[0].spec.cameras


def _without_pauses(sights: Sights) -> Sights:
    """Returns the rows in which the arm feels itself move, see `rows.moving`; all of them where it feels nothing."""
    if not sights.proprio.shape[1]:
        return sights
    before, after = sights.proprio[sights.row], sights.proprio[sights.row + 1]
    moved = something_moves(before, after)
    kept = moved if moved.any() else ~moved
    return dataclasses.replace(sights, row=sights.row[kept], action=sights.action[kept])
