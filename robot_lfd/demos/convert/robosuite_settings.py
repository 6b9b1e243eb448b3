"""Maps a foreign robosuite recording, its keywords, world and state, onto the installed robosuite."""

from __future__ import annotations

import difflib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_lfd.envs.contract import ArmEnv
from robot_lfd.envs.registry import ROBOSUITE_TASKS
from robot_lfd.errors import LfdError

# keywords that change what is seen or rewarded, but not how the world moves
_HARMLESS = (
    "robots", "env_name", "controller_configs", "env_configuration", "has_renderer", "has_offscreen_renderer",
    "render_camera", "render_collision_mesh", "render_visual_mesh", "render_gpu_device_id", "renderer",
    "renderer_config", "ignore_done", "horizon", "hard_reset", "use_camera_obs", "use_object_obs", "camera_names",
    "camera_heights", "camera_widths", "camera_depths", "camera_segmentations", "reward_shaping", "reward_scale",
    "control_freq", "gripper_types", "initialization_noise", "seed", "lite_physics",
)  # fmt: skip


def env_keywords(env_info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the environment's id and keywords for a recording's `env_info`; only what differs from the defaults.

    Raises:
        LfdError: a task, number of robots or controller that has no counterpart here; the message says which.
    """
    task = str(env_info.get("env_name"))
    if task not in ROBOSUITE_TASKS:
        near = difflib.get_close_matches(task, ROBOSUITE_TASKS, n=3)
        hint = f"; near matches: {', '.join(near)}" if near else ""
        raise LfdError(f"the demos are of the task '{task}', which is none of robosuite's single-arm tasks{hint}")
    robots = env_info.get("robots", "Panda")
    robot = robots[0] if isinstance(robots, list) and len(robots) == 1 else robots
    if not isinstance(robot, str):
        raise LfdError(f"the demos were made with the robots {robots}, expected one single-arm robot")
    keywords: dict[str, Any] = {} if robot == "Panda" else {"robots": robot}
    controller = _controller(env_info.get("controller_configs"), robot)
    if controller is not None:
        keywords["controller"] = controller
    rate = float(env_info.get("control_freq", 20))
    if rate != 20.0:
        keywords["control_hz"] = rate
    gripper = env_info.get("gripper_types", "default")
    if gripper not in ("default", ["default"], None):
        keywords["gripper"] = gripper[0] if isinstance(gripper, list) else gripper
    further = {k: v for k, v in env_info.items() if k not in _HARMLESS}
    if further:
        keywords["task_options"] = further
    return f"robosuite/{task}-v0", keywords


def _controller(config: Any, robot: str) -> dict[str, Any] | None:
    """Returns the controller's settings as robosuite 1.5 names them; None where they are the robot's own defaults."""
    config = config[0] if isinstance(config, list) and len(config) == 1 else config
    if config is None:
        return None
    if not isinstance(config, dict) or "type" not in config:
        raise LfdError(f"the demos' controller settings are {config!r}, expected those of one controller")
    from robot_lfd.envs.robosuite_arms import controller_config

    usual = controller_config(robot, None)
    if "body_parts" in config:  # robosuite 1.5
        return None if config == usual else config
    settings = dict(config)
    delta = settings.pop("control_delta", True)  # robosuite 1.4 said this with a flag
    if not delta or settings.get("input_type", "delta") != "delta":
        raise LfdError("the demos hold absolute goals, expected steps (control_delta true): they cannot be played here")
    if settings.get("impedance_mode", "fixed") != "fixed":
        raise LfdError(f"the demos steer stiffness too ({settings['impedance_mode']}), expected impedance_mode fixed")
    settings["input_type"] = "delta"
    arm = usual["body_parts"].get("right", {})
    same = all(k in arm and arm[k] == v for k, v in settings.items())
    return None if same else settings


@dataclass(frozen=True)
class OldWorld:
    """A recorded world as the installed robosuite builds it.

    Attributes:
        text: the model text for `reset`.
        first_state: (S,) float64.
        columns: (S,) int: which column of the recorded states is which of ours.
        joint_columns, object_columns: of our state: the arm's joints, the positions of free objects.
    """

    text: str
    first_state: np.ndarray
    columns: np.ndarray
    joint_columns: np.ndarray
    object_columns: np.ndarray


@dataclass(frozen=True)
class _Joint:
    name: str
    nq: int
    nv: int


def world_of(recorded: str, first_state: np.ndarray, arm: ArmEnv) -> OldWorld:
    """Returns the recorded world with the installed robosuite's robot, and the recorded objects' sizes and places.

    The robot's own model has changed between robosuite's releases, so the old text itself is not used.

    Raises:
        LfdError: the recorded world has other joints than the installed robosuite builds, or is no MJCF.
    """
    text = arm.model()
    old, new = _parsed(recorded), _parsed(text)
    ours, theirs = _joints(new), _joints(old)
    columns = _columns(ours, theirs, len(first_state))
    state = first_state[columns]
    arm_rows, object_rows, at = [], [], 1
    for joint in ours:
        if joint.nq == 7:
            object_rows += [at, at + 1, at + 2]
        elif joint.name.startswith("robot0_"):
            arm_rows.append(at)
        at += joint.nq
    carried = _with_sizes(text, _geom_sizes(old), _geom_sizes(new))
    return OldWorld(
        _with_places(carried, old, new), state, columns, np.array(arm_rows, int), np.array(object_rows, int)
    )


def _parsed(text: str) -> ET.Element:
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise LfdError(f"a demo's model_file is no XML: {error}") from error
    if root.find("worldbody") is None:
        raise LfdError("a demo's model_file is no MJCF: it has no worldbody")
    return root


def _bodies(root: ET.Element) -> list[ET.Element]:
    worldbody = root.find("worldbody")
    return [] if worldbody is None else list(worldbody.iter("body"))


def _joints(root: ET.Element) -> list[_Joint]:
    """Returns the joints in MuJoCo's order, which is that of the text; 1.4's gripper names as 1.5 has them."""
    found = []
    for body in _bodies(root):
        for joint in body:
            if joint.tag == "freejoint" or (joint.tag == "joint" and joint.get("type") == "free"):
                found.append(_Joint(_new_name(joint.get("name", "")), 7, 6))
            elif joint.tag == "joint":
                found.append(_Joint(_new_name(joint.get("name", "")), 1, 1))
    return found


def _new_name(name: str) -> str:
    return re.sub(r"^gripper0_(?!right_|left_)", "gripper0_right_", name)


def _columns(ours: list[_Joint], theirs: list[_Joint], found: int) -> np.ndarray:
    expected = 1 + sum(j.nq + j.nv for j in theirs)
    if expected != found:
        raise LfdError(f"a demo's states have {found} numbers, its own model has {expected}")
    at_q, at_v, where = 1, 1 + sum(j.nq for j in theirs), {}
    for joint in theirs:
        where[joint.name] = (joint, at_q, at_v)
        at_q, at_v = at_q + joint.nq, at_v + joint.nv
    missing = sorted({j.name for j in ours} ^ {j.name for j in theirs})
    if missing or any(where[j.name][0].nq != j.nq for j in ours):
        raise LfdError(
            f"a demo's world has other joints than the installed robosuite builds: {', '.join(missing[:6])}; "
            "was it made with another robot, gripper or task option?"
        )
    q = [where[j.name][1] + i for j in ours for i in range(j.nq)]
    v = [where[j.name][2] + i for j in ours for i in range(j.nv)]
    return np.array([0, *q, *v], int)


def _geom_sizes(root: ET.Element) -> dict[str, str]:
    """Returns the sizes of the named boxes of objects that move freely."""
    sizes = {}
    for body in _bodies(root):
        if any(j.tag == "freejoint" or j.get("type") == "free" for j in body if j.tag in ("joint", "freejoint")):
            boxes = [g for g in body.iter("geom") if g.get("type") == "box" and g.get("name") and g.get("size")]
            sizes |= {str(g.get("name")): str(g.get("size")) for g in boxes}
    return sizes


def _with_sizes(text: str, old: dict[str, str], new: dict[str, str]) -> str:
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            geom = re.compile(rf'<geom [^>]*name="{re.escape(name)}"[^>]*>')
            text = geom.sub(lambda m, n=name: re.sub(r' size="[^"]*"', f' size="{old[n]}"', m[0]), text)
    return text


_PARTS = ("robot0", "gripper0", "mount0", "fixed_mount0", "table")
_ROUNDED = 1e-5  # a saved model holds six digits


def _with_places(text: str, old: ET.Element, new: ET.Element) -> str:
    """Returns the text with fixed objects (a door, a bin, dirt) where the recording has them."""
    from robot_lfd.envs.robosuite_world import with_placement

    here, places = dict(_fixed_bodies(new)), {}
    for name, pose in _fixed_bodies(old):
        if name in here and not name.startswith(_PARTS) and not np.allclose(pose, here[name], atol=_ROUNDED):
            places[name] = pose
    return with_placement(text, places)


def _fixed_bodies(root: ET.Element) -> Iterator[tuple[str, list[float]]]:
    """Yields name and pose of the bodies that nothing moves."""
    waiting = list(root.findall("worldbody/body"))
    while waiting:
        body = waiting.pop()
        if any(part.tag in ("joint", "freejoint") for part in body):
            continue
        if not {"euler", "axisangle", "xyaxes", "zaxis"} & set(body.keys()):
            pose = body.get("pos", "0 0 0").split() + body.get("quat", "1 0 0 0").split()
            yield body.get("name", ""), [float(x) for x in pose]
        waiting += body.findall("body")
