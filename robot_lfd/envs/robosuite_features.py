"""RobosuiteFeatures: the named observations of a robosuite task, read from the simulation after a step."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from robot_lfd.envs.robosuite_reading import BODY, INERTIA, SITE, Point, Readings
from robot_lfd.envs.robosuite_things import Thing, family_of, kind_of, table_height, things_of

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
        self._hand = Point(SITE, int(robot.eef_site_id[arm]))
        self._joint_pos = np.array(robot._ref_joint_pos_indexes)
        self._joint_vel = np.array(robot._ref_joint_vel_indexes)
        self._gripper = _Gripper(env) if robot.gripper[arm].dof else None
        self._table = table_height(env)
        self._family = family_of(env)
        self.select()

    def select(self) -> None:
        """Chooses the things of the episode that begins now."""
        self._things = things_of(self._env)
        self._kind = kind_of(self._env)
        self._readings = self._listed()

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
        return self._readings.read()

    def _listed(self) -> Readings:
        seen, hand = Readings(self._model, self._data, self._table), self._hand
        seen.point("eef_pos", hand)
        seen.columns("eef_rot", hand)
        seen.velocity("eef_vel", hand, int(self._model.site_bodyid[hand.number]))
        seen.height("eef_height", hand)
        seen.positions("joint_pos", self._joint_pos)
        seen.velocities("joint_vel", self._joint_vel)
        if self._gripper:
            self._gripper.list(seen)
        for thing in self._things:
            self._list_thing(seen, thing)
        self._list_task(seen)
        return seen

    def _list_thing(self, seen: Readings, thing: Thing) -> None:
        key, hand = thing.key, self._hand
        seen.point(f"{key}_pos", thing.centre)
        seen.between(f"{key}_rel", hand, thing.centre)
        seen.height(f"{key}_height", thing.centre)
        if thing.place:
            seen.between(f"{key}_place_rel", hand, thing.place)
        if thing.body is not None:
            own = Point(BODY, thing.body)
            seen.quaternion(f"{key}_quat", thing.body)
            seen.velocity(f"{key}_vel", Point(INERTIA, thing.body), thing.body)
            if thing.quarter_turns:
                seen.yaw(f"{key}_yaw", hand, own)
            else:
                seen.turn(f"{key}_rot_rel", hand, own)
        if thing.target:
            seen.point(f"{_target_key(key)}_pos", thing.target)
            seen.between(f"{_target_key(key)}_rel", thing.tip or thing.centre, thing.target)
        if thing.target_turn and thing.body is not None:
            seen.turn(f"{_target_key(key)}_rot_rel", thing.target_turn, Point(BODY, thing.body))

    def _list_task(self, seen: Readings) -> None:
        env = self._env
        if self._kind is not None:
            seen.constant("object_kind", self._kind)
        if self._family == "Door":
            seen.positions("hinge_angle", [env.hinge_qpos_addr])
            if env.use_latch:
                seen.positions("latch_angle", [env.handle_qpos_addr])
            else:
                seen.constant("latch_angle", [0.0])
        if self._family == "Wipe":
            seen.computed("dirt_left", 1, lambda: 1.0 - len(env.wiped_markers) / env.num_markers)
            seen.computed("eef_force", 3, lambda: env.robots[0].ee_force[env.robots[0].arms[0]])


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

    def list(self, seen: Readings) -> None:
        """Lists width and rate: of two sliding fingers by their joints, of others by the distance of their pads."""
        if self._slides:
            seen.slides("gripper_width", "gripper_vel", self._qpos, self._qvel, self._signs, self._closed)
        elif self._pads:
            seen.computed("gripper_width", 1, self._width)
            seen.pads("gripper_vel", *self._pads)
        else:
            for key in ("gripper_width", "gripper_vel"):
                seen.constant(key, [0.0])

    def _width(self) -> float:
        return mujoco.mj_geomDistance(self._model, self._data, *self._pads, _FAR_M, None)


def _target_key(key: str) -> str:
    return "target" if key == "object" else f"{key}_target"


def _thing_policy_keys(thing: Thing) -> list[str]:
    key = thing.key
    keys = [f"{key}_rel", f"{key}_height"] + ([f"{key}_place_rel"] if thing.place else [])
    if thing.body is not None:
        keys.append(f"{key}_yaw" if thing.quarter_turns else f"{key}_rot_rel")
    keys += [f"{_target_key(key)}_rel"] if thing.target else []
    return keys + ([f"{_target_key(key)}_rot_rel"] if thing.target_turn else [])
