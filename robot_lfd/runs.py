"""Runs: what the folders of finished or unfinished trainings hold, and which of them are seeds of one setting."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robot_lfd.errors import LfdError
from robot_lfd.evaluations import read_evaluations
from robot_lfd.intervals import pooled_interval
from robot_lfd.metrics import read_metrics
from robot_lfd.remote import url_of
from robot_lfd.train.config import TrainConfig

SEED_FOLDER = "seed-"
NOT_A_SETTING = {"command", "out", "seed", "seeds", "resume", "json", "eval_every", "eval_episodes", "checkpoint_every"}
NOT_A_SETTING |= {"read", "policy", "recipe", "workers", "address"}  # what training found and came to, and where it ran

LEFT_OPEN = {
    "gamma": "gamma", "temperature": "temperature", "candidates": "candidates", "chunk": "window", "near_m": "near_m",
    "practice_noise": "most_noise",
}  # fmt: skip
"""Settings whose default depends on the task and the version, and what a policy calls them."""


@dataclass(frozen=True)
class Run:
    """One run folder as it lies on the disk."""

    path: Path
    config: dict[str, Any]

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl."""
        return read_metrics(self.path)

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """All evaluations, by step."""
        return read_evaluations(self.path)

    @cached_property
    def step(self) -> int:
        """The step of the last finished checkpoint; 0 before the first."""
        steps = [int(f.parent.name) for f in self.path.glob("checkpoints/[0-9]*/DONE")]
        return max(steps, default=0)

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for, without names and seeds: equal for the seeds of one setting.

        A setting that did not exist yet when the run was made has its default. Where nothing was asked for, which means
        now this, now that, it is what the policy came to have.
        """
        named, had = {**_defaults(), **self.config}, self._policy
        came_to = {**self._recipe, **{k: had[field] for k, field in LEFT_OPEN.items() if field in had}}
        meant = {k: v for k, v in came_to.items() if named.get(k) is None}
        return {k: v for k, v in {**named, **meant}.items() if k not in NOT_A_SETTING}

    @property
    def _recipe(self) -> dict[str, Any]:
        """What the demos decided; of versions that did not ask them what was usual then, as far as it is known."""
        if "recipe" in self.config:
            return self.config["recipe"]
        usual = {"bc_fall_at": 0}
        if self.config.get("obs") != "pixels":
            usual["steps"] = 5_000 if self.config.get("algo") == "bc" else 25_000
        return {**usual, "practice_per_update": 1} if self._policy.get("candidates") else usual

    @cached_property
    def _policy(self) -> dict[str, Any]:
        """What the policy came to have where nothing was asked for; earlier versions left it to the checkpoints."""
        if "policy" in self.config:
            return self.config["policy"]
        try:
            found = json.loads((self.path / "checkpoints" / f"{self.step:08d}" / "config.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def demos(self) -> int | None:
        """How many demos it learned from; None where an older lfd did not write it down."""
        return self.config.get("read", {}).get("demos")

    @property
    def sight(self) -> str:
        """What a policy that sees pictures looks at, and what training knew beside them, in words; "" on state."""
        if self.config.get("obs") != "pixels":
            return ""
        known = ", ".join(self.config.get("read", {}).get("simulator_state", []))
        training = f"training also looked at the simulator's {known}" if known else "so did training"
        return f"sees pictures and feels its arm, no object's state; {training}"

    @property
    def train_s(self) -> float | None:
        """Seconds of training, over all its sessions."""
        last = next((r["train_s"] for r in reversed(self.metrics) if r.get("train_s") is not None), None)
        rates = [r["steps_per_s"] for r in self.metrics if r.get("steps_per_s")]
        return self.metrics[-1]["step"] / rates[-1] if last is None and rates else last

    def episodes(self, step: int) -> list[dict[str, Any]]:
        """Returns the evaluated episodes of a checkpoint, each start once: the latest file wins."""
        rows = {r["seed"]: r for e in self.evaluations if e["step"] == step for r in e["rows"]}
        return list(rows.values())


@dataclass(frozen=True)
class Family:
    """Runs of one setting that differ in their seed alone; often just one run."""

    name: str
    runs: tuple[Run, ...]

    @cached_property
    def steps(self) -> list[int]:
        """All evaluated steps."""
        return sorted({e["step"] for r in self.runs for e in r.evaluations})

    def at(self, step: int) -> Score | None:
        """Returns what the evaluations of one step came to; None without any."""
        return score([run.episodes(step) for run in self.runs])

    @property
    def final(self) -> Score | None:
        """What the last checkpoint of each run came to; None where none was evaluated."""
        return score([run.episodes(run.step) for run in self.runs])

    @property
    def best(self) -> tuple[Score, int] | None:
        """The best of all evaluated steps, and which. It was chosen after the fact: never to be reported alone."""
        found = [(s, step) for step in self.steps if (s := self.at(step))]
        return max(found, key=lambda pair: (pair[0].success_rate, pair[0].return_mean), default=None)

    def curve(self, name: str) -> dict[int, list[float]]:
        """Returns the values of a logged metric of all runs by step."""
        values: dict[int, list[float]] = {}
        for run in self.runs:
            for record in run.metrics:
                if record.get(name) is not None:
                    values.setdefault(record["step"], []).append(float(record[name]))
        return dict(sorted(values.items()))


@dataclass(frozen=True)
class Score:
    """Evaluated episodes of some runs together. `rates` and `returns` are per run, `interval` is Wilson's, pooled."""

    success_rate: float
    interval: tuple[float, float]
    rates: tuple[float, ...]
    return_mean: float
    returns: tuple[float, ...]
    episodes: int


