"""`lfd compare`: runs beside each other, as table and picture; the seeds of one setting are one row and one curve."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robot_lfd.config import CompareConfig
from robot_lfd.curves import Curve, Panel, svg
from robot_lfd.errors import LfdError
from robot_lfd.intervals import mean_interval
from robot_lfd.runs import Family, Score, differences, families

SUFFIXES = (".svg", ".html")
IN_A_COLUMN = ("algo", "mode", "steps")  # of the table: not said again among the differences
SMOOTHED = 200  # points of a logged curve


def run(config: CompareConfig) -> dict[str, Any]:
    """Prints the table, writes the picture where asked, and returns both as numbers."""
    if config.out is not None and config.out.suffix.lower() not in SUFFIXES:
        raise LfdError(f"--out {config.out}: pictures are written as .svg or .html, found '{config.out.suffix}'")
    if not config.runs:
        raise LfdError("no run was given; name one or more run folders")
    groups = families(config.runs)
    _check_metrics(groups, config.metrics)
    differing = differences(groups, without=IN_A_COLUMN)
    rows = [_row(g, {k: v[i] for k, v in differing.items()}) for i, g in enumerate(groups)]
    _print(rows)
    picture = None
    if config.out is not None:
        picture = write_picture(config.out, groups, rows, config.metrics)
        print(f"picture: {picture}")
    return {"families": rows, "picture": None if picture is None else str(picture)}


def _check_metrics(groups: Sequence[Family], names: Sequence[str]) -> None:
    logged = sorted({k for g in groups for r in g.runs for record in r.metrics for k in record} - {"step"})
    for name in names:
        if name not in logged:
            raise LfdError(f"no run has the metric '{name}'; logged are: {', '.join(logged) or 'none'}")


def _row(family: Family, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the numbers of one family, as `--json` prints them."""
    first, final, best = family.runs[0], family.final, family.best
    times = [t for r in family.runs if (t := r.train_s) is not None]
    return {
        "name": family.name,
        "algo": first.config.get("algo"),
        "mode": "offline" if first.config.get("algo") == "bc" else first.config.get("mode"),
        "demos": first.demos,
        "steps": [r.step for r in family.runs],
        "seeds": [r.config.get("seed") for r in family.runs],
        "final": _numbers(final),
        "best": None if best is None else {"step": best[1], **(_numbers(best[0]) or {})},
        "train_s": sum(times) / len(times) if times else None,
        "settings": settings,
        "runs": [str(r.path) for r in family.runs],
    }


def _numbers(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "success_rate": score.success_rate, "interval": list(score.interval), "rates": list(score.rates),
        "return_mean": score.return_mean, "returns": list(score.returns), "episodes": score.episodes,
    }  # fmt: skip


