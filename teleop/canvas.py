"""Canvas: text and shapes in one scale, with fonts of the project's own, so that the window looks alike everywhere."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import pygame

Colour = tuple[int, int, int]

# Okabe and Ito's colours: apart for every kind of colour blindness. Each state has a shape and a word as well.
BACK: Colour = (18, 21, 26)
PANEL: Colour = (29, 34, 41)
LINE: Colour = (58, 66, 77)
TEXT: Colour = (232, 236, 241)
DIM: Colour = (146, 156, 168)
FAINT: Colour = (126, 136, 148)  # 4.5 times as light as the panel: still read
KEY: Colour = (52, 60, 71)
VERMILLION: Colour = (213, 94, 0)
ORANGE: Colour = (230, 159, 0)
YELLOW: Colour = (240, 228, 66)
GREEN: Colour = (0, 170, 125)
SKY: Colour = (86, 180, 233)
BLUE: Colour = (0, 114, 178)
PURPLE: Colour = (204, 121, 167)
BLACK: Colour = (10, 12, 15)
SMALLEST_PX = 8  # text below it says nothing


@lru_cache(maxsize=64)
def _font(size_px: int, bold: bool) -> pygame.font.Font:
    name = "Roboto-Bold.ttf" if bold else "Roboto-Medium.ttf"
    with resources.as_file(resources.files("assets").joinpath("fonts", name)) as path:
        return pygame.font.Font(str(path), size_px)


@lru_cache(maxsize=2048)
def _rendered(text: str, size_px: int, bold: bool, colour: Colour) -> pygame.Surface:
    return _font(size_px, bold).render(text, True, colour)


@lru_cache(maxsize=128)
def _disc(radius_px: int, colour: Colour, ring_px: int) -> pygame.Surface:
    """Returns a smooth disc (or ring), drawn four times too large and shrunk."""
    big = pygame.Surface((radius_px * 8, radius_px * 8), pygame.SRCALPHA)
    pygame.draw.circle(big, colour, (radius_px * 4, radius_px * 4), radius_px * 4, ring_px * 4)
    return pygame.transform.smoothscale(big, (radius_px * 2, radius_px * 2))


class Canvas:
    """Draws in design units (a window of 1280 x 800) on a surface of any size.

    Args:
        scale: pixels per unit.
    """

    def __init__(self, surface: pygame.Surface, scale: float) -> None:
        self.surface, self.scale = surface, scale

    def px(self, units: float) -> int:
        """Returns pixels."""
        return round(units * self.scale)

    def text(
        self, text: str, x: float, y: float, size: float = 14, colour: Colour = TEXT,
        *, bold: bool = False, align: str = "left", width: float | None = None,
    ) -> float:  # fmt: skip
        """Writes a line whose middle is at height y, shrunk to `width` where it is too long, and returns its width."""
        if not text:
            return 0.0
        picture = _rendered(text, max(SMALLEST_PX, self.px(size)), bold, colour)
        while width is not None and picture.get_width() > self.px(width) and self.px(size) > SMALLEST_PX:
            size -= 1.0 / self.scale
            picture = _rendered(text, max(SMALLEST_PX, self.px(size)), bold, colour)
        shift = {"left": 0, "right": -picture.get_width(), "middle": -picture.get_width() // 2}[align]
        self.surface.blit(picture, (self.px(x) + shift, self.px(y) - picture.get_height() // 2))
        return picture.get_width() / self.scale

    def text_width(self, text: str, size: float = 14, *, bold: bool = False) -> float:
        """Returns how wide a line will be."""
        return _rendered(text, max(SMALLEST_PX, self.px(size)), bold, TEXT).get_width() / self.scale

    def box(
        self, x: float, y: float, w: float, h: float, colour: Colour, *, radius: float = 6, line: Colour | None = None
    ) -> None:
        """Fills a rounded box, with a thin line around it where one is asked for."""
        rect = pygame.Rect(self.px(x), self.px(y), self.px(w), self.px(h))
        pygame.draw.rect(self.surface, colour, rect, border_radius=self.px(radius))
        if line is not None:
            pygame.draw.rect(self.surface, line, rect, max(1, self.px(1)), border_radius=self.px(radius))

    def frame(
        self, x: float, y: float, w: float, h: float, colour: Colour, thickness: float, radius: float = 6
    ) -> None:
        """Draws the outline of a box."""
        rect = pygame.Rect(self.px(x), self.px(y), self.px(w), self.px(h))
        pygame.draw.rect(self.surface, colour, rect, max(1, self.px(thickness)), border_radius=self.px(radius))

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: Colour = LINE, thickness: float = 1) -> None:
        """Draws a straight line."""
        ends = (self.px(x0), self.px(y0)), (self.px(x1), self.px(y1))
        pygame.draw.line(self.surface, colour, *ends, max(1, self.px(thickness)))

    def disc(self, x: float, y: float, radius: float, colour: Colour, *, ring: float = 0) -> None:
        """Draws a smooth disc, or a ring of some thickness."""
        r = max(2, self.px(radius))
        self.surface.blit(_disc(r, colour, max(1, self.px(ring)) if ring else 0), (self.px(x) - r, self.px(y) - r))

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fills a polygon."""
        pygame.draw.polygon(self.surface, colour, [(self.px(x), self.px(y)) for x, y in points])

    def veil(self, x: float, y: float, w: float, h: float, alpha: int, colour: Colour = BLACK) -> None:
        """Darkens an area."""
        shade = pygame.Surface((max(1, self.px(w)), max(1, self.px(h))), pygame.SRCALPHA)
        shade.fill((*colour, alpha))
        self.surface.blit(shade, (self.px(x), self.px(y)))


def forget_fonts() -> None:
    """Drops what belongs to a display that has been closed."""
    _font.cache_clear()
    _rendered.cache_clear()
    _disc.cache_clear()
