"""`lfd pad`: shows every stick and button of a gamepad, and measures where its sticks rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from robot_lfd.config import PadConfig
from robot_lfd.errors import LfdError
from robot_lfd.rollout import Pace
from teleop.calibration import load_centres, resting_place, save_centres
from teleop.device import Event, TeleopError
from teleop.gamepad import GamepadDevice
from teleop.keyboard import make_keyboard
from teleop.pad_tester import PadView, draw
from teleop.window import Window

SHOW_HZ = 30.0
REST_S = 2.0
PUSHED = 0.5


def run(config: PadConfig, make_pace: Callable[[float], Pace] = Pace) -> dict[str, Any]:
    """Shows the pad until Esc, the window's close button or --seconds, and returns what was seen of it."""
    try:
        with ExitStack() as stack:
            window = Window("lfd pad", (960, 640))
            stack.callback(window.close)
            device = GamepadDevice(config.bindings, keyboard=make_keyboard(), centres=load_centres())
            stack.callback(device.close)
            return _report(_watch(config, window, device, make_pace(SHOW_HZ)))
    except TeleopError as error:
        raise LfdError(str(error)) from error


def _watch(config: PadConfig, window: Window, device: GamepadDevice, pace: Pace) -> dict[str, Any]:
    seen: set[str] = set()
    rest: list[dict[str, float]] = []
    saved: dict[str, float] = {}
    pad = device.describe()
    ticks = None if config.seconds is None else round(config.seconds * SHOW_HZ)
    while not window.closed and (ticks is None or len(pace.actual) < ticks):
        pace.wait()
        events = device.read(window.poll()).events
        if Event.QUIT in events:
            break
        raw, values = device.raw(), device.values()
        seen |= {name for name, value in values.items() if value > PUSHED}
        if config.calibrate and not saved and raw:
            rest.append(raw)
            if len(rest) >= REST_S * SHOW_HZ:
                saved = resting_place(rest, device.stick_axes())
                save_centres(pad["guid"], saved)
        message = _message(config, bool(saved), device.connected)
        window.show(draw, PadView(**device.describe(), raw=raw, values=values, functions=device.bindings.functions,
                                  seen=frozenset(seen), message=message))  # fmt: skip
    if config.calibrate and not saved:
        raise LfdError("calibration was cut short: let go of the sticks and wait for two seconds")
    return {**pad, "inputs": sorted(device.values()), "seen": sorted(seen), "centres": saved}


def _message(config: PadConfig, done: bool, connected: bool) -> str:
    if not connected:
        return "unplugged: plug it in again"
    if config.calibrate:
        return "calibrated; Esc ends" if done else "let go of the sticks ..."
    return ""


def _report(result: dict[str, Any]) -> dict[str, Any]:
    console = Console()
    missing = sorted(set(result["inputs"]) - set(result["seen"]))
    console.print(f"{result['title']} ({result['kind']}): {len(result['seen'])} of {len(result['inputs'])} inputs seen")
    if missing:
        console.print(f"not seen: {', '.join(missing)}", highlight=False)
    if result["centres"]:
        console.print(f"sticks rest at {result['centres']}; lfd record takes that into account from now on")
    return result
