"""Rewards of robosuite's tasks from a few numbers that one compiled call gathers: robosuite's own, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from robot_lfd.envs import numpy_blas
from robot_lfd.envs.kept import Kept
from robot_lfd.envs.robosuite_reading import BODY, SITE, Point
from robot_lfd.envs.robosuite_things import body_of, site_of

Judge = Callable[[], tuple[float, bool]]  # returns the reward and whether the task is solved, now
Looks = tuple[list[float], list[list[float]], list[bool]]  # distances, positions, answers
Group = Callable[[Any], frozenset[int]]  # returns the numbers of geoms given as a model, a name or names


class _Asked(NamedTuple):
    """MuJoCo's arrays, and what to gather from them.

    Attributes:
        ways: (D, 5) where each distance begins and ends, and in how many coordinates. bodies: (B,) whose positions.
        blas: addresses of numpy's BLAS.
        member: (ngeom,) a bit for each group of geoms that one belongs to. touches: (T, 2) the bits of two groups.
    """

    xpos: np.ndarray
    site_xpos: np.ndarray
    ways: np.ndarray
    bodies: np.ndarray
    blas: np.ndarray
    member: np.ndarray
    touches: np.ndarray


class Facts:
    """Gathers what a reward asks for: distances, positions, what touches what.

    Args:
        group: looks the geoms of a model up.
        gripper: robosuite's model of the hand.
    """

    def __init__(self, env: Any, group: Group, gripper: Any) -> None:
        self._model, self._data, self._group = env.sim.model._model, env.sim.data._data, group
        sites, pads = gripper.important_sites, gripper.important_geoms
        self.grip = site_of(env, sites["grip_site"])
        self.hand = Point(SITE, int(env.robots[0].eef_site_id[env.robots[0].arms[0]]))
        self._pads = [pads["left_fingerpad"], pads["right_fingerpad"]]
        self._ways: list[list[int]] = []
        self._bodies: list[int] = []
        self._groups: list[frozenset[int]] = []
        self._touches: list[tuple[int, int]] = []
        self._kept: Kept | None = None

    def distance(self, start: Point, end: Point, coordinates: int = 3) -> int:
        """Asks for a distance; returns which number it is."""
        self._ways.append([start.of, start.number, end.of, end.number, coordinates])
        return len(self._ways) - 1

    def position(self, body: int) -> int:
        """Asks where a body is; returns which position it is."""
        self._bodies.append(body)
        return len(self._bodies) - 1

    def touch(self, one: Any, other: Any) -> int:
        """Asks whether two groups of geoms touch; returns which answer it is."""
        self._touches.append((self._bit(one), self._bit(other)))
        return len(self._touches) - 1

    def grasp(self, geoms: Any) -> tuple[int, int]:
        """Asks whether both finger pads touch some geoms; returns which answers they are."""
        left, right = (self.touch(pad, geoms) for pad in self._pads)
        return left, right

    def _bit(self, geoms: Any) -> int:
        numbers = self._group(geoms)
        if numbers not in self._groups:
            self._groups.append(numbers)
        return 1 << self._groups.index(numbers)

    def look(self) -> Looks:
        """Returns the distances, the positions (x, y, z) and the answers, as they are now."""
        if self._kept is None:
            self._keep()
        _gather(self._kept, self._data.contact.geom, self._distances, self._positions, self._answers)
        return self._distances.tolist(), self._positions.tolist(), self._answers.tolist()

    def _keep(self) -> None:
        member = np.zeros(self._model.ngeom, np.intp)
        for bit, numbers in enumerate(self._groups):
            member[list(numbers)] |= 1 << bit
        ways, touches = np.array(self._ways, np.intp), np.array(self._touches, np.intp).reshape(-1, 2)
        bodies = np.array(self._bodies, np.intp)
        asked = _Asked(self._data.xpos, self._data.site_xpos, ways, bodies, numpy_blas.addresses(), member, touches)
        self._kept = Kept(asked)
        self._distances, self._positions = np.zeros(len(ways)), np.zeros((len(bodies), 3))
        self._answers = np.zeros(len(touches), np.bool_)


@njit(cache=True, nogil=True)
def _gather(kept, contacts, distances, positions, answers):
    """Writes distances (D,), positions (B, 3) and answers (T,); `contacts` (C, 2) are the geoms that touch."""
    s = kept.what
    for i in range(len(distances)):
        start, end = s.ways[i, 1], s.ways[i, 3]
        way = (s.xpos[end] if s.ways[i, 2] == BODY else s.site_xpos[end]) - (
            s.xpos[start] if s.ways[i, 0] == BODY else s.site_xpos[start]
        )
        distances[i] = numpy_blas.norm(s.blas, way[: s.ways[i, 4]])
    for i in range(len(positions)):
        positions[i] = s.xpos[s.bodies[i]]
    answers[:] = False
    for c in range(len(contacts)):
        a, b = s.member[contacts[c, 0]], s.member[contacts[c, 1]]
        if a == 0 or b == 0:
            continue
        for i in range(len(answers)):
            one, other = s.touches[i, 0], s.touches[i, 1]
            if (a & one and b & other) or (b & one and a & other):
                answers[i] = True


def judge_of(env: Any, group: Group, gripper: Any) -> Judge | None:
    """Returns a task's shaped reward and success; None where robosuite's own code has to be asked."""
    make = _JUDGES.get(type(env).reward.__qualname__)
    if make is None or not env.reward_shaping or env.reward_scale is None:
        return None
    return make(env, Facts(env, group, gripper))


def _near(distance: float, steepness: float = 10.0) -> float:
    """Returns 1 where a distance is nought, and less the farther; numpy's tanh, as robosuite takes it."""
    return 1 - np.tanh(steepness * distance)


