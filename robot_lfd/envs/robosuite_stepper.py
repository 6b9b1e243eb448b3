"""How a robosuite control step is computed: compiled, bit for bit equal, or by robosuite's own Python."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

import mujoco
import numpy as np
from numba.core.event import Listener

from robot_lfd.envs.robosuite_world import RobosuiteWorld
from robot_lfd.errors import LfdError

PATHS = ("exact", "fast", "robosuite")
_CLOSE = 1e-6  # rad: on machines that round otherwise, the compiled path may differ so much and still serve as "fast"
_LOG = logging.getLogger("robot_lfd")
_CLOSING = {  # grippers that an action's sign closes or opens a little further, and which way their actuators go then
    "PandaGripper.format_action": (-1.0, 1.0),
    "RethinkGripper.format_action": (1.0, -1.0),
    "Robotiq85Gripper.format_action": (1.0, 1.0),
    "Robotiq140Gripper.format_action": (1.0, -1.0),
}


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
    """Operational space or joint control of one fixed arm, by `robosuite_kernel`."""

    def __init__(self, env: Any, substeps: int, fast: bool) -> None:
        from robot_lfd.envs import kept, mujoco_calls, numpy_blas, robosuite_kernel, separations

        self._fast, self.name = fast, "compiled, fast" if fast else "compiled, exact"
        self._kernel, self._c, self._separations_of, self._kept_of = robosuite_kernel, mujoco_calls, separations, kept
        self._env, self._substeps = env, substeps
        self._calls, self._lapack = mujoco_calls.addresses(), mujoco_calls.lapack_addresses()
        self._blas = numpy_blas.addresses()
        self._model: Any = None
        self._closes, self._remembers = False, _asks_history(env)

    def begin(self) -> None:
        """Takes the controller's view of the arm from its construction, as robosuite's first step uses it."""
        robot, model, data = self._env.robots[0], self._env.sim.model._model, self._env.sim.data._data
        name = robot.arms[0]
        control, self._grip = robot.part_controllers[name], robot.part_controllers.get(robot.get_gripper_name(name))
        self._control, self._hand = control, robot.gripper[name]
        wheel = self._c.column(robot._ref_actuators_indexes_dict[name])
        fingers = np.array(robot._ref_actuators_indexes_dict.get(robot.get_gripper_name(name), []), np.intp)
        if model is not self._model:
            self._model = model
            self._separations = self._separations_of.separations_of(model)
            self._physics = self._physics_of(model, data)
        self._separations_of.begin(self._separations, model)
        dofs = self._c.column(control.qvel_index)
        number = np.full(model.nv, -1, np.intp)
        number[dofs] = np.arange(len(dofs))
        hand = control.ref_name is not None
        self._arm = self._kernel.Arm(
            int(self._env.sim.model.site_name2id(control.ref_name)) if hand else -1,
            self._c.column(control.qpos_index), dofs, number, wheel, *model.actuator_ctrlrange[wheel].T.copy(), fingers,
            control.ref_pos.copy() if hand else np.zeros(3), control.ref_ori_mat.copy() if hand else np.eye(3),
            np.concatenate([control.ref_pos_vel, control.ref_ori_vel]) if hand else np.zeros(6),
            control.joint_pos.copy(), control.joint_vel.copy(),
            control.J_full.copy() if hand else np.zeros((6, len(dofs))), np.ascontiguousarray(control.mass_matrix),
            np.zeros(control.control_dim), np.zeros(6),
        )  # fmt: skip
        self._fresh = bool(control.new_update)
        before = (self._physics, self._separations, self._arm, self._fingers(*model.actuator_ctrlrange[fingers].T))
        if control.name.startswith("OSC"):
            self._step, what = self._osc_step, (*before, self._osc_settings(control), self._blas, self._lapack)
        else:
            self._step, what = self._joint_step, (*before, self._joint_settings(control), self._blas)
        self._kept = self._kept_of.Kept(what)

    def _physics_of(self, model: Any, data: Any) -> Any:
        return self._kernel.Physics(
            self._calls, int(model._address), int(data._address), self._c.bounding_volumes(model), int(model.nbvh),
            data.qpos, data.qvel, data.ctrl, data.qfrc_bias, data.qM, self._c.column(model.dof_Madr),
            self._c.column(model.dof_parentid), data.site_xpos, data.site_xmat, data.geom_xpos, data.geom_xmat,
        )  # fmt: skip

    def _scaling(self, control: Any, size: int) -> Any:
        low, high = control.input_min, control.input_max
        scale = abs(control.output_max - control.output_min) / abs(high - low)
        parts = low, high, (high + low) / 2.0, scale, (control.output_max + control.output_min) / 2.0
        return self._kernel.Scaling(*(np.array(np.broadcast_to(part, size), np.float64) for part in parts))

    def _fingers(self, low: np.ndarray, high: np.ndarray) -> Any:
        grip, hand, size = self._grip, self._hand, len(low)
        if grip is None:
            return self._kernel.Fingers(
                False, *np.zeros((2, 0)), self._kernel.Scaling(*np.zeros((5, 0))), *np.zeros((4, 0))
            )
        ways = _CLOSING.get(type(hand).format_action.__qualname__)
        self._closes = ways is not None and len(ways) == size
        pace = hand.speed * np.array(ways) if self._closes else np.zeros(size)
        now = np.zeros(size)
        if self._closes:
            now[:] = hand.current_action
            hand.current_action = now  # robosuite's and ours: one array
        half = [0.5 * (grip.actuator_max + sign * grip.actuator_min) for sign in (-1, 1)]
        parts = (np.array(np.broadcast_to(part, size), np.float64) for part in (*half, low, high))
        return self._kernel.Fingers(self._closes, pace, now, self._scaling(grip, size), *parts)

    def _osc_settings(self, control: Any) -> Any:
        return self._kernel.OperationalSpace(
            self._substeps, self._scaling(control, control.control_dim), self._fast,
            np.array(control.origin_pos, np.float64), np.array(control.kp, np.float64),
            np.array(control.kd, np.float64), bool(control.uncoupling), np.array(control.initial_joint, np.float64),
            bool(control.use_ori),
        )  # fmt: skip

    def _joint_settings(self, control: Any) -> Any:
        alone, size = control.name == "JOINT_TORQUE", control.control_dim
        gains = (np.zeros(size), np.zeros(size)) if alone else (control.kp, control.kd)
        limits = control.torque_limits if alone else np.zeros((2, size))
        parts = (np.array(np.broadcast_to(part, size), np.float64) for part in (*gains, *limits))
        scaling = self._scaling(control, size)
        return self._kernel.JointSpace(self._substeps, scaling, alone, bool(control.use_torque_compensation), *parts)

    def play(self, action: np.ndarray) -> None:
        """Plays the control step in one call, without holding Python's lock."""
        count = self._control.control_dim
        felt = self._felt() if self._remembers else None
        try:
            self._step(action[:count], self._finger_action(action[count:]))
        finally:
            self._fresh = True
            if self._separations.known[0]:  # it was interrupted
                self._separations_of.forget(self._separations)
                self._physics.volumes[0] = self._physics.volume_count
        if felt is not None:
            self._remember(felt)

    def _felt(self) -> np.ndarray:
        """Returns force and torque at the hand as the last physics step left them, (6,)."""
        robot = self._env.robots[0]
        return np.concatenate((robot.ee_force[robot.arms[0]], robot.ee_torque[robot.arms[0]]))

    def _remember(self, felt: np.ndarray) -> None:
        """Notes what robosuite's robot notes once a control step, of that what a reward asks for."""
        robot, name = self._env.robots[0], self._env.robots[0].arms[0]
        robot.recent_ee_forcetorques[name].push(felt)
        speeds, turns = robot.recent_ee_vel_buffer[name], robot.recent_ee_acc[name]
        speeds.push(self._arm.began.copy())
        rates = np.vstack([turns.current, robot.control_freq * np.diff(speeds.buf, axis=0)])
        turns.push(np.array([np.convolve(column, np.ones(10) / 10.0, mode="valid")[0] for column in rates.T]))

    def _osc_step(self, action: np.ndarray, fingers: np.ndarray) -> None:
        half = self._kernel.osc_aim(self._kept, action) / 2.0
        self._kernel.osc_step(self._kept, self._fresh, np.cos(half), np.sin(half), fingers)

    def _joint_step(self, action: np.ndarray, fingers: np.ndarray) -> None:
        self._kernel.joint_step(self._kept, self._fresh, action, fingers)

    def _finger_action(self, action: np.ndarray) -> np.ndarray:
        """Returns the gripper's own part of an action as compiled code wants it."""
        if self._closes or self._grip is None:
            return action
        return np.asarray(self._hand.format_action(action), np.float64)


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
    return np.abs(_tried(world, compiled, start) - _tried(world, own, start))


