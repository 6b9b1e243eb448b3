"""The panel beside the picture: the device, gripper, speed, frame and locks, and the verdict or what is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teleop.canvas import BACK, BLACK, DIM, FAINT, GREEN, ORANGE, PANEL, SKY, TEXT, YELLOW, Canvas, Colour
from teleop.device_drawing import draw_chips, draw_device
from teleop.view import ViewModel

EMPTY: Colour = (47, 54, 64)
AT_REST = ("READY", "ENDED", "SAVING")  # while nobody drives, the verdict says more than the gauges


def draw_panel(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """Draws everything, one below the other."""
    left, width = _titled(canvas, model, x, y, w, h)
    draw_device(canvas, model, left, y + 34, width, 214)
    canvas.line(left, y + 257, x + w - 14, y + 257)
    _draw_gauges(canvas, model, left, y + 264, width)
    canvas.line(left, y + 374, x + w - 14, y + 374)
    _draw_known(canvas, model, left, y + 382, width)


def draw_small_panel(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """Draws what a small window has room for: the keys as a list, and the gauges or what is known."""
    left, width = _titled(canvas, model, x, y, w, h)
    draw_chips(canvas, model, left, y + 32, width, h - 242)
    canvas.line(left, y + h - 206, x + w - 14, y + h - 206)
    if model.state in AT_REST:
        _draw_known(canvas, model, left, y + h - 202, width)
        _draw_summary(canvas, model, left, y + h - 10, width)
    else:
        _draw_gauges(canvas, model, left, y + h - 198, width, columns=1)


def _titled(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> tuple[float, float]:
    """Draws the box and its title; returns where its content begins and how wide it is."""
    canvas.box(x, y, w, h, PANEL, radius=8)
    left, width = x + 14, w - 28
    canvas.text(model.device_title or model.device, left, y + 18, 13, DIM, width=width * 0.38)
    canvas.text(model.title, x + w - 14, y + 18, 13, DIM, align="right", width=width * 0.58)
    return left, width


def _draw_gauges(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, columns: int = 2) -> None:
    """Draws gripper, speed, driving frame and locks, side by side or one below the other."""
    width = (w - 16 * (columns - 1)) / columns
    for i, draw in enumerate((_draw_gripper, _draw_speed, _draw_frame, _draw_locks)):
        draw(canvas, model, x + (i % columns) * (width + 16), y + (i // columns) * (52 if columns == 2 else 47), width)


def _draw_speed(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text("SPEED", x, y + 8, 11, DIM, bold=True)
    canvas.text(model.speed, x + w, y + 8, 13, TEXT, align="right", width=w - 48)
    step = (w + 4) / model.levels
    for i in range(model.levels):
        canvas.box(x + i * step, y + 22, step - 4, 16, SKY if i <= model.level else EMPTY, radius=3)


def _draw_frame(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text("DRIVING FRAME", x, y + 8, 11, DIM, bold=True)
    _draw_choices(canvas, model.frames, {model.frame}, x, y + 19, w, SKY)


def _draw_locks(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text("LOCKED AXES", x, y + 8, 11, DIM, bold=True)
    _draw_choices(canvas, ("x", "y", "z", "rotation"), model.locked, x, y + 19, w, YELLOW)


def _draw_summary(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    """The gauges in words."""
    width = "" if model.gripper_width_m is None else f"{model.gripper_width_m * 1000:.0f} mm, "
    locks = f", locked {' '.join(sorted(model.locked))}" if model.locked else ""
    canvas.text(f"{width}{model.speed} ({model.level + 1}), {model.frame}{locks}", x, y, 12, DIM, width=w)


def _draw_gripper(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text("GRIPPER", x, y + 8, 11, DIM, bold=True)
    order = {1: "closing", -1: "opening", 0: "holding"}[int(np.sign(model.gripper_command))]
    width = "" if model.gripper_width_m is None else f"{model.gripper_width_m * 1000:.0f} mm"
    canvas.text(f"{width}  {order}", x + w, y + 8, 13, TEXT, align="right", width=w - 60)
    canvas.box(x, y + 19, w, 22, BACK, radius=4)
    share = 0.5 if model.gripper_width_m is None else min(max(model.gripper_width_m / 0.08, 0.0), 1.0)
    reach = share * (w / 2 - 16)
    for side in (-1, 1):
        canvas.box(x + w / 2 + side * reach - (14 if side < 0 else 0), y + 21, 14, 18, TEXT, radius=3)


def _draw_choices(
    canvas: Canvas, names: Sequence[str], chosen: set[str] | frozenset[str], x: float, y: float, w: float, ink: Colour
) -> None:
    step = (w + 4) / len(names)
    for i, name in enumerate(names):
        on = name in chosen
        canvas.box(x + i * step, y, step - 4, 26, ink if on else EMPTY, radius=4)
        middle = x + i * step + (step - 4) / 2
        canvas.text(name, middle, y + 13, 13, BLACK if on else DIM, bold=on, align="middle", width=step - 8)


def _draw_known(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    if model.verdict:
        _draw_verdict(canvas, model, x, y, w)
    else:
        _draw_facts(canvas, model.facts, x, y + 6, w)


def _draw_verdict(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text(model.verdict_title, x, y + 8, 15, TEXT, bold=True, width=w * 0.6)
    beside = "median of the dataset" if any(line.median for line in model.verdict) else "the first of its dataset"
    canvas.text(beside, x + w, y + 8, 12, DIM, align="right", width=w * 0.38)
    for i, line in enumerate(model.verdict):
        at = y + 32 + i * 22
        colour = {"good": GREEN, "bad": ORANGE}.get(line.rating, FAINT)
        if line.rating == "bad":
            canvas.polygon([(x, at + 6), (x + 7, at - 7), (x + 14, at + 6)], colour)
        elif line.rating == "good":
            canvas.disc(x + 7, at, 6.5, colour)
            canvas.line(x + 4, at, x + 6, at + 3, BLACK, 2)
            canvas.line(x + 6, at + 3, x + 10, at - 3, BLACK, 2)
        else:
            canvas.disc(x + 7, at, 4, colour)
        canvas.text(line.name, x + 24, at, 14, DIM)
        canvas.text(
            line.value, x + w * 0.68, at, 14, ORANGE if line.rating == "bad" else TEXT, bold=True, align="right"
        )
        canvas.text(line.median, x + w, at, 14, DIM, align="right")


def _draw_facts(canvas: Canvas, facts: Sequence[tuple[str, str]], x: float, y: float, w: float) -> None:
    for i, (name, value) in enumerate(facts):
        named = canvas.text(name, x, y + i * 23 + 8, 14, DIM)
        canvas.text(value, x + w, y + i * 23 + 8, 14, TEXT, align="right", width=w - named - 12)