def _lift(env: Any, facts: Facts) -> Judge:
    facts.distance(facts.grip, body_of(env, env.cube.root_body))
    facts.position(env.cube_body_id)
    facts.grasp(env.cube)
    high, scale = env.model.mujoco_arena.table_offset[2] + 0.04, env.reward_scale / 2.25

    def judge() -> tuple[float, bool]:
        (away,), (cube,), grasped = facts.look()
        if cube[2] > high:
            return 2.25 * scale, True
        return (_near(away) + (0.25 if all(grasped) else 0.0)) * scale, False

    return judge


def _stack(env: Any, facts: Facts) -> Judge:
    upper, lower = Point(BODY, env.cubeA_body_id), Point(BODY, env.cubeB_body_id)
    facts.distance(facts.hand, upper)
    facts.distance(lower, upper, coordinates=2)
    facts.position(upper.number)
    facts.grasp(env.cubeA)
    facts.touch(env.cubeA, env.cubeB)
    high, scale = env.table_offset[2] + 0.04, env.reward_scale / 2.0

    def judge() -> tuple[float, bool]:
        (away, aside), (cube,), (left, right, touching) = facts.look()
        grasped, lifted = left and right, cube[2] > high
        reach = _near(away) * 0.25 + (0.25 if grasped else 0.0)
        lift = 1.0 + 0.5 * _near(aside, 1.0) if lifted else 0.0
        stacked = not grasped and lifted and touching
        return max(reach, lift, 2.0 if stacked else 0) * scale, stacked

    return judge


def _door(env: Any, facts: Facts) -> Judge:
    facts.distance(facts.hand, Point(SITE, env.door_handle_site_id))
    qpos = env.sim.data._data.qpos

    def judge() -> tuple[float, bool]:
        (away,), _, _ = facts.look()
        if qpos[env.hinge_qpos_addr] > 0.3:
            return 1.0 * env.reward_scale, True
        reward = 0.25 * _near(math.sqrt(away * away))  # robosuite takes the norm of a norm
        if env.use_latch:
            reward += min(0.25 * abs(qpos[env.handle_qpos_addr] / (0.5 * np.pi)), 0.25)
        return reward * env.reward_scale, False

    return judge


_REACH, _GRASP, _LIFT, _HOVER = 0.1, 0.35, 0.5, 0.7  # robosuite's, where things are to be carried


class _Carried(NamedTuple):
    """A thing that is to be carried.

    Attributes:
        body: its number. handle: where it is reached for. geoms: what of it is grasped.
        placed: whether it is where it should be, given the looks of Facts.
        hover: what it is worth that it hovers there, given them and what lifting it is worth.
    """

    body: int
    handle: Point
    geoms: Any
    placed: Callable[[Looks], bool]
    hover: Callable[[Looks, float], float]


