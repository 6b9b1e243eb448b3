"""What there is to look at in each robosuite task: the things, the points that matter on them, where they should go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_lfd.envs.robosuite_reading import BODY, OWN, SITE, Point


@dataclass(frozen=True)
class Thing:
    """One object of a task.

    Attributes:
        key: the prefix of its observations: "object" for the main one.
        body: its body in the model; None where there is no single one (dirt on a table).
        centre: its position. place: where to take hold of it, where that is another point.
        target: where `tip` (the centre, where there is no other) should go. target_turn: what waits there, where the
            thing must be turned to fit it.
        quarter_turns: it looks the same after a quarter turn about any axis (a cube).
    """

    key: str
    body: int | None
    centre: Point
    place: Point | None = None
    tip: Point | None = None
    target: Point | None = None
    target_turn: Point | None = None
    quarter_turns: bool = False


def things_of(env: Any) -> list[Thing]:
    """Returns the things of a robosuite environment's current episode, the main one first, always in one order."""
    return _FAMILIES[family_of(env)](env)


def family_of(env: Any) -> str:
    """Returns which family of tasks the environment belongs to: PickPlaceCan is a PickPlace."""
    return next(cls.__name__ for cls in type(env).__mro__ if cls.__name__ in _FAMILIES)


def kind_of(env: Any) -> np.ndarray | None:
    """Returns which of several objects this episode is about, one-hot, in tasks that draw one; else None."""
    if getattr(env, "single_object_mode", 0) != 1:
        return None
    nuts = hasattr(env, "nuts")
    return np.eye(len(env.nuts if nuts else env.objects))[env.nut_id if nuts else env.object_id]


def table_height(env: Any) -> float:
    """Returns the height of the table's (or first bin's) top in the world, metres."""
    return float(env.bin1_pos[2] if hasattr(env, "bin1_pos") else env.table_offset[2])


def body_of(env: Any, name: str) -> Point:
    """Returns a body by its name in the model."""
    return Point(BODY, env.sim.model.body_name2id(name))


def site_of(env: Any, name: str) -> Point:
    """Returns a site by its name in the model."""
    return Point(SITE, env.sim.model.site_name2id(name))


def _thing(key: str, body: Point, **further: Any) -> Thing:
    return Thing(key, body.number, body, **further)


def _lift(env: Any) -> list[Thing]:
    return [_thing("object", body_of(env, env.cube.root_body), quarter_turns=True)]


def _stack(env: Any) -> list[Thing]:
    lower = body_of(env, env.cubeB.root_body)
    return [_thing("object", body_of(env, env.cubeA.root_body), target=lower, quarter_turns=True)]


def _nut_assembly(env: Any) -> list[Thing]:
    def nut(i: int, key: str) -> Thing:
        handle, peg = site_of(env, env.nuts[i].important_sites["handle"]), body_of(env, f"peg{i + 1}")
        return _thing(key, body_of(env, env.nuts[i].root_body), place=handle, target=peg, target_turn=peg)

    if env.single_object_mode:
        return [nut(env.nut_id, "object")]
    return [nut(0, "object"), nut(1, "round_nut")]


def _pick_place(env: Any) -> list[Thing]:
    def item(i: int, key: str) -> Thing:
        spot = Point(OWN, fixed=np.array(env.target_bin_placements[i]))
        return _thing(key, body_of(env, env.objects[i].root_body), target=spot)

    if env.single_object_mode:
        return [item(env.object_id, "object")]
    names = ("object", *(o.name.lower() for o in env.objects[1:]))
    return [item(i, name) for i, name in enumerate(names)]


_OPEN_RAD = 0.35  # the task counts the door as open beyond 0.3


def _door(env: Any) -> list[Thing]:
    sim, data = env.sim, env.sim.data._data
    hinge = sim.model.joint_name2id(env.door.joints[0])
    handle = site_of(env, env.door.important_sites["handle"])

    def handle_when_open() -> list[float]:
        angle = max(_OPEN_RAD - float(data.qpos[env.hinge_qpos_addr]), 0.0)
        anchor, now = data.xanchor[hinge].tolist(), data.site_xpos[handle.number].tolist()
        arm = _turned([now[i] - anchor[i] for i in range(3)], data.xaxis[hinge].tolist(), angle)
        return [anchor[i] + arm[i] for i in range(3)]

    latch = body_of(env, env.door.latch_body)
    return [Thing("object", latch.number, handle, target=Point(OWN, compute=handle_when_open))]


def _turned(arm: list[float], axis: list[float], angle: float) -> list[float]:
    """Returns a way (3,) turned about an axis: numbers alone take a tenth of the time of arrays of three."""
    (x, y, z), (u, v, w) = arm, axis
    cos, sin, along = math.cos(angle), math.sin(angle), u * x + v * y + w * z
    across = (v * z - w * y, w * x - u * z, u * y - v * x)
    return [axis[i] * along * (1 - cos) + arm[i] * cos + across[i] * sin for i in range(3)]


def _wipe(env: Any) -> list[Thing]:
    markers = env.model.mujoco_arena.markers
    spots = np.array([env.sim.data._data.xpos[env.sim.model.body_name2id(m.root_body)] for m in markers])
    number = {m.name: i for i, m in enumerate(markers)}

    def dirt() -> np.ndarray:
        left = np.ones(len(markers), bool)
        left[[number[m.name] for m in env.wiped_markers]] = False
        return spots[left]

    def centre() -> np.ndarray:
        return dirt().mean(0) if len(dirt()) else spots.mean(0)

    def nearest() -> np.ndarray:
        hand = env.sim.data._data.site_xpos[env.robots[0].eef_site_id[env.robots[0].arms[0]]]
        left = dirt() if len(dirt()) else spots
        return left[np.argmin(((left - hand) ** 2).sum(1))]

    return [Thing("object", None, Point(OWN, compute=centre), place=Point(OWN, compute=nearest))]


def _tool_hang(env: Any) -> list[Thing]:
    frame, tool = body_of(env, env.frame.root_body), body_of(env, env.tool.root_body)
    stand, hook = site_of(env, "stand_mount_site"), site_of(env, "frame_hang_site")
    return [
        _thing("object", frame, tip=site_of(env, "frame_tip_site"), target=stand, target_turn=stand),
        _thing("tool", tool, tip=site_of(env, "tool_hole1_center"), target=hook, target_turn=hook),
    ]


_FAMILIES = {
    "Lift": _lift,
    "Stack": _stack,
    "NutAssembly": _nut_assembly,
    "PickPlace": _pick_place,
    "Door": _door,
    "Wipe": _wipe,
    "ToolHang": _tool_hang,
}
