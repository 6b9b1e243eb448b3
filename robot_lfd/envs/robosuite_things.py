"""What there is to look at in each robosuite task: the things, the points that matter on them, where they should go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = Callable[[], np.ndarray]  # a position now, (3,)


@dataclass(frozen=True)
class Thing:
    """One object of a task.

    Attributes:
        key: the prefix of its observations: "object" for the main one.
        body: its body in the model; None where there is no single one (dirt on a table).
        centre: its position. place: where to take hold of it, where that is another point.
        target: where `tip` (the centre, where there is no other) should go. target_turn: how what waits there stands,
            its rotation as nine numbers, where the thing must be turned to fit.
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


def _body(env: Any, name: str) -> tuple[int, Point]:
    number, data = env.sim.model.body_name2id(name), env.sim.data._data
    return number, lambda: data.xpos[number]


def _site(env: Any, name: str) -> Point:
    number, data = env.sim.model.site_name2id(name), env.sim.data._data
    return lambda: data.site_xpos[number]


def _turn(env: Any, site: str | None = None, body: str | None = None) -> Point:
    """Returns the rotation of a site or body in the world, (9,)."""
    model, data = env.sim.model, env.sim.data._data
    if site is not None:
        number = model.site_name2id(site)
        return lambda: data.site_xmat[number]
    number = model.body_name2id(body)
    return lambda: data.xmat[number]


def _lift(env: Any) -> list[Thing]:
    return [Thing("object", *_body(env, env.cube.root_body), quarter_turns=True)]


def _stack(env: Any) -> list[Thing]:
    _, lower = _body(env, env.cubeB.root_body)
    return [Thing("object", *_body(env, env.cubeA.root_body), target=lower, quarter_turns=True)]


def _nut_assembly(env: Any) -> list[Thing]:
    def nut(i: int, key: str) -> Thing:
        body, centre = _body(env, env.nuts[i].root_body)
        handle = _site(env, env.nuts[i].important_sites["handle"])
        peg = f"peg{i + 1}"
        return Thing(key, body, centre, place=handle, target=_body(env, peg)[1], target_turn=_turn(env, body=peg))

    if env.single_object_mode:
        return [nut(env.nut_id, "object")]
    return [nut(0, "object"), nut(1, "round_nut")]


def _pick_place(env: Any) -> list[Thing]:
    def item(i: int, key: str) -> Thing:
        spot = np.array(env.target_bin_placements[i])
        return Thing(key, *_body(env, env.objects[i].root_body), target=lambda: spot)

    if env.single_object_mode:
        return [item(env.object_id, "object")]
    names = ("object", *(o.name.lower() for o in env.objects[1:]))
    return [item(i, name) for i, name in enumerate(names)]


_OPEN_RAD = 0.35  # the task counts the door as open beyond 0.3


def _door(env: Any) -> list[Thing]:
    sim, data = env.sim, env.sim.data._data
    hinge = sim.model.joint_name2id(env.door.joints[0])
    handle = _site(env, env.door.important_sites["handle"])

    def handle_when_open() -> np.ndarray:
        axis, anchor = data.xaxis[hinge], data.xanchor[hinge]
        angle = max(_OPEN_RAD - float(data.qpos[env.hinge_qpos_addr]), 0.0)
        arm = handle() - anchor
        along = axis * (axis @ arm)
        return anchor + along + (arm - along) * np.cos(angle) + np.cross(axis, arm) * np.sin(angle)

    body, _ = _body(env, env.door.latch_body)
    return [Thing("object", body, handle, target=handle_when_open)]


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

    return [Thing("object", None, centre, place=nearest)]


def _tool_hang(env: Any) -> list[Thing]:
    frame, tool = _body(env, env.frame.root_body), _body(env, env.tool.root_body)
    stand, hook = "stand_mount_site", "frame_hang_site"
    return [
        Thing(
            "object", *frame, tip=_site(env, "frame_tip_site"), target=_site(env, stand),
            target_turn=_turn(env, site=stand),
        ),
        Thing(
            "tool", *tool, tip=_site(env, "tool_hole1_center"), target=_site(env, hook),
            target_turn=_turn(env, site=hook),
        ),
    ]  # fmt: skip


_FAMILIES = {
    "Lift": _lift,
    "Stack": _stack,
    "NutAssembly": _nut_assembly,
    "PickPlace": _pick_place,
    "Door": _door,
    "Wipe": _wipe,
    "ToolHang": _tool_hang,
}
