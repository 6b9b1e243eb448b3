"""Which arms and controllers there are for robosuite's tasks, and robosuite's own environment built from them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from robot_lfd.envs.robosuite_world import robosuite  # quiet since it was imported there
from robot_lfd.errors import LfdError

from robosuite.controllers import load_composite_controller_config, load_part_controller_config  # isort: skip
from robosuite.controllers.composite import composite_controller_factory as factory  # isort: skip
from robosuite.robots import ROBOT_CLASS_MAPPING  # isort: skip

# robosuite 1.5.2 cannot build its JOINT_VELOCITY controller, and IK_POSE takes no actions in [-1, 1]
CONTROLLERS = ("OSC_POSE", "OSC_POSITION", "JOINT_POSITION", "JOINT_TORQUE")


def _arms() -> list[str]:
    """Returns the names of robosuite's fixed-base arms, those with one hand."""
    return [name for name, cls in ROBOT_CLASS_MAPPING.items() if cls.__name__ == "FixedBaseRobot" and name != "Baxter"]


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raises LfdError, naming near matches, for a name that is none of the known ones."""
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"near matches: {', '.join(near)}" if near else f"there are: {', '.join(sorted(known))}"
    raise LfdError(f"unknown {what} '{name}'; {hint}")


def controller_config(robot: str, controller: str | dict[str, Any] | None) -> dict[str, Any]:
    """Returns robosuite's composite controller settings for what the user named."""
    check_known("robot", robot, _arms())
    if controller is None:
        return load_composite_controller_config(robot=robot)  # type: ignore[return-value]
    given: dict[str, Any] = {"type": controller} if isinstance(controller, str) else controller
    if "type" not in given:
        raise LfdError(f"controller settings have no 'type'; expected one of: {', '.join(CONTROLLERS)}")
    if "body_parts" in given:
        return given
    check_known("controller", given["type"], CONTROLLERS)
    usual: Any = load_part_controller_config(default_controller=given["type"])
    return factory.refactor_composite_controller_config({**usual, **given}, robot, ["right"])  # type: ignore[return-value]


def make_robosuite(task: str, robot: str, config: dict, control_hz: float, options: dict[str, Any]) -> Any:
    """Returns robosuite's environment, without window and pictures. Raises LfdError where robosuite refuses."""
    settings = {
        "robots": robot,
        "controller_configs": config,
        "control_freq": control_hz,
        "has_renderer": False,
        "has_offscreen_renderer": False,
        "use_camera_obs": False,
        "renderer": "mujoco",  # the other one opens a window at reset
        "reward_shaping": True,
        "ignore_done": True,
        **options,
    }
    try:
        return robosuite.make(task, **settings)
    except (TypeError, ValueError, KeyError, AssertionError, NotImplementedError, AttributeError) as error:
        raise LfdError(f"robosuite cannot build {task} with {robot}: {error}") from error
