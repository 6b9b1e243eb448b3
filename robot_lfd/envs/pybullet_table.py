"""TableEnv: an arm at a table in PyBullet; each task (Reach, Lift, ...) is a subclass in a file of its own."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from robot_lfd.envs.pybullet_arms import arm_named
from robot_lfd.envs.pybullet_cubes import BOX_HALF_M
from robot_lfd.envs.pybullet_pictures import Camera, FastPictures, checked
from robot_lfd.envs.pybullet_quiet import Client, pybullet, pybullet_data, silent
from robot_lfd.errors import LfdError

PHYSICS_HZ = 240
POINTING_DOWN = np.array([1.0, 0.0, 0.0, 0.0])  # xyzw
WORKSPACE = np.array([[0.27, -0.36, 0.005], [0.76, 0.36, 0.45]])  # metres, the gripper's box
MAX_WIDTH = 0.08
STEP_M, STEP_RAD, STEP_WIDTH_M = 0.025, 0.1, 0.02  # what an action of 1.0 asks for in one control step
FINGER_FORCE_N = 20.0  # what a finger's motor presses with at most
LEAD_M, LEAD_RAD = 0.03, 0.15  # the goal runs ahead of the gripper by no more than this
MARK_COLOUR = (0.0, 0.62, 0.45)  # green
HOLD_STEPS = 5  # success must hold for a quarter of a second

_BODY = 13  # position 3, quaternion 4, linear velocity 3, angular velocity 3


class TableEnv(gym.Env):
    """An arm that follows delta commands of its gripper, by inverse kinematics, at `control_hz`.

    Actions, float32 in [-1, 1]; the goal pose moves by this much per control step of 1 / control_hz seconds:

    | control    | dimensions                          | 1.0 is                                             |
    |------------|-------------------------------------|----------------------------------------------------|
    | "position" | dx dy dz gripper (A = 4, default)   | 0.025 m; 0.02 m of closing. The gripper points down |
    | "pose"     | dx dy dz drx dry drz gripper (A = 7)| 0.025 m; 0.1 rad, world axes; 0.02 m of closing     |

    x points away from the base, y to its left, z up; gripper +1 closes, -1 opens, 0 holds.

    Observations, float32, metres and m/s in the world: `eef_pos` `eef_vel` `eef_height` (above the table)
    `gripper_width` `gripper_vel` `joint_pos` `joint_vel` (rad, rad/s), with `control="pose"` also `eef_rot` (6: the
    first two columns of the gripper's rotation), and what each task adds. A policy sees `policy_keys` by default: the
    relative ones (object minus gripper, target minus object), heights, velocities and the gripper, never absolute
    xy positions: the same rule for every task, because ten demos cover relations but not places.

    The reward is shaped, in [0, 1]; `info["is_success"]`; `terminated` once success has held for five steps, unless
    `terminate_on_success=False`. Time limits come from Gymnasium as `truncated`.

    `pictures="fast"` draws by compiled code of our own, from meshes as coarse as their distance allows: at 84 x 84
    28 dB or more from the "reference", which is PyBullet's TinyRenderer; the physics is the same bit for bit.

    `robot="kuka"` puts KUKA's LBR iiwa 14 with a Schunk WSG 50 in the Panda's place: the same actions, observations,
    starts and gripper width (8 cm). Demos of one arm replay with it alone.

    Raises:
        LfdError: a control mode, a robot, a rate or a picture quality that does not exist.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}
    camera_names = ("front", "side", "wrist")
    object_count = 1
    gripper_force_n = FINGER_FORCE_N

    def __init__(
        self,
        control: str = "position",
        control_hz: float = 20.0,
        terminate_on_success: bool = True,
        render_mode: str | None = None,
        pictures: str = "reference",
        robot: str = "panda",
    ) -> None:
        if control not in ("position", "pose"):
            raise LfdError(f"control is '{control}', expected 'position' or 'pose'")
        self._substeps = round(PHYSICS_HZ / control_hz)
        if self._substeps < 1 or PHYSICS_HZ % self._substeps or self._substeps * control_hz != PHYSICS_HZ:
            raise LfdError(f"control_hz is {control_hz}, expected a divisor of {PHYSICS_HZ} such as 10, 20 or 40")
        self.control, self.control_hz, self.render_mode = control, float(control_hz), render_mode
        self._arm = arm_named(robot)
        self._joints = (*self._arm.joints, *self._arm.fingers)
        fast = checked(pictures) == "fast"
        self.terminate_on_success = terminate_on_success
        turns = ("drx", "dry", "drz") if control == "pose" else ()
        self.action_names = ("dx", "dy", "dz", *turns, "gripper")
        self.action_scale = np.array([STEP_M] * 3 + [STEP_RAD] * len(turns) + [STEP_WIDTH_M], np.float32)
        self.action_units = ("m",) * 3 + ("rad",) * len(turns) + ("m",)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (len(self.action_names),), np.float32)
        with silent():  # the physics server prints its arguments when it starts
            self._bullet = Client(pybullet.DIRECT)
        self._fast = FastPictures(self._bullet, self._camera, _LIGHT) if fast else None
        self._build()
        self._place(self._start_state(np.random.default_rng(0)))
        self.observation_space = gym.spaces.Dict(
            {k: gym.spaces.Box(-np.inf, np.inf, v.shape, np.float32) for k, v in self._observe().items()}
        )

    # What a task says

    policy_keys: tuple[str, ...] = ("eef_height", "eef_vel", "gripper_width", "gripper_vel")
    proprio_keys: tuple[str, ...] = ("eef_height", "eef_vel", "gripper_width", "gripper_vel")

    @abstractmethod
    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns the poses of the objects, each (7,), and the target position (3,) of a new episode."""

    @abstractmethod
    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the task's own observations, given those of the arm and of the objects."""

    @abstractmethod
    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        """Returns the shaped reward in [0, 1] and whether the task is solved at this instant."""

    # Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Draws a new start from the seed, or goes to `options["sim_state"]`."""
        super().reset(seed=seed)
        recorded = (options or {}).get("sim_state")
        if recorded is None:
            self._place(self._start_state(self.np_random))
        else:
            self._check_recorded((options or {}).get("model"), np.asarray(recorded))
            self._place(np.asarray(recorded, np.float64))
        return self._observe(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Moves the goal by `action` (A,), steps the physics, returns the usual five."""
        self._placed = None
        self._steer(np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        for _ in range(self._substeps):
            self._bullet.stepSimulation()
        self._ticks += 1
        obs = self._observe()
        reward, solved = self._reward_and_success(obs)
        self._held = self._held + 1 if solved else 0
        success = self._held >= HOLD_STEPS
        return obs, reward, success and self.terminate_on_success, False, {"is_success": success}

    def close(self) -> None:
        """Ends the physics server."""
        if self._bullet is not None and self._bullet._client >= 0:
            self._bullet.disconnect()
            self._bullet._client = -1

    def render(self) -> np.ndarray | None:
        """Returns the main camera's picture, (256, 256, 3) uint8, when render_mode is "rgb_array"."""
        return self.render_camera(self.camera_names[0], 256, 256) if self.render_mode == "rgb_array" else None

    # The arm contract

    def sim_state(self) -> np.ndarray:
        """Returns [ticks, held, goal position 3, goal quaternion 4, goal width, target 3, q 9, qd 9, 13 an object]."""
        if self._placed is not None:  # what Bullet gives back differs from what it was given by rounding
            return self._placed.copy()
        joints = self._bullet.getJointStates(self._robot, self._joints)
        bodies = [self._body_state(b) for b in self._objects]
        head = [self._ticks, self._held, *self._goal_pos, *self._goal_quat, self._goal_width, *self._target]
        return np.array([*head, *(j[0] for j in joints), *(j[1] for j in joints), *np.ravel(bodies)], np.float64)

    @property
    def joint_limits(self) -> np.ndarray:
        """Returns the lowest and highest position of each joint of `joint_pos`, (2, 7) rad."""
        return self._limits[:, :7]

    def model(self) -> str:
        """Returns the world's recipe as JSON; bodies come from pybullet_data and from this module."""
        recipe = {
            "world": f"pybullet-{self._arm.name}",
            "version": 1,
            "task": type(self).__name__,
            "control": self.control,
        }
        return json.dumps({**recipe, "substeps": self._substeps}, sort_keys=True)

    def render_camera(self, camera: str, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of "front", "side" or "wrist", (H, W, 3) uint8 RGB."""
        if camera not in self.camera_names:
            raise LfdError(f"unknown camera '{camera}'; this environment has: {', '.join(self.camera_names)}")
        number = self.camera_names.index(camera)
        if self._fast is not None:
            return self._fast.draw(number, height_px, width_px)
        eye = self._camera(number)
        lens = pybullet.computeProjectionMatrixFOV(eye.angle, width_px / height_px, eye.near, eye.far)
        image = self._bullet.getCameraImage(
            width_px, height_px, eye.matrix, lens, shadow=0, renderer=pybullet.ER_TINY_RENDERER, lightDirection=_LIGHT,
            flags=pybullet.ER_NO_SEGMENTATION_MASK,
        )  # fmt: skip
        return np.ascontiguousarray(np.reshape(image[2], (height_px, width_px, 4))[:, :, :3].astype(np.uint8))

    def _camera(self, number: int) -> Camera:
        """Returns a camera as it is now."""
        camera = self.camera_names[number]
        if camera == "wrist":
            return Camera(self._wrist_view(), 80.0, 0.01, 5.0, fixed=False)
        return Camera(_FIXED_VIEWS[camera], 48.0, 0.1, 5.0, fixed=True)

    def camera_rotation(self, camera: str) -> np.ndarray:
        """Returns how a camera looks now, (3, 3): its right, up and backward directions as columns, in the world."""
        view = self._wrist_view() if camera == "wrist" else _FIXED_VIEWS[camera]
        return np.reshape(view, (4, 4))[:3, :3]

    # The world

    def _build(self) -> None:
        b = self._bullet
        b.resetSimulation()
        b.setAdditionalSearchPath(pybullet_data.getDataPath())
        b.setGravity(0, 0, -9.81)
        b.setPhysicsEngineParameter(numSolverIterations=100, deterministicOverlappingPairs=1)
        b.setTimeStep(1.0 / PHYSICS_HZ)
        floor = b.createVisualShape(pybullet.GEOM_BOX, halfExtents=[6, 6, 0.01], rgbaColor=[0.36, 0.40, 0.45, 1])
        b.createMultiBody(0, -1, floor, [0, 0, -0.7])
        table = b.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[0.4, 0.6, 0.05])
        wood = b.createVisualShape(pybullet.GEOM_BOX, halfExtents=[0.4, 0.6, 0.05], rgbaColor=[0.85, 0.80, 0.72, 1])
        b.createMultiBody(0, table, wood, [0.5, 0, -0.05])
        self._robot: int = b.loadURDF(str(self._arm.urdf()), [self._arm.base_x, 0, 0], useFixedBase=True)
        for finger in self._arm.fingers:
            b.changeDynamics(self._robot, finger, lateralFriction=1.5, spinningFriction=0.01)
        gear = b.createConstraint(
            self._robot,
            self._arm.fingers[0],
            self._robot,
            self._arm.fingers[1],
            pybullet.JOINT_GEAR,
            [1, 0, 0],
            [0, 0, 0],
            [0, 0, 0],
        )
        b.changeConstraint(gear, gearRatio=-1, erp=0.1, maxForce=50)
        self._limits = np.array([b.getJointInfo(self._robot, j)[8:10] for j in self._joints]).T  # (2, 9)
        self._objects: list[int] = []
        self._marker = self._make_mark()
        self._pristine: int = b.saveState()

    def _make_mark(self) -> int:
        """Returns the new body that shows where the target is."""
        ball = self._bullet.createVisualShape(pybullet.GEOM_SPHERE, radius=0.015, rgbaColor=[*MARK_COLOUR, 0.9])
        return self._bullet.createMultiBody(0, -1, ball, [0, 0, -1])

    def _add_box(self, colour: list[float]) -> int:
        b, half = self._bullet, [BOX_HALF_M] * 3
        shape = b.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half)
        look = b.createVisualShape(pybullet.GEOM_BOX, halfExtents=half, rgbaColor=colour)
        body: int = b.createMultiBody(0.05, shape, look, [0.5, 0, BOX_HALF_M])
        b.changeDynamics(body, -1, lateralFriction=1.0, spinningFriction=0.005, rollingFriction=0.0001)
        return body

    def _start_state(self, rng: np.random.Generator) -> np.ndarray:
        """Draws the first sim_state: the arm near home, objects and target as the task says."""
        poses, target = self._draw_task(rng)
        joints = np.concatenate([self._arm.home + rng.normal(0.0, 0.02, 7), [self.start_width / 2] * 2])
        self._set_joints(joints, np.zeros(9))
        goal, _ = self._grasp_pose()
        bodies = [np.concatenate([pose, np.zeros(6)]) for pose in poses]
        head = [0, 0, *goal, *POINTING_DOWN, self.start_width, *target]
        return np.concatenate([head, joints, np.zeros(9), *bodies]).astype(np.float64)

    start_width: float = MAX_WIDTH

    def _place(self, state: np.ndarray) -> None:
        """Makes `state` the world's state; every episode begins here, drawn or recorded, so that both are one."""
        self._placed: np.ndarray | None = np.array(state, np.float64)
        for body in self._objects:  # new bodies have no contact history: only so are episodes exact
            self._bullet.removeBody(body)
        self._bullet.restoreState(self._pristine)
        self._objects = [self._add_box(_COLOURS[i]) for i in range(self.object_count)]
        self._ticks, self._held = int(state[0]), int(state[1])
        self._goal_pos, self._goal_quat = state[2:5].copy(), state[5:9].copy()
        self._goal_width, self._target = float(state[9]), state[10:13].copy()
        self._set_joints(state[13:22], state[22:31])
        for body, s in zip(self._objects, state[31:].reshape(-1, _BODY), strict=True):
            self._bullet.resetBasePositionAndOrientation(body, s[:3], s[3:7])
            self._bullet.resetBaseVelocity(body, s[7:10], s[10:13])
        self._bullet.resetBasePositionAndOrientation(self._marker, self._target, [0, 0, 0, 1])

    def _check_recorded(self, model: str | None, state: np.ndarray) -> None:
        if model and json.loads(model) != json.loads(self.model()):
            raise LfdError(f"the recorded world is {model}, but this environment builds {self.model()}")
        size = 31 + _BODY * self.object_count
        if state.shape != (size,) or not np.isfinite(state).all():
            raise LfdError(f"recorded sim_state has shape {state.shape}, expected ({size},) finite numbers")

    def _set_joints(self, q: np.ndarray, qd: np.ndarray) -> None:
        for joint, position, velocity in zip(self._joints, q, qd, strict=True):
            self._bullet.resetJointState(self._robot, joint, position, velocity)

    def _body_state(self, body: int) -> np.ndarray:
        pose, twist = self._bullet.getBasePositionAndOrientation(body), self._bullet.getBaseVelocity(body)
        return np.concatenate([*pose, *twist])

    def _touched(self, body: int) -> bool:
        """Whether the arm touched a body in the last physics step."""
        return any(contact[8] <= 0.0 for contact in self._bullet.getContactPoints(self._robot, body))

    def _grasp_pose(self) -> tuple[np.ndarray, np.ndarray]:
        link = self._bullet.getLinkState(self._robot, self._arm.grasp, computeForwardKinematics=1)
        return np.array(link[4]), np.array(link[5])

    # Driving

    def _steer(self, action: np.ndarray) -> None:
        """Moves the goal pose by the action and sets the motors to it."""
        position, quat = self._grasp_pose()
        goal = self._goal_pos + action[:3] * STEP_M
        goal = np.clip(goal, position - LEAD_M, position + LEAD_M)
        self._goal_pos = np.clip(goal, WORKSPACE[0], WORKSPACE[1])
        if self.control == "pose":
            self._goal_quat = _turned(self._goal_quat, action[3:6] * STEP_RAD, quat)
        self._goal_width = float(np.clip(self._goal_width - action[-1] * STEP_WIDTH_M, 0.0, MAX_WIDTH))
        joints = self._inverse_kinematics()
        b, half = self._bullet, self._goal_width / 2
        b.setJointMotorControlArray(
            self._robot, self._arm.joints, pybullet.POSITION_CONTROL, targetPositions=joints, forces=self._arm.forces,
            positionGains=[0.3] * 7, velocityGains=[1.0] * 7,
        )  # fmt: skip
        b.setJointMotorControlArray(
            self._robot,
            self._arm.fingers,
            pybullet.POSITION_CONTROL,
            targetPositions=[half, half],
            forces=[FINGER_FORCE_N] * 2,
        )

    def _inverse_kinematics(self) -> list[float]:
        low, high = self._limits
        joints = self._bullet.calculateInverseKinematics(
            self._robot, self._arm.grasp, self._goal_pos.tolist(), self._goal_quat.tolist(),
            lowerLimits=low.tolist(), upperLimits=high.tolist(), jointRanges=(high - low).tolist(),
            restPoses=[*self._arm.home.tolist(), 0.04, 0.04],
            maxNumIterations=50, residualThreshold=1e-5,
        )  # fmt: skip
        return list(joints[:7])

    # Looking

    def _observe(self) -> dict[str, np.ndarray]:
        states = self._bullet.getJointStates(self._robot, self._joints)
        q, qd = np.array([s[0] for s in states]), np.array([s[1] for s in states])
        link = self._bullet.getLinkState(
            self._robot, self._arm.grasp, computeLinkVelocity=1, computeForwardKinematics=1
        )
        eef = np.array(link[4])
        obs = {
            "eef_pos": eef,
            "eef_vel": np.array(link[6]),
            "eef_height": eef[2:],
            "gripper_width": np.array([q[7] + q[8]]),
            "gripper_vel": np.array([qd[7] + qd[8]]),
            "joint_pos": q[:7],
            "joint_vel": qd[:7],
            "target_pos": self._target,
        }
        if self.control == "pose":
            rotation = np.reshape(pybullet.getMatrixFromQuaternion(link[5]), (3, 3))
            obs["eef_rot"] = rotation[:, :2].T.reshape(6)
        if self._objects:
            s = self._body_state(self._objects[0])
            obs |= {"object_pos": s[:3], "object_quat": s[3:7], "object_vel": s[7:10]}
            obs |= {"object_rel": s[:3] - eef, "object_height": s[2:3] - BOX_HALF_M}
        obs |= self._task_features(obs)
        return {k: np.asarray(v, np.float32) for k, v in obs.items()}

    def _wrist_view(self) -> list[float]:
        position, quat = self._grasp_pose()
        rotation = np.reshape(pybullet.getMatrixFromQuaternion(quat), (3, 3))
        forward, back = self._arm.eye
        eye = position + back * rotation[:, 2] + forward * rotation[:, 0]
        return pybullet.computeViewMatrix(eye, position + 0.03 * rotation[:, 2], rotation[:, 0])


def _turned(goal: np.ndarray, turn: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Returns the goal quaternion turned by a rotation vector about world axes, at most LEAD_RAD ahead of `now`."""
    angle = float(np.linalg.norm(turn))
    if angle > 0:
        step = pybullet.getQuaternionFromAxisAngle((turn / angle).tolist(), angle)
        goal = np.array(pybullet.multiplyTransforms([0, 0, 0], step, [0, 0, 0], goal)[1])
    ahead = 2 * np.arccos(min(1.0, abs(float(goal @ now))))
    if ahead > LEAD_RAD:
        goal = np.array(pybullet.getQuaternionSlerp(now, goal, LEAD_RAD / ahead))
    return goal


_COLOURS = [[0.84, 0.37, 0.0, 1], [0.0, 0.45, 0.70, 1]]  # vermillion, blue: apart for colour-blind eyes too
_LIGHT = (0.5, -0.4, 1.0)  # towards it
_FIXED_VIEWS = {
    "front": pybullet.computeViewMatrix([1.25, 0.0, 0.68], [0.45, 0.0, 0.15], [0, 0, 1]),
    "side": pybullet.computeViewMatrix([0.5, -1.0, 0.50], [0.45, 0.0, 0.14], [0, 0, 1]),
}
