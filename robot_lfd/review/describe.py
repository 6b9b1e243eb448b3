"""What the page says of a dataset and of its episodes, as plain JSON-able data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_lfd.demos.episode import Episode, step_rows
from robot_lfd.evaluate import wilson_interval
from robot_lfd.verdict import path_smoothness

if TYPE_CHECKING:
    from robot_lfd.demos.spec import DatasetSpec
    from robot_lfd.demos.store import DemoStore, EpisodeInfo

FIRST = (  # observations shown before the reader chooses others
    "object_rel", "target_rel", "object_height", "gripper_width", "eef_height", "eef_pos", "state",
)  # fmt: skip
CHOSEN = 3
LATE_SHARE = 0.5  # of a control period: what `Pace` counts as late


def dataset_summary(
    store: DemoStore, rows: list[dict[str, Any]], hidden: int, cameras: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the head of the page.

    Args:
        hidden: episodes that the dataset has beyond the rows shown. cameras: those that are shown side by side.
    """
    spec = store.spec
    solved = sum(r["success"] for r in rows)
    return {
        "name": store.path.resolve().name,
        "env": spec.env_id,
        "env_kwargs": spec.env_kwargs,
        "control_hz": spec.control_hz,
        "cameras": list(cameras),
        "episodes": len(rows),
        "hidden": hidden,
        "solved": solved,
        "interval": list(wilson_interval(solved, len(rows))) if rows else None,
        "steps": sum(r["length"] for r in rows),
        "versions": spec.versions,
    }


def episode_row(store: DemoStore, episode_id: str, episode: Episode, number: int) -> dict[str, Any]:
    """Returns what the grid and the facts of an exported episode show; labels and trim are applied."""
    info = store.info(episode_id)
    measured = measures(episode.arrays(), store.spec.control_hz)
    return {**measured, **said(info), "number": number}


def said(info: EpisodeInfo) -> dict[str, Any]:
    """Returns what was noted of an episode, by the recorder and by people since; no array is needed for it."""
    whole = info.trim is None or tuple(info.trim) == (0, info.attributes["length"])
    meta = info.attributes.get("meta", {})
    return {
        "id": info.id,
        "whole_length": info.attributes["length"],
        "success": info.success,
        "verdict": "relabelled" if info.attributes.get("success") != info.success else "",
        "terminated": info.terminated,
        "truncated": info.truncated,
        "seed": info.seed,
        "operator": info.operator,
        "device": info.device,
        "recorded_at": info.recorded_at,
        "note": info.note,
        "tags": list(info.tags),
        "split": info.split,
        "trim": None if whole or info.trim is None else list(info.trim),
        "deleted": info.deleted,
        "policy": meta.get("policy"),
        "stop_reason": meta.get("stop_reason"),
        "stopped_at": meta.get("stopped_at"),
    }


def measures(arrays: Mapping[str, np.ndarray], control_hz: float) -> dict[str, Any]:
    """Returns what the arrays of an episode come to: length, return, smoothness, timing, steps by hand.

    Args:
        arrays: reward, time, intervention, and obs/eef_pos where there is one.
    """
    reward, time, intervention = (arrays[name] for name in ("reward", "time", "intervention"))
    late_ms = 1000.0 * (time[:, 1] - time[:, 0])
    late = (late_ms > LATE_SHARE * 1000.0 / control_hz).nonzero()[0]
    path = arrays.get("obs/eef_pos")
    return {
        "length": len(reward),
        "seconds": _short(len(reward) / control_hz),
        "return": _short(float(reward.sum())),
        "smoothness": None if path is None else _short(path_smoothness(path, control_hz)),
        "interventions": int(intervention.sum()),
        "by_hand": [int(x) for x in intervention] if intervention.any() else [],
        "late": len(late),
        "late_steps": [int(k) for k in late],
        "late_worst_ms": _short(float(late_ms.max())),
        "achieved_hz": achieved_hz(time[:, 1]),
    }


def pending(length: int, control_hz: float) -> dict[str, Any]:
    """Returns what stands in for `measures` of an episode whose arrays were not read yet."""
    return {
        "pending": True, "length": length, "seconds": _short(length / control_hz), "return": None, "smoothness": None,
        "interventions": 0, "by_hand": [], "late": 0, "late_steps": [], "late_worst_ms": None, "achieved_hz": None,
    }  # fmt: skip


def achieved_hz(actual: np.ndarray) -> float | None:
    """Returns the steps per second between the first and the last step; None for a single one."""
    span = float(actual[-1] - actual[0])
    return _short((len(actual) - 1) / span) if len(actual) > 1 and span > 0 else None


