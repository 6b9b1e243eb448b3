"""RobosuiteFeatures: the named observations of a robosuite task, read from the simulation after a step."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from robot_lfd.envs.robosuite_things import Thing, family_of, kind_of, table_height, things_of

_SITE, _BODY = mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_BODY
_FAR_M = 1.0


class RobosuiteFeatures:
    """Reads the observations, each a float32 array, of the world as it is compiled now.

    Positions and velocities are those of the last physics substep's beginning, 2 ms before the step ends, as
    robosuite's own observables sample them; joints are those of the end. One rule says what a policy sees
    (`policy_keys`): relations (object minus gripper, target minus object, the object's orientation seen from the
    gripper, and from the target where it must be turned to fit), heights above the table, velocities, the gripper;
    never a place in the world. The gripper's own
    orientation belongs to it except where all there is are cubes: people hardly turn the hand then, and a feature that
    hardly moves in ten demos only teaches noise (LOG.md, Lift without eef_rot).
    """

    def __init__(self, env: Any) -> None:
        self._env = env
        self._model, self._data = env.sim.model._model, env.sim.data._data
        robot, arm = env.robots[0], env.robots[0].arms[0]
        self._hand = robot.eef_site_id[arm]
        self._joint_pos = np.array(robot._ref_joint_pos_indexes)
        self._joint_vel = np.array(robot._ref_joint_vel_indexes)
        self._gripper = _Gripper(env) if robot.gripper[arm].dof else None
        self._table = table_height(env)
        self._family = family_of(env)
        self._twist = np.zeros(6)
        self.select()

    def select(self) -> None:
        """Chooses the things of the episode that begins now."""
        self._things = things_of(self._env)
        self._kind = kind_of(self._env)

    def policy_keys(self) -> tuple[str, ...]:
        """Returns the observations that a policy sees by default, by the rule above."""
        task = {"Door": ["hinge_angle", "latch_angle"], "Wipe": ["dirt_left", "eef_force"]}.get(self._family, [])
        if self._kind is not None:
            task.append("object_kind")
        return (*self.proprio_keys(), *(key for thing in self._things for key in _thing_policy_keys(thing)), *task)

    def proprio_keys(self) -> tuple[str, ...]:
        """Returns what of it the arm feels of itself: a policy that sees pictures may have that beside them."""
        turning = () if all(thing.quarter_turns for thing in self._things) else ("eef_rot",)
        return (*turning, "eef_height", "eef_vel", *(("gripper_width", "gripper_vel") if self._gripper else ()))

    def read(self) -> dict[str, np.ndarray]:
        """Returns the observations now."""
        data = self._data
        hand, rotation = data.site_xpos[self._hand], data.site_xmat[self._hand].reshape(3, 3)
        obs = {
            "eef_pos": hand,
            "eef_rot": _six(rotation),
            "eef_vel": self._velocity(_SITE, self._hand),
            "eef_height": hand[2:] - self._table,
            "joint_pos": data.qpos[self._joint_pos],
            "joint_vel": data.qvel[self._joint_vel],
        }
        if self._gripper:
            obs["gripper_width"], obs["gripper_vel"] = self._gripper.read()
        for thing in self._things:
            obs.update(self._thing(thing, hand, rotation))
        obs.update(self._task())
        return {key: np.array(value, np.float32) for key, value in obs.items()}

    def _thing(self, thing: Thing, hand: np.ndarray, rotation: np.ndarray) -> dict[str, np.ndarray]:
        key, centre = thing.key, thing.centre()
        obs = {f"{key}_pos": centre, f"{key}_rel": centre - hand, f"{key}_height": centre[2:] - self._table}
        if thing.place:
            obs[f"{key}_place_rel"] = thing.place() - hand
        if thing.body is not None:
            own = self._data.xmat[thing.body].reshape(3, 3)
            obs[f"{key}_quat"] = self._data.xquat[thing.body][[1, 2, 3, 0]]
            obs[f"{key}_vel"] = self._velocity(_BODY, thing.body)
            obs |= _orientation(thing, own, rotation)
        if thing.target:
            target = thing.target()
            obs[f"{_target_key(key)}_pos"] = target
            obs[f"{_target_key(key)}_rel"] = target - (thing.tip() if thing.tip else centre)
        if thing.target_turn and thing.body is not None:
            own = self._data.xmat[thing.body].reshape(3, 3)
            obs[f"{_target_key(key)}_rot_rel"] = _six(thing.target_turn().reshape(3, 3).T @ own)
        return obs

    def _task(self) -> dict[str, Any]:
        env, data = self._env, self._data
        obs: dict[str, Any] = {} if self._kind is None else {"object_kind": self._kind}
        if self._family == "Door":
            latch = [data.qpos[env.handle_qpos_addr]] if env.use_latch else [0.0]
            obs |= {"hinge_angle": [data.qpos[env.hinge_qpos_addr]], "latch_angle": latch}
        if self._family == "Wipe":
            obs["dirt_left"] = [1.0 - len(env.wiped_markers) / env.num_markers]
            obs["eef_force"] = env.robots[0].ee_force[env.robots[0].arms[0]]
        return obs

    def _velocity(self, kind: int, number: int) -> np.ndarray:
        mujoco.mj_objectVelocity(self._model, self._data, kind, number, self._twist, 0)
        return self._twist[3:].copy()


class _Gripper:
    """The opening between the fingers, metres, and its rate, metres per second."""

    def __init__(self, env: Any) -> None:
        self._model, self._data = env.sim.model._model, env.sim.data._data
        gripper = env.robots[0].gripper[env.robots[0].arms[0]]
        joints = [env.sim.model.joint_name2id(name) for name in gripper.joints]
        kinds, ranges = self._model.jnt_type[joints], self._model.jnt_range[joints]
        self._slides = len(joints) == 2 and bool(np.all(kinds == mujoco.mjtJoint.mjJNT_SLIDE))
        self._qpos, self._qvel = self._model.jnt_qposadr[joints], self._model.jnt_dofadr[joints]
        # a finger opens the gap by q or by -q: the side on which most of its range lies says which
        self._signs = np.sign(ranges.sum(1))
        self._closed = float(np.where(self._signs > 0, ranges[:, 0], -ranges[:, 1]).sum())
        self._pads = () if self._slides else self._find_pads(gripper)
        self._twist = np.zeros(6)

    def _find_pads(self, gripper: Any) -> tuple[int, ...]:
        """Returns the first geom of each side's pad, or of the finger that has one by another name (XArm7)."""
        geom = mujoco.mjtObj.mjOBJ_GEOM
        named = [gripper.important_geoms.get(f"{side}_fingerpad") or [""] for side in ("left", "right")]
        pads = [mujoco.mj_name2id(self._model, geom, names[0]) for names in named]
        if min(pads) < 0:
            hinges = [next((j for j in gripper.joints if f"{side}_finger" in j), None) for side in ("left", "right")]
            if None in hinges:
                return ()
            pads = [int(self._model.body(self._model.joint(j).bodyid[0]).geomadr[0]) for j in hinges]
        return tuple(pads)

    def read(self) -> tuple[list[float], list[float]]:
        """Returns width and rate: of two sliding fingers by their joints, of others by the distance of their pads."""
        data = self._data
        if self._slides:
            width = float(self._signs @ data.qpos[self._qpos]) - self._closed
            return [width], [float(self._signs @ data.qvel[self._qvel])]
        if not self._pads:
            return [0.0], [0.0]
        left, right = self._pads
        gap = data.geom_xpos[left] - data.geom_xpos[right]
        rate = float(gap @ (self._speed(left) - self._speed(right))) / max(float(np.linalg.norm(gap)), 1e-6)
        return [mujoco.mj_geomDistance(self._model, data, left, right, _FAR_M, None)], [rate]

    def _speed(self, geom: int) -> np.ndarray:
        mujoco.mj_objectVelocity(self._model, self._data, mujoco.mjtObj.mjOBJ_GEOM, geom, self._twist, 0)
        return self._twist[3:].copy()


