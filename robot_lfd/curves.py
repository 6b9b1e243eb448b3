"""Pictures of curves as SVG: small, sharp at any size, readable on a light page and on a dark one; needs nothing."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PANEL_W, PANEL_H = 380, 250  # the area of the curves
LEFT, RIGHT, TOP, BOTTOM, ROW = 56, 18, 34, 44, 20
COLOURS = ("#3b82f6", "#d97706", "#16a34a", "#db2777", "#8b5cf6", "#0891b2", "#dc2626", "#64748b")
STYLE = """
.lfd-curves { --ink: #1f2328; --soft: #59636e; --grid: #d9dee3; --page: #ffffff }
@media (prefers-color-scheme: dark) {
  .lfd-curves { --ink: #e6edf3; --soft: #9aa5b1; --grid: #30363d; --page: #0d1117 } }
.lfd-curves text { font: 12px system-ui, sans-serif; fill: var(--soft) }
.lfd-curves .title { font-weight: 600; font-size: 13px; fill: var(--ink) }
.lfd-curves .name { fill: var(--ink) }
"""


@dataclass(frozen=True)
class Curve:
    """Points of one colour with an interval each; `y` lies between `low` and `high`. `x` ascends."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Curves over one pair of axes. `share`: y runs from 0 to 1 and is written as percent."""

    title: str
    curves: Sequence[Curve]
    x_label: str = "gradient steps"
    share: bool = False


def svg(panels: Sequence[Panel], columns: int = 2) -> str:
    """Returns the panels side by side as one SVG document; a name has the same colour in all of them."""
    names = list(dict.fromkeys(c.name for p in panels for c in p.curves))
    columns = min(columns, len(panels))
    cell_w, cell_h = LEFT + PANEL_W + RIGHT, TOP + PANEL_H + BOTTOM
    width, rows = columns * cell_w, math.ceil(len(panels) / columns)
    legend, legend_h = _legend(names, width)
    height = rows * cell_h + legend_h
    parts = [
        _panel(p, names, i, (i % columns) * cell_w + LEFT, (i // columns) * cell_h + TOP) for i, p in enumerate(panels)
    ]
    alt = html.escape("; ".join(f"{p.title}: {', '.join(c.name for c in p.curves)}" for p in panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lfd-curves" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{alt}">\n<style>{STYLE}</style>\n'
        f'<rect width="{width}" height="{height}" fill="var(--page)"/>\n'
        + "\n".join(parts)
        + f'\n<g transform="translate(0 {rows * cell_h})">{legend}</g>\n</svg>\n'
    )


def _panel(panel: Panel, names: list[str], number: int, left: float, top: float) -> str:
    x_range, y_range = _x_range(panel), (0.0, 1.0) if panel.share else _y_range(panel)
    to_x, to_y = _scale(x_range, 0, PANEL_W), _scale(y_range, PANEL_H, 0)
    grid = [_y_tick(v, to_y(v), panel.share) for v in ticks(*y_range)] + [_x_tick(v, to_x(v)) for v in ticks(*x_range)]
    aside = _aside(panel.curves)
    curves = [
        f'<g transform="translate({a} 0)">{_curve(c, names.index(c.name), to_x, to_y, panel.share)}</g>'
        for a, c in zip(aside, panel.curves, strict=True)
    ]
    return (
        f'<g transform="translate({left} {top})">\n<text class="title" y="-14">{html.escape(panel.title)}</text>\n'
        f'<clipPath id="lfd-clip-{number}"><rect x="-6" y="-6" width="{PANEL_W + 12}" height="{PANEL_H + 12}"/>'
        "</clipPath>\n" + "".join(grid) + f'\n<g clip-path="url(#lfd-clip-{number})">{"".join(curves)}</g>\n'
        f'<text x="{PANEL_W / 2}" y="{PANEL_H + 34}" text-anchor="middle">{html.escape(panel.x_label)}</text>\n</g>'
    )


def _aside(curves: Sequence[Curve]) -> list[int]:
    """Returns how far to move each curve aside, px: single points at one and the same step would hide each other."""
    alone = [c.x[0] if len(c.x) == 1 else None for c in curves]
    return [0 if x is None else -9 * alone[:i].count(x) for i, x in enumerate(alone)]


def _x_range(panel: Panel) -> tuple[float, float]:
    return 0.0, max((x for c in panel.curves for x in c.x), default=1.0) or 1.0


def _y_range(panel: Panel) -> tuple[float, float]:
    """Returns a range that holds all curves; of their intervals, no more than as much again on either side."""
    y = [v for c in panel.curves for v in c.y] or [0.0, 1.0]
    low, high = min(y), max(y)
    room = (high - low) or abs(high) or 1.0
    low = max(low - room, min([low, *(v for c in panel.curves for v in c.low)]))
    high = min(high + room, max([high, *(v for c in panel.curves for v in c.high)]))
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _scale(values: tuple[float, float], first: float, last: float) -> Callable[[float], float]:
    share = (last - first) / (values[1] - values[0])
    return lambda v: round(first + (v - values[0]) * share, 1)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, some `about` of them."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _y_tick(value: float, y: float, share: bool) -> str:
    text = f"{100 * value:.0f} %" if share else _number(value)
    line = f'<line x2="{PANEL_W}" y1="{y}" y2="{y}" stroke="var(--grid)"/>'
    return f'{line}<text x="-8" y="{y + 4}" text-anchor="end">{text}</text>'


def _x_tick(value: float, x: float) -> str:
    return f'<text x="{x}" y="{PANEL_H + 17}" text-anchor="middle">{_number(value)}</text>'


def _number(value: float) -> str:
    if abs(value) >= 1000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    return f"{value:.4g}".replace("-", "−")


def _curve(curve: Curve, number: int, to_x: Callable, to_y: Callable, share: bool) -> str:
    colour = COLOURS[number % len(COLOURS)]
    x, y = [to_x(v) for v in curve.x], [to_y(v) for v in curve.y]
    low, high = ([min(max(to_y(v), -999.0), 9999.0) for v in band] for band in (curve.low, curve.high))
    band = " ".join(f"{a},{b}" for a, b in [*zip(x, low, strict=True), *reversed(list(zip(x, high, strict=True)))])
    line = " ".join(f"{a},{b}" for a, b in zip(x, y, strict=True))
    parts = [f'<polygon points="{band}" fill="{colour}" opacity=".16"/>'] if len(x) > 1 else []
    parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>')
    if len(x) <= 40:
        rows = zip(curve.x, curve.y, curve.low, curve.high, x, y, low, high, strict=True)
        parts += [_point(curve.name, number, colour, share, len(x) == 1, *row) for row in rows]
    return "".join(parts)


def _point(
    name: str, number: int, colour: str, share: bool, alone: bool,
    step: float, value: float, least: float, most: float, x: float, y: float, low: float, high: float,
) -> str:  # fmt: skip
    """Returns a mark with its numbers as tool tip; one that stands alone has a bar for its interval."""
    written = [f"{100 * v:.0f} %" if share else f"{v:.4g}" for v in (value, least, most)]
    tip = html.escape(f"{name}, step {step:g}: {written[0]} (95 %: {written[1]} to {written[2]})")
    bar = f'<line x1="{x}" x2="{x}" y1="{low}" y2="{high}" stroke="{colour}" stroke-width="2" opacity=".6"/>'
    return f"<g>{bar if alone else ''}{_mark(number, x, y, colour)}<title>{tip}</title></g>"


def _mark(number: int, x: float, y: float, colour: str) -> str:
    """Returns a circle, square, triangle or diamond: the shape tells curves apart where colours do not."""
    if number % 4 == 0:
        return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    corners = (((-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)), ((0, -4.6), (4.4, 3.6), (-4.4, 3.6)))
    shape = (*corners, ((0, -5.2), (5.2, 0), (0, 5.2), (-5.2, 0)))[number % 4 - 1]
    points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in shape)
    return f'<polygon points="{points}" fill="{colour}"/>'


def _legend(names: list[str], width: float) -> tuple[str, float]:
    """Returns the names with their marks in as many lines as they need, and the height."""
    x, y, parts = float(LEFT), 12.0, []
    for number, name in enumerate(names):
        room = 34 + 7.0 * len(name)
        if x + room > width and x > LEFT:
            x, y = float(LEFT), y + ROW
        mark = _mark(number, 0, -4, COLOURS[number % len(COLOURS)])
        label = f'<text class="name" x="12" y="0">{html.escape(name)}</text>'
        parts.append(f'<g transform="translate({x} {y})">{mark}{label}</g>')
        x += room
    return "".join(parts), y + 14
