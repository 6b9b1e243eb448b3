"""How a robosuite control step is computed: compiled, bit for bit equal, or by robosuite's own Python."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import mujoco
import numpy as np

from robot_lfd.envs.robosuite_world import RobosuiteWorld
from robot_lfd.errors import LfdError

PATHS = ("exact", "fast", "robosuite")
_CLOSE = 1e-6  # rad: on machines that round otherwise, the compiled path may differ so much and still serve as "fast"
_FUNCTIONS = ("mj_step1", "mj_step2", "mj_jacSite", "mj_fullM")
_LOG = logging.getLogger("robot_lfd")


class Stepper(Protocol):
    """Plays the physics of one control step.

    Attributes:
        name: what `RobosuiteEnv.stepper_name` tells.
    """

    name: str

    def begin(self) -> None:
        """Called when an episode has begun, its controllers made anew."""
        ...

    def play(self, action: np.ndarray) -> None:
        """Plays a control step with `action` (A,) float64."""
        ...


class PythonStepper:
    """robosuite's own loop, without the observables, which are read elsewhere."""

    def __init__(self, env: Any, substeps: int, why: str) -> None:
        self._env, self._substeps = env, substeps
        self.name = f"robosuite's own ({why})"

    def begin(self) -> None:
        """Has nothing to prepare."""

    def play(self, action: np.ndarray) -> None:
        """Runs robosuite's controllers before every physics step."""
        env, sim = self._env, self._env.sim
        for substep in range(self._substeps):
            sim.step1()
            env._pre_action(action, substep == 0)
            sim.step2()


class CompiledStepper:
    """Operational space control of one fixed arm whose base stands straight, by `robosuite_kernel.osc_step`."""

    def __init__(self, env: Any, substeps: int, fast: bool) -> None:
        from robot_lfd.envs.robosuite_kernel import osc_step

        self._fast, self.name = fast, "compiled, fast" if fast else "compiled, exact"
        self._osc_step, self._env, self._substeps = osc_step, env, substeps
        library = _library()
        addresses = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _FUNCTIONS]
        self._calls = np.array(addresses, np.intp)

    def begin(self) -> None:
        """Takes the controller's view of the arm from its construction, as robosuite's first step uses it."""
        from robosuite.utils import transform_utils

        self._turn_of = transform_utils
        robot, model, data = self._env.robots[0], self._env.sim.model._model, self._env.sim.data._data
        arm = robot.arms[0]
        control, self._grip = robot.part_controllers[arm], robot.part_controllers.get(robot.get_gripper_name(arm))
        self._control, self._hand = control, robot.gripper[arm]
        wheel = np.array(robot._ref_actuators_indexes_dict[arm], np.intp)
        fingers = robot._ref_actuators_indexes_dict.get(robot.get_gripper_name(arm), [])
        self._fingers = np.array(fingers, np.intp)
        self._finger_range = model.actuator_ctrlrange[self._fingers]
        limits = model.actuator_ctrlrange[wheel]
        self._constant = (int(model._address), int(data._address), self._substeps)
        self._place = (
            self._env.sim.model.site_name2id(control.ref_name), np.array(control.qpos_index, np.intp),
            np.array(control.qvel_index, np.intp), wheel, limits[:, 0].copy(), limits[:, 1].copy(), self._fingers,
        )  # fmt: skip
        self._gains = (
            np.array(control.origin_pos, np.float64), np.array(control.kp, np.float64),
            np.array(control.kd, np.float64), bool(control.uncoupling), np.array(control.initial_joint, np.float64),
        )  # fmt: skip
        self._arrays = (
            data.site_xpos, data.site_xmat, data.qpos, data.qvel, data.qM, data.qfrc_bias, data.ctrl,
            control.ref_pos.copy(), control.ref_ori_mat.copy(),
            np.concatenate([control.ref_pos_vel, control.ref_ori_vel]), control.joint_pos.copy(),
            control.joint_vel.copy(), control.J_full.copy(), np.ascontiguousarray(control.mass_matrix),
        )  # fmt: skip
        self._fresh = bool(control.new_update)

    def play(self, action: np.ndarray) -> None:
        """Plays the control step in one call, without holding Python's lock."""
        control, count = self._control, self._control.control_dim
        delta = control.scale_action(action[:count])
        turn = delta[3:6] if control.use_ori else np.zeros(3)
        rotation = self._turn_of.quat2mat(self._turn_of.axisangle2quat(turn))
        command = (delta[:3], rotation)
        self._osc_step(
            self._fast, self._calls, *self._constant, self._fresh, *self._place, self._grip_value(action[count:]),
            *self._gains, *command, *self._arrays,
        )  # fmt: skip
        self._fresh = True

    def _grip_value(self, action: np.ndarray) -> np.ndarray:
        """Returns what robosuite's gripper controller tells the fingers in every substep of this control step."""
        if self._grip is None or not len(action):
            return np.zeros(0)
        goal = self._grip.scale_action(self._hand.format_action(action))
        low, high = self._grip.actuator_min, self._grip.actuator_max
        value = 0.5 * (high + low) + 0.5 * (high - low) * goal
        return np.clip(value, self._finger_range[:, 0], self._finger_range[:, 1])


