"""robosuite's own rewards and success checks, with what they look up by name looked up once."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from robosuite.models.base import MujocoModel
from robosuite.models.grippers.gripper_model import GripperModel

from robot_lfd.envs.robosuite_stages import judge_of

_REPLACED = (
    "_check_success", "staged_rewards", "check_contact", "_check_grasp", "_gripper_to_target", "_get_wipe_information"
)  # fmt: skip


class Reward:
    """Computes reward and success of one robosuite environment after a control step: the same numbers, sooner.

    Those of the tasks that `robosuite_stages` knows are computed there. Elsewhere the reward stays robosuite's code.
    What it asks its environment (is this grasped, do these touch, how far is the hand) is answered from numbers of
    geoms, sites and bodies instead of from their names, and `_check_success` and `staged_rewards`, which reward and
    success both ask for, are computed once a step.

    A world that is compiled anew needs a new one.
    """

    def __init__(self, env: Any) -> None:
        self._env, self._model, self._data = env, env.sim.model._model, env.sim.data._data
        self._known: dict[str, Any] | None = None  # what was computed in the read that goes on
        self._groups: dict[Any, frozenset[int]] = {}
        self._hands: dict[int, tuple[GripperModel, str, Any, Any]] = {}
        self._places: dict[tuple[str, str], np.ndarray] = {}
        self._spots: dict[int, np.ndarray] = {}  # of Wipe's markers, which live as long as the world
        for name in _REPLACED:
            env.__dict__.pop(name, None)  # what another world left
        env._check_success = self._once("success", env._check_success)
        if hasattr(env, "staged_rewards"):
            env.staged_rewards = self._once("stages", env.staged_rewards)
        env.check_contact = self._touch
        self._slow_grasp, env._check_grasp = env._check_grasp, self._grasp
        self._slow_distance, env._gripper_to_target = env._gripper_to_target, self._distance
        if hasattr(env, "_get_wipe_information"):
            env._get_wipe_information = self._dirt_left
        self._judge = judge_of(env, self._group, env.robots[0].gripper[env.robots[0].arms[0]])

    def prepare(self) -> None:
        """Compiles what there is to compile."""
        if self._judge:
            self._judge()

    def read(self, action: np.ndarray) -> tuple[float, bool]:
        """Returns the reward and whether the task is solved, in the state of now."""
        if self._judge:
            return self._judge()
        self._known = {}
        try:
            reward, _, _ = self._env._post_action(action)
            return reward, bool(self._env._check_success())
        finally:
            self._known = None

    def _once(self, name: str, compute: Callable[[], Any]) -> Callable[[], Any]:
        def read() -> Any:
            if self._known is None:
                return compute()
            if name not in self._known:
                self._known[name] = compute()
            return self._known[name]

        return read

    def _contacts(self) -> list[list[int]]:
        if self._known is None:
            return self._data.contact.geom.tolist()
        if "contacts" not in self._known:
            self._known["contacts"] = self._data.contact.geom.tolist()
        return self._known["contacts"]

    def _group(self, geoms: Any) -> frozenset[int]:
        """Returns the numbers of geoms that are given as a model, a name or a list of names."""
        key = id(geoms) if isinstance(geoms, MujocoModel) else geoms if isinstance(geoms, str) else tuple(geoms)
        if key not in self._groups:
            names = geoms.contact_geoms if isinstance(geoms, MujocoModel) else [geoms] if key == geoms else geoms
            numbers = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
            self._groups[key] = frozenset(n for n in numbers if n >= 0)
        return self._groups[key]

    def _touch(self, geoms_1: Any, geoms_2: Any = None) -> bool:
        """Returns what robosuite's check_contact returns."""
        one = self._group(geoms_1)
        other = None if geoms_2 is None else self._group(geoms_2)
        for a, b in self._contacts():
            if (a in one and (other is None or b in other)) or (b in one and (other is None or a in other)):
                return True
        return False

    def _grasp(self, gripper: Any, object_geoms: Any) -> bool:
        """Returns what robosuite's _check_grasp returns, for the arm's own gripper."""
        if isinstance(gripper, dict):
            return any([self._grasp(each, object_geoms) for each in gripper.values()])
        if not isinstance(gripper, GripperModel):
            return self._slow_grasp(gripper, object_geoms)
        _, _, left, right = self._hand(gripper)
        return self._touch(left, object_geoms) and self._touch(right, object_geoms)

    def _distance(self, gripper: Any, target: Any, target_type: str = "body", return_distance: bool = False) -> Any:
        """Returns what robosuite's _gripper_to_target returns, for the arm's own gripper."""
        if isinstance(gripper, dict) and len(gripper) == 1:
            gripper = next(iter(gripper.values()))
        if not isinstance(gripper, GripperModel):
            return self._slow_distance(gripper, target, target_type, return_distance)
        if isinstance(target, MujocoModel):
            target, target_type = target.root_body, "body"
        away = self._place(target_type, target) - self._place("site", self._hand(gripper)[1])
        return np.linalg.norm(away) if return_distance else away

    def _dirt_left(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Returns what Wipe's _get_wipe_information returns: radius and middle of the dirt, and where from the hand."""
        env, robot = self._env, self._env.robots[0]
        wiped = {id(marker) for marker in env.wiped_markers}
        left = [m for m in env.model.mujoco_arena.markers if id(m) not in wiped]
        if not left:
            return 0, np.zeros(3), np.zeros(3)
        spots = np.array([self._spot(m) for m in left])
        middle = spots.sum(0) / len(left)
        away = middle - self._data.site_xpos[robot.eef_site_id[robot.arms[0]]]
        return np.max(np.linalg.norm(spots - middle, axis=1)), middle, away

    def _spot(self, marker: Any) -> np.ndarray:
        if id(marker) not in self._spots:
            self._spots[id(marker)] = self._place("body", marker.root_body)
        return self._spots[id(marker)]

    def _hand(self, gripper: GripperModel) -> tuple[GripperModel, str, Any, Any]:
        """Returns the gripper (kept, so that its id stays its own), its grip site and its two finger pads."""
        if id(gripper) not in self._hands:
            geoms: Any = gripper.important_geoms
            sites: Any = gripper.important_sites
            pads = geoms["left_fingerpad"], geoms["right_fingerpad"]
            self._hands[id(gripper)] = gripper, sites["grip_site"], *pads
        return self._hands[id(gripper)]

    def _place(self, kind: str, name: str) -> np.ndarray:
        """Returns where a body, site or geom is, as a view of MuJoCo's array."""
        if (kind, name) not in self._places:
            model, data = self._env.sim.model, self._data
            number = getattr(model, f"{kind}_name2id")(name)
            self._places[kind, name] = {"body": data.xpos, "site": data.site_xpos, "geom": data.geom_xpos}[kind][number]
        return self._places[kind, name]