def score(runs: Sequence[Sequence[dict[str, Any]]]) -> Score | None:
    """Returns the score of runs by their evaluated episodes; those without any are left out."""
    filled = [rows for rows in runs if rows]
    if not filled:
        return None
    counts = [(sum(bool(r["success"]) for r in rows), len(rows)) for rows in filled]
    sums = [sum(r["return_sum"] for r in rows) for rows in filled]
    total = sum(n for _, n in counts)
    return Score(
        success_rate=sum(k for k, _ in counts) / total,
        interval=pooled_interval(counts),
        rates=tuple(k / n for k, n in counts),
        return_mean=sum(sums) / total,
        returns=tuple(s / n for s, (_, n) in zip(sums, counts, strict=True)),
        episodes=total,
    )


def seed_folders(path: Path) -> list[Path]:
    """Returns the runs RUN/seed-0, RUN/seed-1, ... that `lfd train --seeds` made, by number."""
    found = [f for f in path.glob(f"{SEED_FOLDER}*") if f.name.removeprefix(SEED_FOLDER).isdigit() and f.is_dir()]
    return sorted(found, key=lambda f: int(f.name.removeprefix(SEED_FOLDER)))


def read_run(path: Path) -> Run:
    """Returns a run. Raises LfdError where the folder holds none."""
    file = path / "config.json"
    if not path.is_dir():
        raise LfdError(f"no such run: '{path}'; train one with lfd train --out {path}")
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise LfdError(f"'{path}' is no run: {file.name} cannot be read ({error}); lfd train makes runs") from error
    if not isinstance(config, dict) or config.get("command") != "train":
        raise LfdError(
            f"'{path}' is no run: its {file.name} is not of lfd train; name the run folder, not a checkpoint"
        )
    return Run(path, config)


def families(paths: Iterable[Path]) -> list[Family]:
    """Returns the runs in `paths`, those of one setting together; a folder of seeds is one family.

    Raises:
        LfdError: a path is no run, or is named twice.
    """
    groups: dict[str, list[tuple[Path, Run]]] = {}
    seen: set[Path] = set()
    for path in paths:
        here = _here(path)
        for run in [read_run(p) for p in seed_folders(here) or [here]]:
            if run.path.resolve() in seen:
                raise LfdError(f"run '{run.path}' is named twice")
            seen.add(run.path.resolve())
            groups.setdefault(json.dumps(run.settings, sort_keys=True), []).append((path, run))
    names = _names([[named for named, _ in group] for group in groups.values()])
    return [Family(n, tuple(run for _, run in g)) for n, g in zip(names, groups.values(), strict=True)]


def _here(path: Path) -> Path:
    """Returns the folder of a run, fetched where it lies at a URL."""
    if url_of(path) is None:
        return path
    from robot_lfd.remote_runs import fetched  # late: it brings torch

    return fetched(path)


def _names(groups: list[list[Path]]) -> list[str]:
    """Returns a short name a group: the folder's own, with its parent's where two would be alike."""
    short = [_common_name([p.resolve().name for p in group]) for group in groups]
    long = [f"{g[0].resolve().parent.name}/{s}" for g, s in zip(groups, short, strict=True)]
    return [lo if short.count(s) > 1 else s for s, lo in zip(short, long, strict=True)]


def _common_name(names: list[str]) -> str:
    first, last = min(names), max(names)
    same = next((i for i, c in enumerate(first) if i >= len(last) or last[i] != c), len(first))
    begin = first[:same].rstrip("-_. ").removesuffix("seed").rstrip("-_. ")
    return first if first == last or not begin else begin


def _defaults() -> dict[str, Any]:
    """Returns the defaults of `lfd train` as a run's config.json would hold them."""
    fields = dataclasses.fields(TrainConfig)
    return json.loads(json.dumps({f.name: f.default for f in fields if f.default is not dataclasses.MISSING}))


def differences(groups: Sequence[Family], without: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Returns the settings in which families differ, one value a family: what a comparison is really of."""
    settings = [g.runs[0].settings for g in groups]
    keys = [k for k in dict.fromkeys(k for s in settings for k in s) if k not in set(without)]
    values = {k: [s.get(k) for s in settings] for k in keys}
    return {k: v for k, v in values.items() if any(x != v[0] for x in v)}