def charts(episode: Episode, spec: DatasetSpec) -> list[dict[str, Any]]:
    """Returns the episode's curves: groups of lines with one unit each; `shown` ones are drawn at first.

    Lines of T values belong to steps, those of T + 1 values to the observations between them.
    """
    feature = spec.features.get("action", {})
    groups = [_action_chart(episode, feature)]
    groups.append(_chart("reward", "per step", [("reward", episode.reward)], shown=True))
    keys = [k for k in episode.obs if not k.startswith("images/")]
    chosen = [k for k in FIRST if k in keys][:CHOSEN] or keys[:1]
    for key in [*chosen, *(k for k in sorted(keys) if k not in chosen)]:
        about = spec.features.get(f"obs/{key}", {})
        groups.append(_chart(key, str(about.get("unit", "")), _lines(key, episode.obs[key], about), key in chosen))
    rate = _chart("rate", "Hz", [("steps per second", _rates(episode.time[:, 1]))], shown=False)
    rate["range"] = [0.0, 1.25 * spec.control_hz]
    late = _chart(
        "lateness", "ms after due", [("late by", 1000.0 * (episode.time[:, 1] - episode.time[:, 0]))], shown=True
    )
    late["limit"] = _short(1000.0 * LATE_SHARE / spec.control_hz)
    return [*groups, rate, late]


def _rates(actual: np.ndarray) -> np.ndarray:
    """Returns how fast each step followed the one before, Hz (T,); NaN for the first."""
    gaps = np.diff(actual, prepend=np.nan)
    return np.divide(1.0, gaps, out=np.full(len(gaps), np.nan), where=gaps > 0)


def _action_chart(episode: Episode, feature: dict[str, Any]) -> dict[str, Any]:
    columns = episode.action.reshape(len(episode), -1)
    names = feature.get("names") or [f"a{i}" for i in range(columns.shape[1])]
    chart = _chart("action", "share of full", [(n, columns[:, i]) for i, n in enumerate(names)], shown=True)
    scale, units = feature.get("scale"), feature.get("unit")
    if scale and isinstance(units, list):
        chart["scale"] = [f"1.0 is {s:g} {u} a step" if u != "1" else "" for s, u in zip(scale, units, strict=True)]
    chart["range"] = [-1, 1] if episode.action.dtype.kind == "f" else None
    return chart


def _lines(key: str, array: np.ndarray, about: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    columns = array.reshape(len(array), -1).astype(np.float64)
    names = about.get("names")
    if columns.shape[1] == 1:
        return [(key, columns[:, 0])]
    fitting = names if names and len(names) == columns.shape[1] else [str(i) for i in range(columns.shape[1])]
    return [(str(n), columns[:, i]) for i, n in enumerate(fitting)]


def _chart(name: str, unit: str, lines: list[tuple[str, np.ndarray]], shown: bool) -> dict[str, Any]:
    unit = "" if unit == "1" else unit
    drawn = [{"name": n, "values": [_short(float(v)) for v in values]} for n, values in lines]
    return {"name": name, "unit": unit, "lines": drawn, "shown": shown}


def _short(value: float) -> float | None:
    """Returns four digits of a number: as many as a curve can show; None for NaN."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def misfit(store: DemoStore, policy: Any) -> str | None:
    """Returns why a policy has nothing to say of a dataset; None where it has."""
    spec = store.spec
    if policy.env_id != spec.env_id:
        return f"it was trained for {policy.env_id}, the dataset is of {spec.env_id}"
    missing = [k for k in policy.policy_keys if f"obs/{k}" not in spec.features and k not in spec.features]
    return f"it needs observation '{missing[0]}', which the dataset does not hold" if missing else None


def belief_charts(policy: Any, episode: Episode) -> list[dict[str, Any]]:
    """Returns what a policy believes along an episode: Q(s, a), V(s), the recovered reward; how far its action is away.

    The recovered reward is r = Q(s, a) - gamma V(s'), as the policy tells it. A policy without a critic (behaviour
    cloning) has an opinion on the action alone.
    """
    before, action, _, _ = step_rows(episode)
    gap, judges = action_gaps(policy, episode), getattr(policy, "has_critic", False)
    unit = "distance to the policy's action" + ("" if judges else "; it has no critic, so no Q, V or reward")
    found = [_chart("disagreement", unit, [("|a - policy(s)|", gap)], shown=True)]
    if not judges:
        return found
    values = [("Q(s, a)", policy.q(before, action)), ("V(s)", policy.value(before))]
    reward = policy.recovered_reward(*step_rows(episode))
    beliefs = [_chart("value", "soft return", values, shown=True)]
    return [*beliefs, _chart("recovered reward", "Q(s, a) - γ V(s')", [("r", reward)], shown=True), *found]


def action_gaps(policy: Any, episode: Episode) -> np.ndarray:
    """Returns how far each action taken is from the policy's own, (T,)."""
    before, action, _, _ = step_rows(episode)
    policy.reset()
    own = [policy.act({k: v[t] for k, v in before.items()}) for t in range(len(episode))]
    return np.linalg.norm(np.array(own).reshape(len(episode), -1) - action, axis=1)


def judgement(policy: Any, episode: Episode) -> dict[str, float | None]:
    """Returns by what a policy ranks an episode: mean recovered reward a step; for want of a critic, agreement.

    Low ones are demos that the policy finds odd.
    """
    if getattr(policy, "has_critic", False):
        return {"recovered": _short(float(np.mean(policy.recovered_reward(*step_rows(episode)))))}
    return {"agreement": _short(-float(np.mean(action_gaps(policy, episode))))}
