"""Steps of practice per second: Ray's rollout workers beside the vectorised environment, and what a training gains.

    python benchmarks/rollouts.py --out benchmarks/results/rollouts.json

First part: the same network acts on the same task with as many processes each. Ray's workers act by themselves and send
many steps a call; the vectorised environment gets its actions from this process, for all copies at once, step by step;
and one process plays alone. Second part: whole steps of online IQ-Learn (practice and a gradient step) with workers,
with as many copies (`--copies`) and with the serial loop. Rounds alternate; a round's rate is steps by wall time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured import machine

from robot_lfd.cli import call
from robot_lfd.envs.registry import make_env
from robot_lfd.envs.vector import make_vector_env
from robot_lfd.scale.cluster import Cluster, joined
from robot_lfd.train.agents import make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.far_practice import FarPractice, piece_steps
from robot_lfd.train.practice import Practice
from robot_lfd.train.practice_many import ManyPractice
from robot_lfd.train.reading import read
from robot_lfd.train.rows import Replay, draw

BATCH_ROWS = 128


def demos_of(env_id: str, folder: Path) -> Path:
    """Records scripted demos, from which agents have their scales."""
    out = folder / env_id.replace("/", "-")
    words = ["record", "--env", env_id, "--device", "scripted", "--episodes", "2", "--out", str(out)]
    if call(words) != 0:
        raise SystemExit(1)
    return out


class Vector:
    """Copies that step at once, acted for here."""

    def __init__(self, env_id: str, copies: int, agent: Any, keys: tuple[str, ...]) -> None:
        self.env, self.agent, self.keys, self.copies = make_vector_env(env_id, copies), agent, keys, copies
        self.obs, _ = self.env.reset(seed=0)

    def steps(self, count: int) -> None:
        """Takes `count` steps of all copies together."""
        for _ in range(count // self.copies):
            columns = [self.obs[k].reshape(self.copies, -1) for k in self.keys]
            rows = torch.from_numpy(np.concatenate(columns, 1).astype(np.float32))
            self.obs, *_ = self.env.step(self.agent.act(rows, explore=True).numpy())


def rates(ways: dict[str, Callable[[int], None]], steps: int, rounds: int) -> dict[str, list[float]]:
    """Returns steps a second of each way in each round; a short round before is not counted."""
    found: dict[str, list[float]] = {k: [] for k in ways}
    for number in range(rounds + 1):
        for name, take in ways.items():
            began = time.perf_counter()
            take(steps if number else steps // 5)
            if number:
                found[name].append(steps / (time.perf_counter() - began))
    return found


def measure(cluster: Cluster, env_id: str, demos: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Returns the rows of one task: practice alone, and whole training steps."""
    config = TrainConfig(
        demos=(demos,), out=Path("unused"), rollout_workers=asked.workers, staleness_bound=asked.bound, candidates=0
    )
    config, _, expert, spec = read(config)
    rows = expert.rows

    def far(agent: Any, replay: Replay) -> FarPractice:
        return FarPractice(cluster, config, spec, (env_id, {}), agent, rows, replay)

    def near(agent: Any, replay: Replay) -> Practice:
        return Practice(make_env(env_id), agent, spec.features, replay, 0, False)

    def copies(agent: Any, replay: Replay) -> ManyPractice:
        envs = make_vector_env(env_id, asked.workers, autoreset=False)
        return ManyPractice(envs, agent, spec.features, replay, 0, False)

    agent = make_agent(config, spec, rows)
    one, many = near(agent, Replay(100_000, rows)), far(agent, Replay(100_000, rows))
    vector = Vector(env_id, asked.workers, agent, spec.features)
    practice = {
        "ray": lambda n: repeat(many.step, n), "vector": vector.steps, "serial": lambda n: repeat(one.step, n),
    }  # fmt: skip
    alone = rates(practice, asked.steps, asked.rounds)
    stale = many.scalars()["staleness_max"]
    many.close()
    vector.env.close()
    one.close()
    learning, closing = {}, []
    for name, make in (("ray", far), ("vector", copies), ("serial", near)):
        own, replay = make_agent(config, spec, rows), Replay(100_000, rows)
        at = make(own, replay)
        closing.append(at.close)
        learning[name] = learn(own, at, rows, replay)
    training = rates(learning, asked.updates, asked.rounds)
    for close in closing:
        close()
    return {
        "env": env_id, "steps_a_call": piece_steps(asked.workers, asked.bound, 1), "staleness_max": stale,
        "practice": told(alone), "training": told(training),
    }  # fmt: skip


def learn(agent: Any, practice: Any, rows: Any, replay: Replay) -> Callable[[int], None]:
    """Returns what takes steps of practice with a gradient step each."""
    rng = np.random.default_rng(0)

    def step() -> None:
        practice.step()
        agent.update(draw(rng, rows, replay, BATCH_ROWS))

    return lambda count: repeat(step, count)


def repeat(step: Callable[[], object], count: int) -> None:
    """Does it so often."""
    for _ in range(count):
        step()


def told(found: dict[str, list[float]]) -> dict[str, Any]:
    """Returns medians, and the ratio of Ray's to each other way: median and extremes of the rounds."""
    report: dict[str, Any] = {f"{k}_steps_per_s": round(statistics.median(v), 1) for k, v in found.items()}
    for name in found.keys() - {"ray"}:
        ratios = sorted(a / b for a, b in zip(found["ray"], found[name], strict=True))
        report[f"ray_to_{name}"] = [round(r, 3) for r in (statistics.median(ratios), ratios[0], ratios[-1])]
    return report


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["pybullet/Lift-v0", "robosuite/Lift-v0"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bound", type=int, default=TrainConfig.staleness_bound)
    parser.add_argument("--steps", type=int, default=3000, help="of practice a round")
    parser.add_argument("--updates", type=int, default=1000, help="of training a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        demos = {env_id: demos_of(env_id, Path(folder)) for env_id in asked.env}
        with joined(asked.workers, None) as cluster:
            rows = [measure(cluster, env_id, demos[env_id], asked) for env_id in asked.env]
    report = {"benchmark": "rollouts", "workers": asked.workers, "rows": rows, **machine()}
    print(json.dumps(report))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
