"""`lfd eval --workers`: the episodes of an evaluation shared out, each the same as in one process."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from robot_lfd.config import EvalConfig
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import EpisodeRow, evaluate, sight_of
from robot_lfd.remote import url_of
from robot_lfd.scale.cluster import cores
from robot_lfd.scale.jobs import Progress, pieces, run_jobs


@dataclasses.dataclass
class EvalJob:
    """Some episodes of one policy. A worker keeps policy and environment for the next such job."""

    run_folder: Path
    seed: int
    episodes: int
    done: int = 0
    solved: int = 0

    @property
    def name(self) -> str:
        """The starts."""
        return f"starts {self.seed}-{self.seed + self.episodes - 1}"

    def run(self, desk: dict[str, Any]) -> tuple[EpisodeRow, ...]:
        """Returns a row an episode."""
        from robot_lfd import load_policy
        from robot_lfd.envs.registry import make_env
        from robot_lfd.remote_runs import fetched

        if desk.get("run") != self.run_folder:
            if "env" in desk:
                desk.pop("env").close()
            policy = load_policy(fetched(self.run_folder))
            desk["env"] = make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs)  # type: ignore[attr-defined]
            desk["policy"], desk["run"] = policy, self.run_folder
        env, policy = desk["env"], desk["policy"]
        return evaluate(env, policy, episodes=self.episodes, seed=self.seed, on_episode=self._count).rows

    def _count(self, row: EpisodeRow) -> None:
        self.done, self.solved = self.done + 1, self.solved + row.success

    def progress(self) -> Progress:
        """Counts episodes."""
        return Progress(self.done, self.episodes, f"{self.solved} solved")

    def again(self) -> EvalJob:
        """Returns the same job from its beginning."""
        return EvalJob(self.run_folder, self.seed, self.episodes)


def evaluate_on_workers(config: EvalConfig) -> tuple[EpisodeRow, ...]:
    """Returns a row an episode, in order of the starts."""
    if config.episodes < 1:
        raise LfdError(f"{config.episodes} evaluation episodes were asked for, expected at least 1")
    workers = cores() if config.workers is None else config.workers
    folder = config.run if url_of(config.run) else config.run.resolve()
    jobs = [EvalJob(folder, config.seed + p.start, len(p)) for p in pieces(config.episodes, workers)]
    found = run_jobs(jobs, workers=config.workers, address=config.address, title=f"evaluating {config.run}")
    return tuple(row for rows in found for row in rows)
