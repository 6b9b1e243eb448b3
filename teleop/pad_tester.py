"""The pad tester's picture: every axis and button of a pad by its name in the bindings, live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pygame

from teleop.canvas import BACK, BLACK, DIM, FAINT, GREEN, LINE, PANEL, SKY, TEXT, YELLOW, Canvas
from teleop.device_drawing import cap

WIDTH, HEIGHT = 960.0, 640.0


@dataclass(frozen=True)
class PadView:
    """What the tester shows.

    Attributes:
        raw: axis, button and hat values as SDL gives them. values: input -> 0..1, beyond deadzone and curve.
        functions: input -> what it is bound to. seen: inputs that have been pushed since the start.
    """

    title: str = ""
    kind: str = ""
    guid: str = ""
    raw: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    message: str = ""


def draw(surface: pygame.Surface, view: PadView) -> None:
    """Draws everything."""
    canvas = Canvas(surface, max(0.3, min(surface.get_width() / WIDTH, surface.get_height() / HEIGHT)))
    surface.fill(BACK)
    canvas.text(view.title or "no pad is plugged in", 24, 34, 24, TEXT, bold=True, width=600)
    canvas.text(f"{view.kind}   {view.guid}" if view.kind else "", 24, 62, 13, DIM)
    canvas.text(view.message, WIDTH - 24, 34, 15, YELLOW, bold=True, align="right", width=420)
    analog = [n for n in view.raw if f"{n}+" in view.values or n.endswith("trigger")]
    for i, name in enumerate(analog[:10]):
        _draw_axis(canvas, view, name, 24, 96 + i * 34)
    others = [n for n in view.raw if n not in analog]
    for i, name in enumerate(others[:48]):
        _draw_button(canvas, view, name, 24 + (i % 4) * 228, 96 + len(analog[:10]) * 34 + 16 + (i // 4) * 34)
    canvas.text("Push every stick and button once: those seen turn green. Esc ends.", 24, HEIGHT - 22, 14, DIM)


def _draw_lamp(canvas: Canvas, x: float, y: float, seen: bool) -> None:
    """A full green disc for what has been seen, an empty ring for what has not."""
    canvas.disc(x, y, 5, GREEN if seen else FAINT, ring=0 if seen else 1.5)


def _draw_axis(canvas: Canvas, view: PadView, name: str, x: float, y: float) -> None:
    width, middle = 420.0, x + 130 + 210
    low, high = (f"{name}-", f"{name}+") if f"{name}+" in view.values else ("", name)
    both = low in view.seen and high in view.seen if low else high in view.seen
    _draw_lamp(canvas, x + 6, y + 11, both)
    canvas.text(name, x + 22, y + 11, 14, TEXT, bold=True)
    canvas.box(x + 130, y, width, 22, PANEL, radius=4)
    raw, bent = view.raw[name], view.values.get(high, 0.0) - (view.values.get(low, 0.0) if low else 0.0)
    for share, top, height, colour in ((raw, 2, 8, DIM), (bent, 12, 8, SKY)):
        length = min(abs(share), 1.0) * width / 2
        canvas.box(middle - (length if share < 0 else 0), y + top, max(length, 1.0), height, colour, radius=1)
    canvas.line(middle, y, middle, y + 22, LINE)
    canvas.text(f"{raw:+.2f}", x + 600, y + 11, 14, TEXT, align="right")
    words = [view.functions.get(n, "") for n in (low, high) if n]
    canvas.text(" / ".join(w for w in words if w), x + 620, y + 11, 14, DIM, width=290)


def _draw_button(canvas: Canvas, view: PadView, name: str, x: float, y: float) -> None:
    pressed = view.raw[name] > 0.5
    canvas.box(x, y, 220, 28, SKY if pressed else PANEL, radius=4, line=LINE)
    _draw_lamp(canvas, x + 14, y + 14, name in view.seen)
    label = canvas.text(cap(name), x + 28, y + 14, 14, BLACK if pressed else TEXT, bold=True, width=90)
    canvas.text(view.functions.get(name, ""), x + 38 + label, y + 14, 13, BLACK if pressed else DIM, width=170 - label)
