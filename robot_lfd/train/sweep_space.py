"""What a sweep tries: `--set` names fields of `lfd train` and their values; each combination is a trial."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import types
import typing
from typing import Any

from robot_lfd.errors import LfdError
from robot_lfd.train.config import SweepConfig, TrainConfig
from robot_lfd.train.reading import steps_of

REDUCTION = 3  # of the trials that reach a rung, one in so many goes on
RUNGS = 3  # the last step of the training among them
LONGEST_NAME = 120
NOT_SET = ("demos", "out", "seeds", "resume", "workers", "address", "json")  # fields that a sweep decides itself


@dataclasses.dataclass(frozen=True)
class Span:
    """Numbers between two, drawn evenly on a logarithmic scale where both are above 0; whole ones are rounded."""

    low: float
    high: float
    whole: bool

    def draw(self, rng: random.Random) -> float | int:
        """Returns one of them, to four digits."""
        if self.low > 0:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            value = rng.uniform(self.low, self.high)
        return round(value) if self.whole else float(f"{value:.4g}")


def trials_of(config: SweepConfig) -> list[TrainConfig]:
    """Returns the settings, each with a run folder of its own: all combinations, or --random of them.

    Raises:
        LfdError: no such field, a value that it cannot have, or a number of trials that there cannot be.
    """
    choices = _choices(config)
    chosen = _drawn(choices, config) if config.random is not None else _all(choices)
    varied = [k for k, values in choices.items() if isinstance(values, Span) or len(values) > 1]
    base = TrainConfig(demos=config.demos, out=config.out)
    trials = []
    for number, values in enumerate(chosen):
        name = ",".join(f"{k}={_shown(values[k])}" for k in varied).replace("/", "_") or "only"
        name = name if len(name) <= LONGEST_NAME else f"trial-{number:03d}"
        trials.append(dataclasses.replace(base, **values, out=config.out / name))
    return trials


def rungs_of(trials: list[TrainConfig], *, full: bool) -> list[list[int]]:
    """Returns for each trial the steps at which it is evaluated: a ninth and a third of the longest, and its last.

    Args:
        full: at its last step alone.
    """
    first = math.ceil(max(map(steps_of, trials)) / REDUCTION ** (RUNGS - 1))
    early = [] if full else [first * REDUCTION**k for k in range(RUNGS - 1)]
    return [[*(s for s in early if s < steps_of(t)), steps_of(t)] for t in trials]


def _all(choices: dict[str, list[Any] | Span]) -> list[dict[str, Any]]:
    lists = []
    for name, values in choices.items():
        if isinstance(values, Span):
            raise LfdError(f"--set {name}: a range has no end of values; say how many trials to draw with --random")
        lists.append(values)
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*lists)]


def _drawn(choices: dict[str, list[Any] | Span], config: SweepConfig) -> list[dict[str, Any]]:
    rng, wanted = random.Random(config.seed), config.random
    assert wanted is not None
    ranges = any(isinstance(v, Span) for v in choices.values())
    most = None if ranges else math.prod(len(v) for v in choices.values() if isinstance(v, list))
    if wanted < 1 or (most is not None and wanted > most):
        raise LfdError(f"--random is {wanted}, expected " + ("at least 1" if most is None else f"1 to {most}"))
    if most is not None:
        return rng.sample(_all(choices), wanted)
    found: list[dict[str, Any]] = []
    for _ in range(100 * wanted):
        one = {k: v.draw(rng) if isinstance(v, Span) else rng.choice(v) for k, v in choices.items()}
        if one not in found:
            found.append(one)
        if len(found) == wanted:
            return found
    raise LfdError(f"--random is {wanted}, but the ranges hold only {len(found)} settings that differ; ask for fewer")


def _choices(config: SweepConfig) -> dict[str, list[Any] | Span]:
    choices: dict[str, list[Any] | Span] = {}
    for said in config.set:
        name, equals, text = said.partition("=")
        if not equals or not text:
            raise LfdError(f"--set {said}: expected NAME=VALUE,VALUE,... such as gamma=0.95,0.97")
        if name in choices:
            raise LfdError(f"--set names {name} twice; give all its values at once: {name}=VALUE,VALUE")
        choices[name] = _values(name, text)
    if not choices:
        raise LfdError("nothing to try: say which settings with --set, such as --set gamma=0.95,0.97 bc_weight=1,5")
    return choices


def _values(name: str, text: str) -> list[Any] | Span:
    """Returns what a text means for a field of TrainConfig: `default`, or a value; of several numbers, `128+128`."""
    hints = typing.get_type_hints(TrainConfig)
    if name not in hints or name in NOT_SET:
        known = ", ".join(k for k in hints if k not in NOT_SET)
        raise LfdError(f"lfd train has no setting '{name}' to try; there are: {known}")
    hint = _without_none(hints[name])
    try:
        if ".." in text and hint in (int, float):
            low, high = (_read_as(hint, part) for part in text.split("..", 1))
            if not low < high:
                raise ValueError("LOW..HIGH with LOW below HIGH")
            return Span(low, high, whole=hint is int)
        values = [_default(name) if part == "default" else _read_as(hint, part) for part in text.split(",")]
    except ValueError as error:
        raise LfdError(f"--set {name}: found '{text}', expected {error}") from error
    if len(set(values)) < len(values):
        raise LfdError(f"--set {name}: found '{text}', in which a value comes twice; leave one out")
    return values


def _default(name: str) -> Any:
    return next(f.default for f in dataclasses.fields(TrainConfig) if f.name == name)


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (k for k in typing.get_args(hint) if k is not type(None))
    return hint


def _read_as(kind: Any, text: str) -> Any:
    """Returns the value of a type that a text means. Raises ValueError with what was expected."""
    origin, kinds = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        if text not in kinds:
            raise ValueError(f"one of: {', '.join(map(str, kinds))}")
        return text
    if origin is tuple:
        return tuple(_read_as(kinds[0], part) for part in text.split("+"))
    if kind is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise ValueError("yes or no")
        return text.lower() in ("yes", "true")
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError("a whole number" if kind is int else "a number")
        return value
    return kind(text)


def _shown(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or "default"
    return str(value)
