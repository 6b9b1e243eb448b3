"""The HUD: lays out and draws one ViewModel. A window of any size gets the layout that stays readable in it."""

from __future__ import annotations

import math
from typing import NamedTuple

import pygame

from teleop.canvas import BACK, BLACK, DIM, FAINT, GREEN, KEY, LINE, ORANGE, PANEL, SKY, TEXT, VERMILLION, Canvas
from teleop.device_drawing import input_label
from teleop.help_page import draw_help
from teleop.panel import draw_panel, draw_small_panel
from teleop.picture_view import draw_picture
from teleop.state_badge import draw_badge
from teleop.view import ViewModel

BAR, PROMPTS, GAP = 58.0, 46.0, 10.0
PROMPT_SIZES = (14.0, 13.0, 12.0)  # what does not fit beside the others then is left to the panel
PROMPT_ORDER = (
    "start",
    "keep",
    "discard",
    "undo",
    "pause",
    "success",
    "failure",
    "help",
    "quit",
    "replay",
    "note",
    "retry",
    "grip",
)  # the first ones matter most


class Layout(NamedTuple):
    """A design: the window that it is drawn for, in units, and the width of its panel."""

    width: float
    height: float
    side: float
    small: bool


FULL = Layout(1280.0, 720.0, 600.0, False)
SMALL = Layout(800.0, 560.0, 316.0, True)
FULL_FROM = 0.78  # pixels per unit: below it the full layout cannot be read any more


def layout_of(width_px: int, height_px: int) -> tuple[Layout, float]:
    """Returns the layout for a window and its scale, pixels per unit. It is stretched, never cut."""
    for layout in (FULL, SMALL):
        scale = min(width_px / layout.width, height_px / layout.height)
        if scale >= FULL_FROM:
            break
    return layout, max(0.3, scale)


def draw(surface: pygame.Surface, model: ViewModel) -> None:
    """Draws everything."""
    layout, scale = layout_of(*surface.get_size())
    canvas = Canvas(surface, scale)
    w, h = surface.get_width() / scale, surface.get_height() / scale  # at least the design: more is the picture's
    top, inner = BAR + GAP, h - BAR - PROMPTS - 2 * GAP
    surface.fill(BACK)
    draw_picture(canvas, model, GAP, top, w - layout.side - 3 * GAP, inner)
    _draw_bar(canvas, model, w, layout.small)
    panel = draw_small_panel if layout.small else draw_panel
    panel(canvas, model, w - layout.side - GAP, top, layout.side, inner)
    _draw_prompts(canvas, model, GAP, h - PROMPTS, w - 2 * GAP, PROMPTS)
    if model.help:
        draw_help(canvas, model, w, h, 2 if layout.small else 3)


def _draw_bar(canvas: Canvas, model: ViewModel, w: float, small: bool) -> None:
    canvas.box(0, 0, w, BAR, PANEL, radius=0)
    middle, x = BAR / 2, GAP + 156 + 14
    draw_badge(canvas, model.state, GAP, 9, 156, BAR - 18)
    if small:
        canvas.text(clock(model.seconds), x, middle - 9, 21, TEXT, bold=True)
        canvas.text(f"step {model.step}", x, middle + 13, 13, DIM)
        x += 92
    else:
        canvas.text(clock(model.seconds), x + 8, middle, 28, TEXT, bold=True)
        canvas.text(f"step {model.step}", x + 122, middle, 15, DIM)
        x += 206
    canvas.text(f"episode {model.episode} of {model.episodes}", x, middle - 10, 15, TEXT, bold=True, width=150)
    kept = canvas.text(f"{model.kept} kept", x, middle + 11, 13, DIM)
    canvas.text(model.saving, x + kept + 10, middle + 11, 13, GREEN, width=148 - kept)
    _draw_lamp(canvas, model, x + 170, middle, small)
    _draw_disk(canvas, model, w - GAP, middle)
    right = w - GAP - 94
    if small:
        _draw_rate(canvas, model, right, middle, 70.0)
    else:
        _draw_extremes(canvas, model, right - 84, middle)
        _draw_rate(canvas, model, right - 94, middle, 200.0)


def _draw_disk(canvas: Canvas, model: ViewModel, right: float, y: float) -> None:
    ink = DIM if model.disk_gb > 2 else ORANGE
    room = f"{model.disk_gb:.0f}" if model.disk_gb >= 10 else f"{model.disk_gb:.1f}"
    canvas.text(f"{room} GB free", right, y - 10, 13, ink, align="right", width=84)
    canvas.text("sound off" if model.muted else "", right, y + 11, 12, ORANGE, align="right")


