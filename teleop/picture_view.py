"""The picture: the main camera as large as it fits, the wrist's beside or upon it, the countdown and the message."""

from __future__ import annotations

import math

import numpy as np
import pygame

from teleop.canvas import BLACK, DIM, TEXT, YELLOW, Canvas
from teleop.state_badge import STATE_COLOURS
from teleop.view import ViewModel

INSET = 0.30  # side of the inset, as a share of the picture's
INSET_BESIDE = 0.22  # a margin of so much is wide enough to have the inset in it: nothing of the table is hidden then
MARGIN = 12.0
KEPT_SCALED = 4  # the same picture is shown for several ticks, and scaling it is half of the drawing


def draw_picture(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """Draws the views of `model` into a box, with what belongs on them."""
    names = list(model.pictures)
    canvas.box(x, y, w, h, BLACK, radius=8)
    if names:
        _draw_views(canvas, model, names, x, y, w, h)
    else:
        canvas.text(model.no_picture, x + w / 2, y + h / 2, 16, DIM, align="middle", width=w - 40)
    if model.state in ("REC", "PAUSED", "REPLAY"):  # the edge says it too: that is where the operator looks
        canvas.frame(x, y, w, h, STATE_COLOURS[model.state][0], 4, radius=8)
    if model.state == "COUNTDOWN":
        canvas.veil(x + w / 2 - 90, y + h / 2 - 90, 180, 180, 170)
        canvas.text(str(math.ceil(model.countdown_s)), x + w / 2, y + h / 2, 140, YELLOW, bold=True, align="middle")
    _draw_message(canvas, model, x, y, w, h)


def _draw_views(canvas: Canvas, model: ViewModel, names: list[str], x: float, y: float, w: float, h: float) -> None:
    main = model.pictures[names[0]]
    rows, columns = main.shape[:2]
    margin = max(0.0, w - h * columns / rows)
    beside = len(names) > 1 and margin > INSET_BESIDE * h + 2 * MARGIN
    left = x + (0.0 if len(names) > 1 else margin / 2)  # to the left: then the inset hides the least of it
    _blit(canvas, main, left, y, min(w, h * columns / rows), h)
    _name(canvas, names[0], left + 10, y + 10, 13)
    if len(names) < 2:
        return
    size = min(margin - 2 * MARGIN, 0.5 * h) if beside else INSET * min(w, h)
    at = (x + w - size - MARGIN, y + MARGIN)  # the top right corner shows least of a table
    canvas.box(at[0] - 2, at[1] - 2, size + 4, size + 4, TEXT, radius=2)
    _blit(canvas, model.pictures[names[1]], *at, size, size)
    _name(canvas, names[1], *at, 11)


def _name(canvas: Canvas, name: str, x: float, y: float, size: float) -> None:
    height = size + 9
    canvas.veil(x, y, canvas.text_width(name, size) + 16, height, 150)
    canvas.text(name, x + 8, y + height / 2, size, TEXT)


def _blit(canvas: Canvas, picture: np.ndarray, x: float, y: float, w: float, h: float) -> None:
    """Draws a picture as large as it fits, keeping its shape."""
    height, width = picture.shape[:2]
    scale = min(canvas.px(w) / width, canvas.px(h) / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    at = canvas.px(x) + (canvas.px(w) - size[0]) // 2, canvas.px(y) + (canvas.px(h) - size[1]) // 2
    canvas.surface.blit(_scaled(picture, size), at)


_lately: list[tuple[np.ndarray, tuple[int, int], pygame.Surface]] = []


def _scaled(picture: np.ndarray, size: tuple[int, int]) -> pygame.Surface:
    """Returns the picture in another size, at once where it was asked for lately."""
    for known, its_size, surface in _lately:
        if known is picture and its_size == size:
            return surface
    rows, columns = picture.shape[:2]
    surface = pygame.transform.smoothscale(pygame.image.frombuffer(picture.tobytes(), (columns, rows), "RGB"), size)
    _lately.insert(0, (picture, size, surface))
    del _lately[KEPT_SCALED:]
    return surface


def _draw_message(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    text = f"Note: {model.note}_     Enter stores it, Esc gives it up" if model.note is not None else model.message
    if not text:
        return
    ink = {"warn": YELLOW, "good": (120, 220, 180)}.get(model.message_kind, TEXT)
    width = min(w - 24, canvas.text_width(text, 18, bold=True) + 36)
    canvas.veil(x + (w - width) / 2, y + h - 66, width, 40, 205)
    canvas.text(text, x + w / 2, y + h - 46, 18, ink, bold=True, align="middle", width=width - 20)
