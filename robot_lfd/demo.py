"""`lfd demo`: the whole loop with the same functions that the single commands call; no screen, minutes on a laptop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from robot_lfd.checkpoint import finished_checkpoints
from robot_lfd.config import DemoConfig, DeployConfig, EvalConfig, RecordConfig, ReviewConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.deploy import run as deploy
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import run as evaluate
from robot_lfd.record import run as record
from robot_lfd.review.page import run as review
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.trainer import run as train

VIDEO_EPISODES = 4


def run(config: DemoConfig) -> dict[str, Any]:
    """Records, trains behaviour cloning and IQ-Learn, evaluates both, deploys and writes the review page."""
    steps = _Steps(config)
    began = time.perf_counter()
    steps.do("record", f"{config.demos} demos of {config.env} by the scripted operator", steps.record)
    steps.do("train_bc", "behaviour cloning from these demos", lambda: steps.train("bc"))
    steps.do("train_iq", "IQ-Learn from these demos, practising in the simulator", lambda: steps.train("iq"))
    cloned = steps.do("eval_bc", "how well the clone does", lambda: steps.evaluate("bc"))
    learned = steps.do("eval_iq", "how well IQ-Learn does", lambda: steps.evaluate("iq"))
    steps.do("deploy", "the IQ-Learn policy drives the arm in real time and is recorded", steps.deploy)
    page = steps.do("review", "one page to look at what it did", steps.review)
    seconds = round(time.perf_counter() - began, 1)
    return {
        "ok": True, "env": config.env, "demos": config.demos,
        "iq": {"success_rate": learned["success_rate"], "interval": learned["interval"]},
        "bc": {"success_rate": cloned["success_rate"], "interval": cloned["interval"]},
        "eval_episodes": config.eval_episodes, "seconds": seconds, "seconds_of": steps.seconds,
        "paths": {**steps.paths(), "page": str(page["file"])},
    }  # fmt: skip


class _Steps:
    """The stations of the loop, each of which knows what an earlier call of the demo has already finished."""

    def __init__(self, config: DemoConfig) -> None:
        self.config, self.out, self.console = config, config.out, Console()
        self.seconds: dict[str, float] = {}

    def do(self, name: str, what: str, step: Any) -> dict[str, Any]:
        """Says what comes, does it, notes how long it took."""
        self.console.rule(f"{len(self.seconds) + 1} of 7: {what}", align="left")
        began = time.perf_counter()
        result: dict[str, Any] = step()
        self.seconds[name] = round(time.perf_counter() - began, 1)
        return result

    def paths(self) -> dict[str, str]:
        """Returns where everything lies."""
        names = {"demos": "demos", "bc_run": "bc", "iq_run": "iq", "rollouts": "rollouts", "video": "iq.mp4"}
        return {k: str(self.out / v) for k, v in names.items()}

    def record(self) -> dict[str, Any]:
        """Records what is missing of the demos; failures are kept with their label and not counted."""
        path, wanted = self.out / "demos", self.config.demos
        have = _solved(path)
        for _ in range(5):
            if have >= wanted:
                break
            record(
                RecordConfig(
                    env=self.config.env, out=path, device="scripted", episodes=wanted - have, seed=self.config.seed,
                    operator="scripted operator",
                )
            )  # fmt: skip
            have = _solved(path)
        if have < wanted:
            raise LfdError(f"only {have} of {wanted} demos of {self.config.env} succeeded; try another --seed")
        return {"demos": have}

    def train(self, algo: Literal["bc", "iq"]) -> dict[str, Any]:
        """Trains unless that run is finished; an interrupted one goes on."""
        run = self.out / algo
        steps = self.config.steps if algo == "iq" else None
        done = finished_checkpoints(run)
        if done and int(done[-1].name) >= (5_000 if steps is None else steps):
            self.console.print(f"'{run}' is already trained")
            return {}
        demos = (self.out / "demos",)
        return train(
            TrainConfig(
                demos=demos, out=run, algo=algo, steps=steps, seed=self.config.seed, resume=bool(done),
                max_demos=self.config.demos,
            )
        )  # fmt: skip

    def evaluate(self, algo: str) -> dict[str, Any]:
        """Evaluates from the same starts for every policy; films a few episodes of IQ-Learn."""
        video = self.out / "iq.mp4" if algo == "iq" else None
        return evaluate(
            EvalConfig(
                run=self.out / algo, episodes=self.config.eval_episodes, video=video, video_episodes=VIDEO_EPISODES
            )
        )

    def deploy(self) -> dict[str, Any]:
        """Deploys three episodes, paced, within limits, recorded."""
        return deploy(DeployConfig(run=self.out / "iq", episodes=3, record=self.out / "rollouts", headless=True))

    def review(self) -> dict[str, Any]:
        """Writes the page of demos and rollouts."""
        page = self.out / "review.html"
        review(ReviewConfig(datasets=(self.out / "demos", self.out / "rollouts"), export=page, policy=self.out / "iq"))
        return {"file": page}


def _solved(path: Path) -> int:
    if not path.exists():
        return 0
    store = DemoStore.open(path)
    return sum(store.info(i).success for i in store.ids())
