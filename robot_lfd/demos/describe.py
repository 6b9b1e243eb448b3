"""`lfd data info` in tables that fit a narrow window: success and duration, the demos, the numbers of every array."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

SHOWN = 30  # episodes in a table; --json has them all
NUMBERS = ("min", "1 %", "median", "99 %", "max", "mean", "std")
PLAIN: dict[str, Any] = {"box": None, "padding": (0, 2, 0, 0), "header_style": "bold"}
NAME, WIDTH = 22, 8  # columns: 78 in all
QUANTILE = {"1 %": "0.01", "median": "0.5", "99 %": "0.99"}


def print_info(result: dict[str, Any]) -> None:
    """Prints what `lfd data info` found."""
    console = Console()
    _print_head(console, result)
    if result["episodes"]:
        console.print(_groups(result["groups"]))
        console.print(_demos(result["demos"], result["control_hz"]))
        if len(result["demos"]) > SHOWN:
            console.print(f"... and {len(result['demos']) - SHOWN} more; --json lists them all")
    console.print(_features(result["features"]), highlight=False, soft_wrap=True)


def _print_head(console: Console, result: dict[str, Any]) -> None:
    console.print(f"[bold]{escape(result['dataset'])}[/]  {escape(result['env'])}  {result['control_hz']:g} Hz")
    rate = "" if result["success_rate"] is None else f" ({result['success_rate']:.0%})"
    deleted = f", {result['deleted']} deleted" if result["deleted"] else ""
    console.print(
        f"{result['episodes']} demos{deleted}, {result['successes']} solved{rate}, {result['steps']:,} steps, "
        f"{result['duration_s'] / 60:.1f} min, {result['size_bytes'] / 1e6:.1f} MB"
    )
    if result["damaged"]:
        names = ", ".join(result["damaged"][:5])
        console.print(f"[red]{len(result['damaged'])} damaged: {names}; see: lfd data verify[/]")


def _groups(groups: list[dict[str, Any]]) -> Table:
    numbers = ("demos", "solved", "steps", "min s", "median s", "mean s", "max s")
    right = (Column(n, justify="right", no_wrap=True) for n in numbers)
    table = Table(Column("", overflow="fold"), *right, **PLAIN)
    for row in groups:
        seconds = [f"{row['seconds'][k]:.1f}" for k in ("min", "median", "mean", "max")]
        solved = f"{row['successes']} ({row['successes'] / row['episodes']:.0%})"
        name = f"{row['by']} {row['name']}".strip()
        table.add_row(escape(name), str(row["episodes"]), solved, f"{row['steps']:,}", *seconds)
    table.add_row()
    return table


def _demos(demos: list[dict[str, Any]], control_hz: float) -> Table:
    """Returns a row per demo; what is the same in all of them stands in the table above."""
    said = {k: [str(d[k]) if k != "tags" else " ".join(d[k]) for d in demos] for k in ("operator", "device", "split")}
    said |= {"tags": [" ".join(d["tags"]) for d in demos], "note": [d["note"] for d in demos]}
    telling = [k for k, values in said.items() if len(set(values)) > 1 or (k in ("tags", "note") and any(values))]
    table = Table(
        Column("demo", no_wrap=True),
        *(Column(n, justify="right", no_wrap=True) for n in ("steps", "seconds")),
        Column("solved", no_wrap=True),
        *(Column(k, overflow="fold") for k in telling),
        **PLAIN,
    )
    for number, demo in enumerate(demos[:SHOWN]):
        cells = [demo["id"], str(demo["length"]), f"{demo['length'] / control_hz:.1f}"]
        cells += ["yes" if demo["success"] else "no", *(said[k][number] for k in telling)]
        table.add_row(*map(escape, cells))
    table.add_row()
    return table


def _features(features: dict[str, Any]) -> str:
    """Returns a line per number: names, units and statistics fit so where lists of them would not."""
    lines = [f"[bold]{'array':{NAME}}{''.join(f'{n:>{WIDTH}}' for n in NUMBERS)}[/]"]
    for path, feature in features.items():
        unit = feature.get("unit", "")
        shared = unit if isinstance(unit, str) and unit != "1" else ""
        kind = " ".join(x for x in (feature["dtype"], "x".join(map(str, feature["shape"])), shared) if x)
        lines.append(f"[bold]{escape(path)}[/] [dim]{escape(kind)}[/]")
        rows = _columns(feature.get("stats"))
        for k, numbers in enumerate(rows):
            name = _name(feature, k)[: NAME - 3] if len(rows) > 1 else ""
            lines.append(escape(f"  {name:{NAME - 2}}") + "".join(f"{v:>{WIDTH}}" for v in numbers))
    return "\n".join(lines)


def _columns(stats: dict[str, Any] | None) -> list[list[str]]:
    """Returns the statistics of each dimension as text, in the order of NUMBERS."""
    if stats is None:
        return []
    found = [stats["quantiles"][QUANTILE[n]] if n in QUANTILE else stats[n] for n in NUMBERS]
    flat = [_flat(values) for values in found]
    return [[_short(v) for v in row] for row in zip(*flat, strict=True)]


def _short(value: float) -> str:
    """Returns a number in seven characters."""
    size = abs(value)
    return f"{value:.3g}" if size == 0 or 0.01 <= size < 1e4 else f"{value:.2g}" if 1e-3 <= size < 1 else f"{value:.0e}"


def _flat(values: Any) -> list[float]:
    return [x for v in values for x in _flat(v)] if isinstance(values, list) else [values]


def _name(feature: dict[str, Any], k: int) -> str:
    """Returns what dimension k is called, with its unit where the dimensions differ in it."""
    if len(feature["shape"]) == 3:
        return ("red", "green", "blue")[k]
    names, unit = feature.get("names"), feature.get("unit")
    name = str(names[k]) if isinstance(names, list) and k < len(names) else str(k)
    return f"{name} {unit[k]}" if isinstance(unit, list) and k < len(unit) and unit[k] != "1" else name