HEADINGS = ("run", "learner", "demos", "steps", "success (95 %)", "best, at", "return", "time")
NUMBERS = ("demos", "steps", "return", "time")  # headings of right-aligned columns


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns a row as the table shows it."""
    final, best = row["final"], row["best"]
    reached = sorted(set(row["steps"]))
    return (
        row["name"],
        row["algo"] if row["algo"] == "bc" else f"{row['algo']} {row['mode']}",
        "–" if row["demos"] is None else str(row["demos"]),
        "–".join(_thousands(s) for s in (reached[:1] + reached[1:][-1:])),
        "not evaluated" if final is None else _success(final),
        "–" if best is None else f"{_percent(best['success_rate'])}, {_thousands(best['step'])}",
        "–" if final is None else f"{final['return_mean']:.2f}",
        "–" if row["train_s"] is None else _duration(row["train_s"]),
    )


def settings_line(row: dict[str, Any]) -> str:
    """Returns what sets a family apart from the others."""
    return f"{row['name']}: " + ", ".join(f"{k}={_short(v)}" for k, v in row["settings"].items())


def _thousands(step: int) -> str:
    return f"{step / 1000:g}k" if step >= 1000 else str(step)


def _success(final: dict[str, Any]) -> str:
    low, high = final["interval"]
    text = f"{_percent(final['success_rate'])} ({100 * low:.0f}–{100 * high:.0f})\nn = {final['episodes']}"
    rates = final["rates"]
    return text if len(rates) < 2 else f"{text}\nseeds {' '.join(f'{100 * r:.0f}' for r in rates)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _short(value: Any) -> str:
    """Returns a setting in a few characters; of paths the last two parts."""
    if isinstance(value, list):
        return "+".join(_short(v) for v in value) or "default"
    if isinstance(value, str):
        return "/".join(Path(value).parts[-2:])
    return "default" if value is None else str(value)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in HEADINGS:
        side = "right" if heading in NUMBERS else "left"
        table.add_column(heading, justify=side, no_wrap=heading != "run", overflow="fold")
    for row in rows:
        table.add_row(*cells(row))
    console = Console(highlight=False)
    console.print(table)
    if any(row["settings"] for row in rows):
        console.print("what sets them apart:", *(f"  {settings_line(row)}" for row in rows), sep="\n")
    missing = [path for row in rows if row["final"] is None for path in row["runs"]]
    if missing:
        console.print(f"not evaluated yet: lfd eval {missing[0]}")
    console.print("success: of the last checkpoint, 95 % interval; best: chosen afterwards, so never a claim")


def panels(groups: Sequence[Family], metrics: Sequence[str]) -> list[Panel]:
    """Returns success over steps, the return where no success is known, and a panel for each metric.

    The band around evaluated success is the pooled Wilson interval, that around all else Student's over the seeds.
    """
    success = Panel("success in evaluation", [c for g in groups if (c := _success_curve(g))], share=True)
    solved = any(y > 0 for c in success.curves for y in c.y)
    found = [success] if success.curves else []
    if success.curves and not solved:
        found.append(Panel("return in evaluation", [c for g in groups if (c := _return_curve(g))]))
    names = metrics or [n for n in ("practice_success",) if any(g.curve(n) for g in groups)]
    found += [Panel(_title(n), [c for g in groups if (c := _logged_curve(g, n))], share=n in SHARES) for n in names]
    return found


SHARES = ("practice_success", "eval_success")


def _title(metric: str) -> str:
    return {"practice_success": "success in practice, last 20 episodes"}.get(metric, metric)


def _success_curve(family: Family) -> Curve | None:
    scores = {step: s for step in family.steps if (s := family.at(step))}
    low, high = ([s.interval[i] for s in scores.values()] for i in (0, 1))
    return Curve(family.name, list(scores), [s.success_rate for s in scores.values()], low, high) if scores else None


def _return_curve(family: Family) -> Curve | None:
    return _mean_curve(family.name, {step: list(s.returns) for step in family.steps if (s := family.at(step))})


def _logged_curve(family: Family, metric: str) -> Curve | None:
    values = family.curve(metric)
    every = -(-len(values) // SMOOTHED)
    return _mean_curve(family.name, dict(list(values.items())[::every]) if values else {})


def _mean_curve(name: str, values: dict[int, list[float]]) -> Curve | None:
    if not values:
        return None
    intervals = [mean_interval(v) for v in values.values()]
    means = [sum(v) / len(v) for v in values.values()]
    return Curve(name, list(values), means, [i[0] for i in intervals], [i[1] for i in intervals])


def write_picture(path: Path, groups: Sequence[Family], rows: Sequence[dict], metrics: Sequence[str]) -> Path:
    """Writes the curves as .svg, or curves and table as one .html page. Raises LfdError where there is no curve."""
    drawn = panels(groups, metrics)
    if not drawn:
        raise LfdError(f"nothing to draw: no evaluation and no practice yet; run lfd eval {groups[0].runs[0].path}")
    picture = svg(drawn)
    text = picture if path.suffix.lower() == ".svg" else _page(picture, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path


def _page(picture: str, rows: Sequence[dict[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{h}</th>' for h in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells(r)) + "</tr>" for r in rows)
    apart = "".join(f"<li>{html.escape(settings_line(r))}</li>" for r in rows if r["settings"])
    data = json.dumps(list(rows)).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lfd compare</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  background: light-dark(#fff, #0d1117); color: light-dark(#1f2328, #e6edf3) }}
svg {{ max-width: 100%; height: auto }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ white-space: pre-line; text-align: left; padding: .35rem .7rem;
  border-bottom: 1px solid light-dark(#d9dee3, #30363d) }}
</style></head><body><h1>Runs compared</h1>
{picture}
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
{f"<p>What sets them apart:</p><ul>{apart}</ul>" if apart else ""}
<p>Success is of the last checkpoint, with a 95 % interval (Wilson's, over all seeds; wider where seeds disagree).
The best checkpoint was chosen afterwards and is no claim. Bands are 95 %; around logged values
Student's over the seeds.</p>
<script type="application/json" id="rows">{data}</script>
</body></html>
"""
