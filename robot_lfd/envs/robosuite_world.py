"""RobosuiteWorld: one robosuite environment, drawn anew from a seed or built again from a text, exactly alike."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import html
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from robot_lfd.errors import LfdError

logging.getLogger("robosuite_logs").addFilter(lambda record: record.levelno >= logging.ERROR)

import robosuite  # noqa: E402  robosuite talks while it is imported: its log is filtered first

from robot_lfd.envs.robosuite_boxes import Boxes  # noqa: E402

_PACKAGE = os.path.dirname(os.path.abspath(robosuite.__file__))
_PLACEMENT = '<custom><text name="robot_lfd_placement" data="{}" /></custom></mujoco>'
_PLACEMENT_RE = re.compile(r'<custom><text name="robot_lfd_placement" data="([^"]*)" /></custom>')


class Draws(np.random.Generator):
    """numpy's generator for robosuite: it can note what is drawn, and chooses among names alike in every process.

    Attributes:
        noted: (low, high) of each uniform draw since it was set to a list; None stands for any other kind of draw.
    """

    noted: list[tuple[float, float] | None] | None = None

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Returns what numpy's uniform returns."""
        if self.noted is not None:
            self.noted.append((low, high) if size is None else None)
        return super().uniform(low, high, size)

    def normal(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what numpy's normal returns."""
        if self.noted is not None:
            self.noted.append(None)
        return super().normal(*args, **kwargs)

    def choice(self, a: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what numpy's choice returns from names in alphabetical order: robosuite lists a set of them."""
        return super().choice(sorted(a) if isinstance(a, list) else a, *args, **kwargs)


class RobosuiteWorld:
    """The compiled world of one robosuite environment and its way to the first state of an episode.

    Drawn or recorded, every episode begins in `begin`: the two are one code, so a recording replays bit for bit. It
    takes MuJoCo through the same forward passes as robosuite's own hard reset does, so that a drawn episode is also
    equal, bit for bit, to the one that robosuite itself plays after `reset()` with the same generator.

    Robosuite compiles its XML twice at each reset. Here a draw repeats what was drawn when the world was loaded (box
    sizes), changes the compiled boxes, and lets the task place its objects: 1 ms instead of 200, the same start. A task
    that draws anything else while it loads (Wipe) is compiled anew each time.

    Attributes:
        env: robosuite's environment.
        sim: robosuite's MjSim; changes when a world is compiled.
        compiled: counts compilations: whoever keeps ids or pictures looks here.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.compiled = 0
        self._rng = Draws(np.random.PCG64(0))
        self._boxes: Boxes | None = None
        env.rng = self._rng
        sampler = getattr(env, "placement_initializer", None)
        for each in (sampler, *getattr(sampler, "samplers", {}).values()):
            if each is not None:
                each.rng = self._rng

    @property
    def sim(self) -> Any:
        """Returns robosuite's simulation."""
        return self.env.sim

    def seed(self, seed: int) -> None:
        """Makes the next draw a function of `seed`: the draw of `numpy.random.default_rng(seed)`."""
        self._rng.bit_generator.state = np.random.PCG64(seed).state

    def draw(self, *, compile_anew: bool = False) -> np.ndarray:
        """Draws a new world and start by robosuite's own code; `compile_anew` does all that robosuite does.

        Returns:
            the first [time, qpos, qvel], float64, to be given to `begin`.
        """
        if compile_anew or self._boxes is None or not self._boxes.redraw(self._rng):
            self._load()
            self.env._reset_internal()
        else:
            self._boxes.apply(self.sim.model._model, self.sim.data._data)
            self._forget_episode()
            with _without_controllers(self.env, self._rng):
                self.env._reset_internal()
        model, data = self.sim.model._model, self.sim.data._data
        moved = np.flatnonzero((_poses(model) != self._poses).any(1))
        self._placement = {model.body(i).name: [float(v) for v in _poses(model)[i]] for i in moved}
        return np.concatenate([[0.0], data.qpos, data.qvel])

    def _load(self) -> None:
        self._rng.noted = []
        self.env._load_model()
        drawn, self._rng.noted = self._rng.noted, None
        self._compile(_portable(self.env.model.get_xml()))
        self._boxes = Boxes(self.env, self._xml, drawn)

    def build(self, text: str) -> None:
        """Makes the world of a recorded text the current one; compiles only where more than box sizes differ.

        Raises:
            LfdError: the text is no world of this task and robot.
        """
        found = _PLACEMENT_RE.search(text)
        xml = _PLACEMENT_RE.sub("", text)
        try:
            placement = json.loads(html.unescape(found[1])) if found else {}
            if self._boxes is None or not self._boxes.adopt(xml):
                self._compile(xml)
                self._boxes = Boxes(self.env, xml, [None])
            self._boxes.apply(self.sim.model._model, self.sim.data._data)
            for name in placement:
                self.sim.model.body_name2id(name)
        except (ValueError, KeyError, SyntaxError, AttributeError) as error:
            self._boxes = None  # the next draw loads the world anew
            raise LfdError(
                f"the recorded model is no world of this task and robot in robosuite {robosuite.__version__}: {error}; "
                "demos of another robosuite come in by: lfd data import"
            ) from error
        self._placement = placement

    def _compile(self, xml: str) -> None:
        self.env._initialize_sim(xml_string=xml)
        self._xml = xml
        self._poses = _poses(self.sim.model._model)
        self._colours = self.sim.model.geom_rgba.copy()
        self._placement: dict[str, list[float]] = {}
        self.env._setup_references()
        self.env.visualize(vis_settings=dict.fromkeys(self.env._visualizations, False))
        self.compiled += 1

    def text(self) -> str:
        """Returns the world as MJCF: meshes by path from the robosuite package, placed bodies in a custom element."""
        xml = self._boxes.text() if self._boxes else self._xml
        return with_placement(xml, self._placement)

    def begin(self, state: np.ndarray) -> None:
        """Starts the episode at `state` (S,), [time, qpos, qvel], with fresh controllers and counters.

        Raises:
            LfdError: a state of another world.
        """
        model, data = self.sim.model._model, self.sim.data._data
        size = 1 + model.nq + model.nv
        if state.shape != (size,) or not np.isfinite(state).all():
            raise LfdError(f"recorded sim_state has shape {state.shape}, expected ({size},) finite numbers")
        qpos = state[1 : 1 + model.nq]
        self._forget_episode()
        mujoco.mj_forward(model, data)  # as robosuite does once a world is compiled: the solver's warm start
        self._reset_robot(qpos)
        for name, pose in self._placement.items():
            model.body(name).pos, model.body(name).quat = pose[:3], pose[3:]
        data.time, data.qpos[:], data.qvel[:] = state[0], qpos, state[1 + model.nq :]
        mujoco.mj_forward(model, data)
        self._name_object_in_use(qpos)

    def _forget_episode(self) -> None:
        model = self.sim.model._model
        model.body_pos[:], model.body_quat[:] = self._poses[:, :3], self._poses[:, 3:]
        model.geom_rgba[:] = self._colours
        mujoco.mj_resetData(model, self.sim.data._data)

    def _reset_robot(self, qpos: np.ndarray) -> None:
        """Resets controllers, gripper and the task's counters, with the arm at the joints of `qpos`."""
        robot, generator = self.env.robots[0], self._rng.bit_generator.state
        usual = robot.init_qpos
        robot.init_qpos = qpos[robot._ref_joint_pos_indexes]
        self.env.deterministic_reset = True
        try:
            with _replaced(self.env, "_setup_references", _nothing):  # done once when the world was compiled
                self.env._reset_internal()
        finally:
            self.env.deterministic_reset = False
            robot.init_qpos = usual
            self._rng.bit_generator.state = generator

    def _name_object_in_use(self, qpos: np.ndarray) -> None:
        """Tells tasks with one of several objects which it is: the others wait ten metres away."""
        env = self.env
        if getattr(env, "single_object_mode", 0) != 1:
            return
        things = env.nuts if hasattr(env, "nuts") else env.objects
        address = {o.name: self.sim.model.get_joint_qpos_addr(o.joints[0])[0] for o in things}
        env.obj_to_use = next(name for name, a in address.items() if qpos[a] < 5.0)
        numbers = env.nut_to_id if hasattr(env, "nuts") else env.object_to_id
        number = next(i for kind, i in numbers.items() if kind.lower() in env.obj_to_use.lower())
        setattr(env, "nut_id" if hasattr(env, "nuts") else "object_id", number)


def _nothing() -> None:
    pass


@contextmanager
def _replaced(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Puts a function of one object out of the way for a while."""
    setattr(thing, name, value)
    try:
        yield
    finally:
        delattr(thing, name)


@contextmanager
def _without_controllers(env: Any, rng: np.random.Generator) -> Iterator[None]:
    """Lets `_reset_internal` draw the arm's joints without building controllers, which `begin` does anyway."""
    robot = env.robots[0]

    def draw_joints(deterministic: bool = False, rng: np.random.Generator = rng) -> None:
        noise, count = robot.initialization_noise, len(robot.init_qpos)
        draw = rng.standard_normal(count) if noise["type"] == "gaussian" else rng.uniform(-1.0, 1.0, count)
        env.sim.data.qpos[robot._ref_joint_pos_indexes] = np.array(robot.init_qpos) + draw * noise["magnitude"]
        for arm in robot.arms:
            if robot.has_gripper[arm]:
                env.sim.data.qpos[robot._ref_gripper_joint_pos_indexes[arm]] = robot.gripper[arm].init_qpos

    with _replaced(env, "_setup_references", _nothing), _replaced(robot, "reset", draw_joints):
        yield


def with_placement(text: str, placement: dict[str, list[float]]) -> str:
    """Returns a world's text with fixed bodies at the poses [position 3, quaternion wxyz 4] instead of its own."""
    plain = _PLACEMENT_RE.sub("", text)
    if not placement:
        return plain
    data = html.escape(json.dumps(placement, sort_keys=True))
    return plain.removesuffix("</mujoco>") + _PLACEMENT.format(data)


def _poses(model: mujoco.MjModel) -> np.ndarray:
    return np.concatenate([model.body_pos, model.body_quat], 1)


def _portable(xml: str) -> str:
    """Returns the XML with paths that begin at the robosuite package, wherever that is installed."""
    return xml.strip().replace(f'"{_PACKAGE}/', '"robosuite/')