def _carry(env: Any, facts: Facts, things: list[_Carried], lifted_z: Callable[[Looks], float]) -> Judge:
    """Returns the judge of a task in which things are reached, grasped, lifted and carried to their places."""
    each, alone = range(len(things)), env.single_object_mode != 0
    reaches = [facts.distance(facts.grip, thing.handle) for thing in things]
    hands = [facts.distance(facts.hand, Point(BODY, thing.body)) for thing in things]
    places = [facts.position(thing.body) for thing in things]
    pads = [facts.grasp(thing.geoms) for thing in things]
    scale = env.reward_scale if alone else env.reward_scale / len(things)

    def judge() -> tuple[float, bool]:
        seen = distances, positions, touched = facts.look()
        done = [thing.placed(seen) and _near(distances[hands[i]]) < 0.6 for i, thing in enumerate(things)]
        active = [i for i in each if not done[i]]
        solved = any(done) if alone else all(done)
        if not active:
            return float(len(things)) * scale, solved
        reach = _near(min(distances[reaches[i]] for i in active)) * _REACH
        held = any(touched[pads[i][0]] for i in active) and any(touched[pads[i][1]] for i in active)
        lift = 0.0
        if held:
            below = min(lifted_z(seen) - positions[places[i]][2] for i in active)
            lift = _GRASP + _near(max(below, 0.0), 15.0) * (_LIFT - _GRASP)
        hover = max(things[i].hover(seen, lift) for i in active)
        return (len(things) - len(active) + max(reach, _GRASP if held else 0.0, lift, hover)) * scale, solved

    return judge


def _nut_assembly(env: Any, facts: Facts) -> Judge:
    pegs, low = (env.peg1_body_id, env.peg2_body_id), env.table_offset[2] + 0.05
    table = facts.position(env.table_body_id)

    def carried(i: int, nut: Any) -> _Carried:
        body = env.obj_body_id[nut.name]
        wanted = next(number for name, number in env.nut_to_id.items() if name in nut.name.lower())
        aside = facts.distance(Point(BODY, body), Point(BODY, pegs[wanted]), coordinates=2)
        place, peg = facts.position(body), facts.position(pegs[i])

        def placed(seen: Looks) -> bool:
            (x, y, z), (peg_x, peg_y, _) = seen[1][place], seen[1][peg]
            return abs(x - peg_x) < 0.03 and abs(y - peg_y) < 0.03 and z < low

        def hover(seen: Looks, lift: float) -> float:
            return lift + _near(seen[0][aside]) * (_HOVER - _LIFT)

        handle = site_of(env, nut.important_sites["handle"])
        return _Carried(body, handle, nut, placed, hover)

    return _carry(env, facts, [carried(i, nut) for i, nut in enumerate(env.nuts)], lambda seen: seen[1][table][2] + 0.2)


def _pick_place(env: Any, facts: Facts) -> Judge:
    corner, size, lifted_z = [float(v) for v in env.bin2_pos], env.bin_size, env.bin2_pos[2] + 0.25

    def carried(i: int, thing: Any) -> _Carried:
        body = env.obj_body_id[thing.name]
        place = facts.position(body)
        low_x = corner[0] - size[0] / 2 if i in (0, 2) else corner[0]
        low_y = corner[1] - size[1] / 2 if i < 2 else corner[1]
        high_x, high_y = low_x + size[0] / 2, low_y + size[1] / 2
        spot_x, spot_y, _ = env.target_bin_placements[env.object_to_id[thing.name.lower()]].tolist()

        def placed(seen: Looks) -> bool:
            x, y, z = seen[1][place]
            return low_x < x < high_x and low_y < y < high_y and corner[2] < z < corner[2] + 0.1

        def hover(seen: Looks, lift: float) -> float:
            x, y, _ = seen[1][place]
            above = abs(x - spot_x) < size[0] / 4.0 and abs(y - spot_y) < size[1] / 4.0
            aside = math.sqrt((spot_x - x) * (spot_x - x) + (spot_y - y) * (spot_y - y))
            return (_LIFT if above else lift) + _near(aside) * (_HOVER - _LIFT)

        handle = body_of(env, thing.root_body)
        return _Carried(body, handle, thing, placed, hover)

    return _carry(env, facts, [carried(i, thing) for i, thing in enumerate(env.objects)], lambda _: lifted_z)


_JUDGES = {
    "Lift.reward": _lift,
    "Stack.reward": _stack,
    "Door.reward": _door,
    "NutAssembly.reward": _nut_assembly,
    "PickPlace.reward": _pick_place,
}
