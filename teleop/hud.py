"""The HUD: lays out and draws one ViewModel. Design size 1280 x 800; any other size is scaled, never cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pygame

from teleop.canvas import (
    BACK,
    BLACK,
    BLUE,
    DIM,
    FAINT,
    GREEN,
    LINE,
    ORANGE,
    PANEL,
    PURPLE,
    SKY,
    TEXT,
    VERMILLION,
    YELLOW,
    Canvas,
    Colour,
)  # fmt: skip
from teleop.device_drawing import draw_device, input_label
from teleop.view import ViewModel

WIDTH, HEIGHT = 1280.0, 800.0
BAR, PROMPTS, SIDE, GAP = 58.0, 46.0, 532.0, 10.0
STATE_COLOURS: dict[str, tuple[Colour, Colour]] = {  # background, text
    "READY": (BLUE, (255, 255, 255)),
    "COUNTDOWN": (SKY, BLACK),
    "REC": (VERMILLION, (255, 255, 255)),
    "PAUSED": (YELLOW, BLACK),
    "ENDED": (TEXT, BLACK),
    "SAVING": (GREEN, BLACK),
    "REPLAY": (PURPLE, BLACK),
}
PROMPT_ORDER = (
    "start",
    "keep",
    "discard",
    "undo",
    "pause",
    "success",
    "failure",
    "replay",
    "retry",
    "grip",
    "note",
    "help",
    "quit",
)
HELP = (
    ("Driving", ("forward", "back", "left", "right", "up", "down", "roll_left", "roll_right", "pitch_up", "pitch_down",
                 "turn_left", "turn_right", "close", "open", "grip", "slow", "clutch")),
    ("Session", ("start", "keep", "discard", "undo", "pause", "success", "failure", "retry", "replay", "note",
                 "quit")),
    ("View and speed", ("speed_up", "speed_down", "frame", "lock_x", "lock_y", "lock_z", "lock_rotation", "mute",
                        "help")),
)  # fmt: skip
EXPLAINED = {
    "forward": "away from you", "back": "towards you", "left": "left", "right": "right", "up": "up", "down": "down",
    "roll_left": "roll left", "roll_right": "roll right", "pitch_up": "tip up", "pitch_down": "tip down",
    "turn_left": "turn left", "turn_right": "turn right", "close": "close while held", "open": "open while held",
    "grip": "close / open the gripper", "slow": "a quarter of the speed, while held", "clutch": "no motion, while held",
    "start": "start, go on, keep", "keep": "keep the episode", "discard": "throw the episode away",
    "undo": "go back 2 s, exactly", "pause": "pause, go on", "success": "mark as success", "failure": "mark as failure",
    "retry": "same start again", "replay": "play the last episode back", "note": "write a note",
    "quit": "end the session", "speed_up": "faster", "speed_down": "slower",
    "frame": "driving frame: camera, world, tool", "lock_x": "lock x", "lock_y": "lock y",
    "lock_z": "lock z", "lock_rotation": "lock rotation", "help": "this page", "mute": "sounds on / off",
}  # fmt: skip


def draw(surface: pygame.Surface, model: ViewModel) -> None:
    """Draws everything."""
    width, height = surface.get_size()
    canvas = Canvas(surface, max(0.3, min(width / WIDTH, height / HEIGHT)))
    w, h = (
        width / canvas.scale,
        height / canvas.scale,
    )  # at least WIDTH x HEIGHT: a larger window gives the picture more
    surface.fill(BACK)
    _draw_picture(canvas, model, GAP, BAR + GAP, w - SIDE - 3 * GAP, h - BAR - PROMPTS - 2 * GAP)
    _draw_bar(canvas, model, w)
    _draw_side(canvas, model, w - SIDE - GAP, BAR + GAP, SIDE, h - BAR - PROMPTS - 2 * GAP)
    _draw_prompts(canvas, model, GAP, h - PROMPTS, w - 2 * GAP, PROMPTS)
    if model.help:
        _draw_help(canvas, model, w, h)


def _draw_bar(canvas: Canvas, model: ViewModel, w: float) -> None:
    canvas.box(0, 0, w, BAR, PANEL, radius=0)
    middle = BAR / 2
    fill, ink = STATE_COLOURS[model.state]
    canvas.box(GAP, 9, 156, BAR - 18, fill, radius=8)
    _draw_state_shape(canvas, model.state, GAP + 26, middle, ink)
    canvas.text(model.state, GAP + 50, middle, 20, ink, bold=True, width=100)
    canvas.text(clock(model.seconds), 190, middle, 28, TEXT, bold=True)
    canvas.text(f"step {model.step}", 306, middle, 15, DIM)
    canvas.text(f"episode {model.episode} of {model.episodes}", 392, middle - 10, 15, TEXT, bold=True, width=190)
    kept = canvas.text(f"{model.kept} kept", 392, middle + 11, 13, DIM)
    canvas.text(model.saving, 392 + kept + 10, middle + 11, 13, GREEN, width=150 - kept)
    _draw_lamp(canvas, model.success, 560, middle)
    right = w - GAP
    canvas.text(
        f"{model.disk_gb:.0f} GB free", right, middle - 10, 13, DIM if model.disk_gb > 2 else ORANGE, align="right"
    )
    canvas.text("sound off" if model.muted else "", right, middle + 10, 12, FAINT, align="right")
    _draw_rate(canvas, model, right - 470, middle)


def _draw_state_shape(canvas: Canvas, state: str, x: float, y: float, ink: Colour) -> None:
    """A shape per state, for those to whom colours say little."""
    if state == "REC":
        canvas.disc(x, y, 9, ink)
    elif state == "PAUSED":
        canvas.box(x - 8, y - 9, 6, 18, ink, radius=1)
        canvas.box(x + 2, y - 9, 6, 18, ink, radius=1)
    elif state == "READY":
        canvas.polygon([(x - 7, y - 9), (x + 9, y), (x - 7, y + 9)], ink)
    elif state == "REPLAY":
        canvas.polygon([(x + 9, y - 8), (x, y), (x + 9, y + 8)], ink)
        canvas.polygon([(x, y - 8), (x - 9, y), (x, y + 8)], ink)
    elif state == "SAVING":
        canvas.polygon([(x - 8, y - 2), (x + 8, y - 2), (x, y + 9)], ink)
        canvas.box(x - 3, y - 10, 6, 9, ink, radius=0)
    else:
        canvas.box(x - 8, y - 8, 16, 16, ink, radius=2)


def _draw_lamp(canvas: Canvas, success: bool, x: float, y: float) -> None:
    canvas.disc(x, y, 12, GREEN if success else (47, 54, 64))
    if success:
        canvas.line(x - 5, y, x - 1, y + 5, BLACK, 3)
        canvas.line(x - 1, y + 5, x + 6, y - 5, BLACK, 3)
    else:
        canvas.disc(x, y, 12, LINE, ring=2)
    canvas.text("solved" if success else "not solved", x + 20, y, 15, TEXT if success else DIM, bold=success)


def _draw_rate(canvas: Canvas, model: ViewModel, x: float, y: float) -> None:
    """The achieved rate, and how late each tick of the last five seconds began."""
    known = not math.isnan(model.achieved_hz)
    off = known and abs(model.achieved_hz - model.control_hz) > 0.02 * model.control_hz
    canvas.text(
        f"{model.achieved_hz:.1f} Hz" if known else "- Hz",
        x + 74,
        y - 10,
        17,
        ORANGE if off else TEXT,
        bold=True,
        align="right",
    )
    late = f"{model.late} late" if model.late else "none late"
    canvas.text(late, x + 74, y + 11, 12, ORANGE if model.late else DIM, align="right")
    left, width, height = x + 86, 200.0, BAR - 18
    canvas.box(left, 9, width, height, BACK, radius=3)
    period_ms = 1000.0 / model.control_hz
    slots = round(5 * model.control_hz)
    recent = model.jitter_ms[-slots:]
    for i, late_ms in enumerate(recent):
        share = min(abs(late_ms) / (period_ms / 2), 1.0)
        colour = VERMILLION if share >= 1.0 else ORANGE if late_ms > 5.0 else SKY
        bar = max(1.5, share * (height - 4))
        at = left + (slots - len(recent) + i) * width / slots
        canvas.box(at, 9 + height - bar - 1, max(1.0, width / slots - 0.5), bar, colour, radius=0)
    worst = f"worst {max(recent):.1f} ms" if recent else ""
    canvas.text(worst, left + width + 8, y - 10, 12, DIM)
    canvas.text(
        f"view {model.picture_hz:.0f} Hz" if not math.isnan(model.picture_hz) else "", left + width + 8, y + 11, 12, DIM
    )


def _draw_picture(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    names = list(model.pictures)
    canvas.box(x, y, w, h, BLACK, radius=8)
    if names:
        _blit(canvas, model.pictures[names[0]], x, y, w, h)
        rows, columns = model.pictures[names[0]].shape[:2]
        left = x + max(0.0, w - h * columns / rows) / 2
        canvas.veil(left + 10, y + 10, canvas.text_width(names[0], 13) + 16, 22, 150)
        canvas.text(names[0], left + 18, y + 21, 13, TEXT)
    else:
        canvas.text("no picture: this environment draws nothing", x + w / 2, y + h / 2, 16, DIM, align="middle")
    if len(names) > 1:
        size = 0.30 * min(w, h)
        left, top = x + w - size - 12, y + 12  # the top right corner shows least of a table
        canvas.box(left - 2, top - 2, size + 4, size + 4, TEXT, radius=2)
        _blit(canvas, model.pictures[names[1]], left, top, size, size)
        canvas.veil(left, top, canvas.text_width(names[1], 11) + 12, 18, 150)
        canvas.text(names[1], left + 6, top + 9, 11, TEXT)
    if model.state in ("REC", "PAUSED"):  # the edge of the picture says it too: that is where the operator looks
        canvas.frame(x, y, w, h, STATE_COLOURS[model.state][0], 4, radius=8)
    if model.state == "COUNTDOWN":
        canvas.veil(x + w / 2 - 90, y + h / 2 - 90, 180, 180, 170)
        canvas.text(str(math.ceil(model.countdown_s)), x + w / 2, y + h / 2, 140, YELLOW, bold=True, align="middle")
    _draw_message(canvas, model, x, y, w, h)


def _blit(canvas: Canvas, picture: np.ndarray, x: float, y: float, w: float, h: float) -> None:
    """Draws a picture as large as it fits, keeping its shape."""
    height, width = picture.shape[:2]
    scale = min(canvas.px(w) / width, canvas.px(h) / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    surface = pygame.image.frombuffer(picture.tobytes(), (width, height), "RGB")
    at = canvas.px(x) + (canvas.px(w) - size[0]) // 2, canvas.px(y) + (canvas.px(h) - size[1]) // 2
    canvas.surface.blit(pygame.transform.smoothscale(surface, size), at)


def _draw_message(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    text = f"Note: {model.note}_     Enter stores it, Esc gives it up" if model.note is not None else model.message
    if not text:
        return
    ink = {"warn": YELLOW, "good": (120, 220, 180)}.get(model.message_kind, TEXT)
    width = min(w - 40, canvas.text_width(text, 18, bold=True) + 36)
    canvas.veil(x + (w - width) / 2, y + h - 66, width, 40, 205)
    canvas.text(text, x + w / 2, y + h - 46, 18, ink, bold=True, align="middle", width=width - 20)


def _draw_side(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    canvas.box(x, y, w, h, PANEL, radius=8)
    left, width = x + 14, w - 28
    canvas.text(model.device_title or model.device, left, y + 18, 13, DIM, width=width - 130)
    canvas.text(model.title, x + w - 14, y + 18, 13, DIM, align="right", width=220)
    draw_device(canvas, model, left, y + 34, width, 230)
    canvas.line(left, y + 278, x + w - 14, y + 278)
    _draw_gauges(canvas, model, left, y + 290, width)
    canvas.line(left, y + 418, x + w - 14, y + 418)
    if model.verdict:
        _draw_verdict(canvas, model, left, y + 430, width)
    else:
        _draw_facts(canvas, model.facts, left, y + 436, width)


def _draw_gauges(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    half = w / 2 - 8
    canvas.text("GRIPPER", x, y + 8, 11, DIM, bold=True)
    _draw_gripper(canvas, model, x, y + 20, half)
    right = x + w / 2 + 8
    canvas.text("SPEED", right, y + 8, 11, DIM, bold=True)
    canvas.text(model.speed, right + half, y + 8, 13, TEXT, align="right")
    for i in range(model.levels):
        step = half / model.levels
        canvas.box(right + i * step, y + 22, step - 4, 16, SKY if i <= model.level else (47, 54, 64), radius=3)
    canvas.text("DRIVING FRAME", x, y + 70, 11, DIM, bold=True)
    _draw_choices(canvas, model.frames, {model.frame}, x, y + 82, half, SKY)
    canvas.text("LOCKED AXES", right, y + 70, 11, DIM, bold=True)
    _draw_choices(canvas, ("x", "y", "z", "rotation"), model.locked, right, y + 82, half, YELLOW)


def _draw_gripper(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.box(x, y, w, 22, BACK, radius=4)
    share = 0.5 if model.gripper_width_m is None else min(max(model.gripper_width_m / 0.08, 0.0), 1.0)
    reach = share * (w / 2 - 16)
    for side in (-1, 1):
        canvas.box(x + w / 2 + side * reach - (14 if side < 0 else 0), y + 2, 14, 18, TEXT, radius=3)
    order = {1: "closing", -1: "opening", 0: "holding"}[int(np.sign(model.gripper_command))]
    width = "" if model.gripper_width_m is None else f"{model.gripper_width_m * 1000:.0f} mm"
    canvas.text(f"{width}  {order}", x + w, y - 12, 13, TEXT, align="right")


def _draw_choices(
    canvas: Canvas,
    names: Sequence[str],
    chosen: set[str] | frozenset[str],
    x: float,
    y: float,
    w: float,
    colour: Colour,
) -> None:
    step = w / len(names)
    for i, name in enumerate(names):
        on = name in chosen
        canvas.box(x + i * step, y, step - 4, 26, colour if on else (47, 54, 64), radius=4)
        canvas.text(
            name,
            x + i * step + (step - 4) / 2,
            y + 13,
            13,
            BLACK if on else DIM,
            bold=on,
            align="middle",
            width=step - 8,
        )


def _draw_verdict(canvas: Canvas, model: ViewModel, x: float, y: float, w: float) -> None:
    canvas.text(model.verdict_title, x, y + 8, 15, TEXT, bold=True, width=w * 0.6)
    canvas.text("median of the dataset", x + w, y + 8, 11, DIM, align="right")
    for i, line in enumerate(model.verdict):
        at = y + 34 + i * 24
        colour = {"good": GREEN, "bad": ORANGE}.get(line.rating, FAINT)
        if line.rating == "bad":
            canvas.polygon([(x, at + 6), (x + 7, at - 7), (x + 14, at + 6)], colour)
        else:
            canvas.disc(x + 7, at, 6, colour)
        canvas.text(line.name, x + 24, at, 14, DIM)
        canvas.text(line.value, x + w * 0.68, at, 14, TEXT, bold=True, align="right")
        canvas.text(line.median, x + w, at, 14, DIM, align="right")


def _draw_facts(canvas: Canvas, facts: Sequence[tuple[str, str]], x: float, y: float, w: float) -> None:
    for i, (name, value) in enumerate(facts):
        canvas.text(name, x, y + i * 24 + 8, 14, DIM)
        canvas.text(value, x + w, y + i * 24 + 8, 14, TEXT, align="right", width=w * 0.72)


def _draw_prompts(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """The keys that matter now, and what they would do: labels of keys in boxes, words beside them."""
    inputs = {c.function: c.input for c in reversed(model.controls)}
    shown = [(input_label(inputs[f]), model.does[f]) for f in PROMPT_ORDER if f in inputs and model.does.get(f)]
    total = sum(canvas.text_width(k, 14, bold=True) + canvas.text_width(t, 14) + 52 for k, t in shown)
    squeeze = min(1.0, w / max(total, 1.0))
    for label, what in shown:
        cap = canvas.text_width(label, 14 * squeeze, bold=True) + 18 * squeeze
        canvas.box(x, y + 9, cap, h - 18, (52, 60, 71), radius=5, line=LINE)
        canvas.text(label, x + cap / 2, y + h / 2, 14 * squeeze, TEXT, bold=True, align="middle")
        x += cap + 8 * squeeze
        x += canvas.text(what, x, y + h / 2, 14 * squeeze, TEXT) + 26 * squeeze


def _draw_help(canvas: Canvas, model: ViewModel, w: float, h: float) -> None:
    canvas.veil(0, 0, w, h, 240)
    inputs: dict[str, list[str]] = {}
    for control in model.controls:
        inputs.setdefault(control.function, []).append(input_label(control.input))
    canvas.text("Keys", w / 2, 60, 30, TEXT, bold=True, align="middle")
    for i, (title, functions) in enumerate(HELP):
        left = w / 2 - 560 + i * 390
        canvas.text(title, left, 120, 18, SKY, bold=True)
        shown = [f for f in functions if f in inputs]
        for k, function in enumerate(shown):
            at = 156 + k * 32
            label = " / ".join(inputs[function])
            canvas.box(left, at - 13, 112, 26, (52, 60, 71), radius=5, line=LINE)
            canvas.text(label, left + 56, at, 14, TEXT, bold=True, align="middle", width=104)
            canvas.text(EXPLAINED.get(function, function), left + 124, at, 14, TEXT, width=240)


def clock(seconds: float) -> str:
    """Returns minutes, seconds and tenths: 1:05.3."""
    tenths = math.floor(max(seconds, 0.0) * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