class CompileNotice(Listener):
    """Says once that compilation has begun: it takes half a minute, and later starts take the code from the disk."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: Any) -> None:
        """Called by numba when it begins to compile a function that is not on the disk."""
        ours = event.data["dispatcher"].py_func.__module__.startswith("robot_lfd.")
        if ours and not self._said:
            self._said = True
            print(
                "lfd: compiling the control path, once; later starts take it from the disk", file=sys.stderr, flush=True
            )

    def on_end(self, event: Any) -> None:
        """Says nothing."""


def _tried(world: RobosuiteWorld, stepper: Stepper, start: np.ndarray) -> np.ndarray:
    """Returns the state after two control steps."""
    world.begin(start)
    stepper.begin()
    size = world.env.action_dim
    for action in (np.linspace(-0.9, 0.9, size), np.linspace(0.7, -0.5, size)):
        stepper.play(action)
    data = world.sim.data._data
    return np.concatenate([data.qpos, data.qvel])


def _obstacle(env: Any) -> str:
    """Returns why the compiled path cannot run; "" where it can."""
    robot = env.robots[0]
    arm = robot.part_controllers[robot.arms[0]]
    grip = robot.part_controllers.get(robot.get_gripper_name(robot.arms[0]))
    if _asks_history(env) and not arm.name.startswith("OSC"):
        return f"{arm.name} is not compiled for Wipe, whose reward asks how the hand moved"
    if grip is not None and (type(grip).__name__ != "SimpleGripController" or not grip.use_action_scaling):
        return f"the gripper's {type(grip).__name__} is not compiled yet"
    if not env.lite_physics:
        return "lite_physics is off"
    if arm.name.startswith("OSC"):
        return _osc_obstacle(arm) or _machine_obstacle(env.sim.model._model)
    if arm.name not in ("JOINT_POSITION", "JOINT_TORQUE"):
        return f"{arm.name} is not compiled yet"
    if arm.interpolator is not None:
        return "an interpolator is set"
    if getattr(arm, "impedance_mode", "fixed") != "fixed" or getattr(arm, "position_limits", None) is not None:
        return "the controller's settings are not the usual ones"
    return _machine_obstacle(env.sim.model._model)


def _asks_history(env: Any) -> bool:
    """Returns whether the reward asks what the hand felt and how it moved in the last control steps."""
    return type(env).__name__ == "Wipe"


def _osc_obstacle(arm: Any) -> str:
    if arm.interpolator_pos is not None or arm.interpolator_ori is not None:
        return "an interpolator is set"
    if arm.input_ref_frame != "base" or arm.impedance_mode != "fixed" or arm._goal_update_mode != "achieved":
        return "the controller's settings are not the usual ones"
    return "" if np.array_equal(arm.origin_ori, np.eye(3)) else "the robot's base is turned"


def _machine_obstacle(model: Any) -> str:
    version = mujoco.__version__
    try:
        import robot_lfd.envs.robosuite_kernel  # noqa: F401  numba and its libraries
        from robot_lfd.envs import mujoco_calls

        assert mujoco_calls.addresses().all() and mujoco_calls.lapack_addresses().all()
        same = mujoco_calls.library().mj_version() == mujoco.mj_version()
    except (OSError, ImportError, AttributeError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if not any(version.startswith(f"{tested}.") for tested in mujoco_calls.TESTED):
        return f"MuJoCo is {version}; compiled steps are tested with {', '.join(mujoco_calls.TESTED)} only"
    if not same:
        return "MuJoCo's library is of another version than its bindings"
    if model.opt.enableflags or model.opt.integrator != mujoco.mjtIntegrator.mjINT_EULER:
        return "the model integrates otherwise than robosuite's usual way"
    return "" if sys.maxsize > 2**32 else "this is no 64-bit Python"