def _target_key(key: str) -> str:
    return "target" if key == "object" else f"{key}_target"


def _thing_policy_keys(thing: Thing) -> list[str]:
    key = thing.key
    keys = [f"{key}_rel", f"{key}_height"] + ([f"{key}_place_rel"] if thing.place else [])
    if thing.body is not None:
        keys.append(f"{key}_yaw" if thing.quarter_turns else f"{key}_rot_rel")
    keys += [f"{_target_key(key)}_rel"] if thing.target else []
    return keys + ([f"{_target_key(key)}_rot_rel"] if thing.target_turn else [])


def _orientation(thing: Thing, own: np.ndarray, hand: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the orientation seen from the gripper: two columns of the rotation, or a cube's yaw as cos, sin of 4x."""
    if not thing.quarter_turns:
        return {f"{thing.key}_rot_rel": _six(hand.T @ own)}
    level = int(np.argmin(np.abs(own[2])))  # the cube may have tumbled: any edge that lies level will do
    turn = 4.0 * (np.arctan2(own[1, level], own[0, level]) - np.arctan2(hand[1, 0], hand[0, 0]))
    return {f"{thing.key}_yaw": np.array([np.cos(turn), np.sin(turn)])}


def _six(rotation: np.ndarray) -> np.ndarray:
    """Returns the first two columns of a rotation (3, 3), one after the other, (6,)."""
    return rotation[:, :2].T.reshape(6)
