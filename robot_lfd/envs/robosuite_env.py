"""robosuite/<Task>-v0: every single-arm task of robosuite, any of its fixed-base arms, as an arm environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from numba.core.event import install_listener

from robot_lfd.envs.mujoco_pictures import Pictures
from robot_lfd.envs.registry import ROBOSUITE_TASKS
from robot_lfd.envs.robosuite_arms import check_known, controller_config, make_robosuite
from robot_lfd.envs.robosuite_features import RobosuiteFeatures
from robot_lfd.envs.robosuite_reward import Reward
from robot_lfd.envs.robosuite_stepper import CompileNotice, make_stepper
from robot_lfd.envs.robosuite_world import RobosuiteWorld
from robot_lfd.errors import LfdError

PHYSICS_HZ = 500
_POSE = ("dx", "dy", "dz", "drx", "dry", "drz")
_JOINT_UNITS = {"JOINT_POSITION": "rad", "JOINT_TORQUE": "Nm"}


class RobosuiteEnv(gym.Env):
    """A robosuite task with named float32 observations, exact restarts and pictures on demand.

    Actions, float32 in [-1, 1], for the default controller OSC_POSE (robosuite's settings; axes of the robot's base):

    | dimension   | 1.0 is                                   |
    |-------------|------------------------------------------|
    | dx dy dz    | 0.05 m; x forward, y left, z up          |
    | drx dry drz | 0.5 rad about these axes                 |
    | gripper     | +1 closes, -1 opens, 0 holds; sign alone |

    Other controllers have other dimensions: see `action_names`, `action_scale`, `action_units`.

    Observations, float32, metres, seconds and radians, in the world: `eef_pos` `eef_rot` (6: the first two columns of
    the gripper's rotation) `eef_vel` `eef_height` `gripper_width` `gripper_vel` `joint_pos` `joint_vel`, and for the
    task's object `object_pos` `_quat` (xyzw) `_vel` `_rel` (minus gripper) `_height` (of its centre above the table),
    `object_rot_rel` (6, seen from the gripper; of a cube `object_yaw`, cos and sin of four times its yaw, as a quarter
    turn changes nothing), `object_place_rel` (a nut's handle, the nearest dirt), `target_pos` `target_rel` (target
    minus object: peg, bin, lower cube, where the handle of an open door is), `target_rot_rel` (6, the object seen from
    a peg or stand that it must be turned to fit). Further objects have the same under their
    own names. A policy sees `policy_keys`: the same rule for every task, stated in RobosuiteFeatures.

    The reward is robosuite's shaped one, clipped to [0, 1]; `info["is_success"]` is robosuite's own check;
    `terminated` once it holds, unless `terminate_on_success=False`. Time limits come from Gymnasium as `truncated`.
    `reset(seed=s)` starts as robosuite itself does when its generator is `numpy.random.default_rng(s)`.

    Args:
        task: a key of ROBOSUITE_TASKS.
        robots: any of robosuite's fixed-base single arms.
        controller: a part controller's name, its settings, or a whole composite one; None is the robot's default.
        gripper: a robosuite gripper in place of the arm's own.
        control_path: "exact" steps through compiled code, bit for bit equal to robosuite's own, where that can be,
            and through robosuite's own elsewhere: OSC_POSE, OSC_POSITION, JOINT_POSITION and JOINT_TORQUE of an arm
            with robosuite's usual settings are compiled. "fast" solves by Cholesky: a single step differs by 1e-15 or
            so, but contact amplifies that. "robosuite" is always robosuite's own. `stepper_name` says which, and why.
        pictures: "reference" as robosuite draws them; "fast", for small ones: drawn by compiled code of our own from
            coarser meshes, without shadows and reflections, and without OpenGL. What that cannot draw, OpenGL does.
            The attribute `pictures_name` says which. The physics is the same bit for bit.
        task_options: further keywords of the task's constructor, such as {"use_latch": False} for Door.

    Raises:
        LfdError: a task, robot, controller or rate that does not exist.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(
        self,
        task: str,
        robots: str = "Panda",
        controller: str | dict | None = None,
        terminate_on_success: bool = True,
        render_mode: str | None = None,
        control_hz: float = 20.0,
        gripper: str = "default",
        control_path: str = "exact",
        pictures: str = "reference",
        task_options: dict[str, Any] | None = None,
    ) -> None:
        check_known("robosuite task", task, ROBOSUITE_TASKS)
        self._substeps = round(PHYSICS_HZ / control_hz) if control_hz > 0 else 0
        if self._substeps < 1 or abs(self._substeps * control_hz - PHYSICS_HZ) > 1e-6:
            raise LfdError(f"control_hz is {control_hz}, expected a divisor of {PHYSICS_HZ} such as 10, 20, 25 or 50")
        self.task, self.control_hz = task, float(control_hz)
        self.terminate_on_success, self.render_mode = terminate_on_success, render_mode
        options = {"gripper_types": gripper, **(task_options or {})}
        if task == "Wipe" and gripper == "default":
            del options["gripper_types"]  # it has its own and takes no other
        self._env = make_robosuite(task, robots, controller_config(robots, controller), self.control_hz, options)
        self._world = RobosuiteWorld(self._env)
        self._pictures = Pictures(pictures)
        self._compiled = -1
        self._seeded = False
        self._world.seed(0)
        start = self._world.draw()
        self._stepper = make_stepper(self._world, self._substeps, "robosuite", start)
        with install_listener("numba:compile", CompileNotice()):
            self._begin(start)
            self._describe_actions()
            self._stepper = make_stepper(self._world, self._substeps, control_path, start)
            self._begin(start)
            self._reward.prepare()
            seen = self._features.read()
        self.policy_keys, self.proprio_keys = self._features.policy_keys(), self._features.proprio_keys()
        views = [c for c in ("agentview", "frontview") if c in self._env.sim.model.camera_names]
        self.camera_names = tuple(dict.fromkeys([*views, *self._env.sim.model.camera_names]))
        self.observation_space = gym.spaces.Dict(
            {k: gym.spaces.Box(-np.inf, np.inf, v.shape, np.float32) for k, v in seen.items()}
        )

    def _describe_actions(self) -> None:
        robot = self._env.robots[0]
        arm = robot.part_controllers[robot.arms[0]]
        low, high = self._env.action_spec
        if not np.all(low == -1.0) or not np.all(high == 1.0) or getattr(arm, "input_type", "delta") != "delta":
            raise LfdError(
                f"controller {arm.name} takes {getattr(arm, 'input_type', 'delta')} actions from {low.min():g} to "
                f"{high.max():g}, expected delta ones in [-1, 1]: set input_type to delta, impedance_mode to fixed, "
                "input_min to -1 and input_max to 1"
            )
        grip = len(low) - arm.control_dim
        if arm.name in _JOINT_UNITS:
            moves, units = [f"dq{i + 1}" for i in range(arm.control_dim)], [_JOINT_UNITS[arm.name]] * arm.control_dim
        else:
            moves, units = list(_POSE[: arm.control_dim]), ["m", "m", "m", "rad", "rad", "rad"][: arm.control_dim]
        fingers = ["gripper"] if grip == 1 else [f"gripper{i + 1}" for i in range(grip)]
        reach = np.atleast_1d((np.asarray(arm.output_max) - arm.output_min) / 2.0)
        if len(reach) not in (1, arm.control_dim):
            raise LfdError(f"controller {arm.name}: output_max has {len(reach)} numbers, expected {arm.control_dim}")
        scale = np.broadcast_to(reach, (arm.control_dim,))
        self.action_names, self.action_units = (*moves, *fingers), (*units, *["1"] * grip)
        self.action_scale = np.concatenate([scale, np.ones(grip)]).astype(np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (len(low),), np.float32)

    # Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Draws a new start from the seed, or goes to `options["model"]` and `options["sim_state"]`."""
        super().reset(seed=seed)
        options = options or {}
        if seed is not None or not self._seeded:
            self._world.seed(int(self.np_random.integers(2**63)) if seed is None else seed)
            self._seeded = True
        if options.get("sim_state") is None:
            state = self._world.draw()
        else:
            state = np.asarray(options["sim_state"], np.float64)
            if options.get("model"):
                self._world.build(options["model"])
        self._begin(state)
        return self._features.read(), {"is_success": False}

    def _begin(self, state: np.ndarray) -> None:
        self._world.begin(state)
        if self._compiled != self._world.compiled:
            self._compiled = self._world.compiled
            self._features, self._reward = RobosuiteFeatures(self._env), Reward(self._env)
            self._pictures.forget()
        self._features.select()
        self._stepper.begin()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Plays one control step with `action` (A,) and returns the usual five."""
        action = np.asarray(action, np.float64)
        if action.shape != self.action_space.shape:
            raise LfdError(f"action has shape {action.shape}, expected {self.action_space.shape}")
        env = self._env
        env.timestep += 1
        self._stepper.play(action)
        env.cur_time += env.control_timestep
        reward, success = self._reward.read(action)
        reward = min(max(float(reward), 0.0), 1.0)
        return self._features.read(), reward, success and self.terminate_on_success, False, {"is_success": success}

    @property
    def stepper_name(self) -> str:
        """Returns how control steps are computed here: "compiled, exact", or "robosuite's own (why)"."""
        return self._stepper.name

    @property
    def pictures_name(self) -> str:
        """Returns how the last picture was drawn: "OpenGL", "compiled", or "OpenGL, fast (why it is not compiled)"."""
        return self._pictures.name

    def render(self) -> np.ndarray | None:
        """Returns the main camera's picture, (256, 256, 3) uint8, when render_mode is "rgb_array"."""
        return self.render_camera(self.camera_names[0], 256, 256) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Gives the simulation and its pictures back."""
        self._pictures.close()
        if self._env.sim is not None:
            self._env.close()

    # The arm contract

    def sim_state(self) -> np.ndarray:
        """Returns MuJoCo's [time, qpos, qvel], float64."""
        data = self._env.sim.data._data
        return np.concatenate([[data.time], data.qpos, data.qvel])

    @property
    def joint_limits(self) -> np.ndarray:
        """Returns the lowest and highest position of each joint of `joint_pos`, (2, J) rad; infinite where free."""
        model, joints = self._env.sim.model._model, self._env.robots[0]._ref_joint_indexes
        free = np.array([[-np.inf, np.inf]])
        return np.where(model.jnt_limited[joints, None] > 0, model.jnt_range[joints], free).T

    @property
    def gripper_force_n(self) -> float | None:
        """Returns what a finger's motor presses with at most, N; None for grippers that turn, or have no bound."""
        model = self._env.sim.model._model
        motors = [i for i in range(model.nu) if model.actuator(i).name.startswith("gripper")]
        slide = mujoco.mjtJoint.mjJNT_SLIDE  # pyright: ignore[reportAttributeAccessIssue]
        slides = [model.jnt_type[model.actuator_trnid[i, 0]] == slide for i in motors]
        bound = [float(model.actuator_forcerange[i, 1]) for i in motors if model.actuator_forcelimited[i]]
        return max(bound) if motors and all(slides) and len(bound) == len(motors) else None

    def model(self) -> str:
        """Returns the world of this episode as MJCF text that builds it again on any machine with robosuite."""
        return self._world.text()

    def render_camera(self, camera: str, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8 RGB. Raises LfdError for an unknown camera."""
        if camera not in self.camera_names:
            raise LfdError(f"unknown camera '{camera}'; this environment has: {', '.join(self.camera_names)}")
        sim = self._env.sim
        return self._pictures.draw(sim.model._model, sim.data._data, camera, height_px, width_px)

    def camera_rotation(self, camera: str) -> np.ndarray:
        """Returns how a camera looks now, (3, 3): its right, up and backward directions as columns, in the world."""
        sim = self._env.sim
        return np.array(sim.data._data.cam_xmat[sim.model.camera_name2id(camera)]).reshape(3, 3)