def _draw_lamp(canvas: Canvas, model: ViewModel, x: float, y: float, small: bool) -> None:
    canvas.disc(x, y, 12, GREEN if model.success else (47, 54, 64))
    if model.success:
        canvas.line(x - 5, y, x - 1, y + 5, BLACK, 3)
        canvas.line(x - 1, y + 5, x + 6, y - 5, BLACK, 3)
    else:
        canvas.disc(x, y, 12, LINE, ring=2)
    word, ink = ("solved", TEXT) if model.success else ("not solved", DIM)
    holds = model.hold_s > 0.0
    canvas.text(word, x + 20, y - 10 if holds else y, 15, ink, bold=model.success, width=72 if small else None)
    if holds:
        canvas.text(f"held {min(model.held_s, model.hold_s):.1f} of {model.hold_s:.1f} s", x + 20, y + 11, 13, ink,
                    width=72 if small else None)  # fmt: skip


def _draw_rate(canvas: Canvas, model: ViewModel, right: float, y: float, width: float) -> None:
    """The achieved rate, and how late each tick of the last five seconds began."""
    known = not math.isnan(model.achieved_hz)
    off = known and abs(model.achieved_hz - model.control_hz) > 0.02 * model.control_hz
    left = right - width
    _draw_strip(canvas, model, left, 9, width, BAR - 18)
    rate = f"{model.achieved_hz:.1f} Hz" if known else "- Hz"
    canvas.text(rate, left - 10, y - 10, 17, ORANGE if off else TEXT, bold=True, align="right")
    late = f"{model.late} late" if model.late else "none late"
    canvas.text(late, left - 10, y + 11, 12, ORANGE if model.late else DIM, align="right")


def _draw_extremes(canvas: Canvas, model: ViewModel, x: float, y: float) -> None:
    """The latest of these ticks, and how often the picture is new."""
    worst = f"worst {max(model.jitter_ms):.1f} ms" if model.jitter_ms else ""
    canvas.text(worst, x, y - 10, 12, DIM, width=82)
    canvas.text(f"view {model.picture_hz:.0f} Hz" if not math.isnan(model.picture_hz) else "", x, y + 11, 12, DIM)


def _draw_strip(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    canvas.box(x, y, w, h, BACK, radius=3)
    period_ms = 1000.0 / model.control_hz
    slots = round(5 * model.control_hz)
    recent = model.jitter_ms[-slots:]
    for i, late_ms in enumerate(recent):
        share = min(abs(late_ms) / (period_ms / 2), 1.0)
        colour = VERMILLION if share >= 1.0 else ORANGE if late_ms > 5.0 else SKY
        bar = max(1.5, share * (h - 4))
        at = x + (slots - len(recent) + i) * w / slots
        canvas.box(at, y + h - bar - 1, max(1.0, w / slots - 0.5), bar, colour, radius=0)
    if not recent:
        canvas.text("jitter", x + w / 2, y + h / 2, 12, FAINT, align="middle")


def _draw_prompts(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """The keys that matter now, and what they would do: labels of keys in boxes, words beside them."""
    controls = {c.function: c for c in reversed(model.controls)}
    shown = [(input_label(controls[f]), model.does[f]) for f in PROMPT_ORDER if f in controls and model.does.get(f)]
    size = next((s for s in PROMPT_SIZES if _prompts_width(canvas, shown, s) <= w), PROMPT_SIZES[-1])
    while _prompts_width(canvas, shown, size) > w:
        shown.pop()
    for label, what in shown:
        cap = canvas.text_width(label, size, bold=True) + 1.2 * size
        canvas.box(x, y + 9, cap, h - 18, KEY, radius=5, line=LINE)
        canvas.text(label, x + cap / 2, y + h / 2, size, TEXT, bold=True, align="middle")
        x += cap + 0.5 * size
        x += canvas.text(what, x, y + h / 2, size, TEXT) + 1.4 * size


def _prompts_width(canvas: Canvas, shown: list[tuple[str, str]], size: float) -> float:
    return sum(canvas.text_width(k, size, bold=True) + canvas.text_width(t, size) + 3.1 * size for k, t in shown)


def clock(seconds: float) -> str:
    """Returns minutes, seconds and tenths: 1:05.3."""
    tenths = math.floor(max(seconds, 0.0) * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
