"""The colour, the shape and the word of each state: three signs, for those to whom colours say little."""

from __future__ import annotations

from teleop.canvas import BLACK, BLUE, GREEN, PURPLE, SKY, TEXT, VERMILLION, YELLOW, Canvas, Colour

WHITE: Colour = (255, 255, 255)
STATE_COLOURS: dict[str, tuple[Colour, Colour]] = {  # background, text
    "READY": (BLUE, WHITE),
    "COUNTDOWN": (SKY, BLACK),
    "REC": (VERMILLION, WHITE),
    "PAUSED": (YELLOW, BLACK),
    "ENDED": (TEXT, BLACK),
    "SAVING": (GREEN, BLACK),
    "REPLAY": (PURPLE, BLACK),
}


def draw_badge(canvas: Canvas, state: str, x: float, y: float, w: float, h: float) -> None:
    """Draws the state into a box."""
    fill, ink = STATE_COLOURS[state]
    canvas.box(x, y, w, h, fill, radius=8)
    _draw_shape(canvas, state, x + 26, y + h / 2, ink)
    canvas.text(state, x + 48, y + h / 2, 20, ink, bold=True, width=w - 54)


def _draw_shape(canvas: Canvas, state: str, x: float, y: float, ink: Colour) -> None:
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
    elif state == "COUNTDOWN":
        canvas.disc(x, y, 9, ink, ring=2.5)
        canvas.line(x, y, x, y - 6, ink, 2)
        canvas.line(x, y, x + 4, y, ink, 2)
    else:
        canvas.box(x - 8, y - 8, 16, 16, ink, radius=2)