def make_stepper(world: RobosuiteWorld, substeps: int, path: str, start: np.ndarray) -> Stepper:
    """Returns the fastest way to play a control step that this machine, task and controller allow.

    The compiled way is tried beside robosuite's own for two steps and taken when every bit of the state agrees. "fast",
    for training, solves by Cholesky instead and differs in the last bits.
    Both are played from the state `start`; the world is left in mid-episode: begin one.

    Raises:
        LfdError: `path` is none of PATHS.
    """
    if path not in PATHS:
        raise LfdError(f"control_path is '{path}', expected one of: {', '.join(PATHS)}")
    own = PythonStepper(world.env, substeps, "as asked")
    if path == "robosuite":
        return own
    why = _obstacle(world.env)
    if not why:
        away = _difference(world, CompiledStepper(world.env, substeps, False), own, start)
        arm = world.env.robots[0]._ref_joint_pos_indexes
        if not away.any() or (path == "fast" and away[arm].max() <= _CLOSE):
            return CompiledStepper(world.env, substeps, path == "fast")
        why = f"the compiled path differs by {away.max():.1g} on this machine"
    _LOG.info("%s steps through robosuite's own control path: %s", type(world.env).__name__, why)
    return PythonStepper(world.env, substeps, why)


def _difference(world: RobosuiteWorld, compiled: Stepper, own: Stepper, start: np.ndarray) -> np.ndarray:
    """Returns how far apart the two are after two control steps, in each number of qpos and qvel."""
    notice = threading.Timer(3.0, _say, ["compiling the control path, once; later starts take it from the disk"])
    notice.daemon = True
    notice.start()
    try:
        return np.abs(_tried(world, compiled, start) - _tried(world, own, start))
    finally:
        notice.cancel()


def _tried(world: RobosuiteWorld, stepper: Stepper, start: np.ndarray) -> np.ndarray:
    """Returns the state after two control steps."""
    world.begin(start)
    stepper.begin()
    size = world.env.action_dim
    for action in (np.linspace(-0.9, 0.9, size), np.linspace(0.7, -0.5, size)):
        stepper.play(action)
    data = world.sim.data._data
    return np.concatenate([data.qpos, data.qvel])


def _say(line: str) -> None:
    print(f"lfd: {line}", file=sys.stderr, flush=True)


def _obstacle(env: Any) -> str:
    """Returns why the compiled path cannot run; "" where it can."""
    robot = env.robots[0]
    arm = robot.part_controllers[robot.arms[0]]
    grip = robot.part_controllers.get(robot.get_gripper_name(robot.arms[0]))
    if type(env).__name__ == "Wipe":
        return "Wipe's reward needs robosuite's force history"
    if arm.name not in ("OSC_POSE", "OSC_POSITION"):
        return f"{arm.name} is not compiled yet"
    if arm.interpolator_pos is not None or arm.interpolator_ori is not None:
        return "an interpolator is set"
    if arm.input_ref_frame != "base" or arm.impedance_mode != "fixed" or arm._goal_update_mode != "achieved":
        return "the controller's settings are not the usual ones"
    if grip is not None and (type(grip).__name__ != "SimpleGripController" or not grip.use_action_scaling):
        return f"the gripper's {type(grip).__name__} is not compiled yet"
    if not np.array_equal(arm.origin_ori, np.eye(3)):
        return "the robot's base is turned"
    if not env.lite_physics:
        return "lite_physics is off"
    return _machine_obstacle()


def _machine_obstacle() -> str:
    try:
        library = _library()
        import robot_lfd.envs.robosuite_kernel  # noqa: F401  numba and its libraries
    except (OSError, ImportError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    if library.mj_version() != mujoco.mj_version():
        return "MuJoCo's library is of another version than its bindings"
    return "" if sys.maxsize > 2**32 else "this is no 64-bit Python"


def _library() -> ctypes.CDLL:
    """Returns the very libmujoco that the bindings use."""
    folder = Path(mujoco.__file__).parent
    names = sorted([*folder.glob("libmujoco.so*"), *folder.glob("libmujoco*.dylib"), *folder.glob("mujoco.dll")])
    if not names:
        raise OSError(f"no libmujoco in {folder}")
    return ctypes.CDLL(str(names[-1]))
