"""`lfd train --obs pixels`: cloning what a person did from pictures, or distilling a teacher that knows the state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console

from policies.pixel_actor import Sight
from policies.pixel_cloning import PixelCloning, PixelCloningConfig
from robot_lfd.checkpoint import LearnedPolicy, PolicySpec
from robot_lfd.config import TrainConfig
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import Diverged
from robot_lfd.metrics import Metrics
from robot_lfd.train.distill import LabelledPractice, demos_of, labelled_sights, load_teacher
from robot_lfd.train.images import Sights, draw
from robot_lfd.train.loop import Session, run_steps
from robot_lfd.train.pixel_reading import PixelDemos, pixel_steps, read_pixels, state_weight
from robot_lfd.train.resume import checkpoint_to_resume, practice_limit
from robot_lfd.train.rows import statistics_of

LABELLED = "labelled"  # folder of a run with the pictures that the teacher labelled


def run(config: TrainConfig) -> dict[str, Any]:
    """Trains, and returns where the run lies and how it went."""
    demos, spec = read_pixels(config)
    teacher = load_teacher(config.teacher, spec) if config.teacher else None
    resumed = checkpoint_to_resume(config, spec)
    out = Console()
    out.print(f"{demos.count} demos, {len(demos.sights.row)} steps of {spec.env_id}; sees: {', '.join(spec.features)}")
    if demos.known:
        out.print("training also uses the simulator's state; the policy that comes out does not see it")
    session = PixelSession(config, spec, demos, teacher, resumed)
    began = time.perf_counter()
    try:
        scalars = session.train()
    finally:
        session.close()
    seconds = round(time.perf_counter() - began, 1)
    out.print(f"done in {seconds:.0f} s; next: lfd eval {config.out}")
    return {
        "run": str(config.out), "algo": config.algo, "obs": "pixels", "env": spec.env_id, "demos": demos.count,
        "steps": session.step, "seconds": seconds, **{k: round(v, 4) for k, v in scalars.items()},
    }  # fmt: skip


class PixelSession(Session):
    """One training run from pictures: agent, labelled practice and random state, from a checkpoint or the beginning."""

    def __init__(
        self, config: TrainConfig, spec: PolicySpec, demos: PixelDemos, teacher: LearnedPolicy | None,
        resumed: Path | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config, self.spec = config, spec
        self.demos = demos if teacher is None else demos.labelled_by(teacher)
        self.agent = _make_agent(config, spec, self.demos.sights)
        self.rng = np.random.default_rng(config.seed)
        config.out.mkdir(parents=True, exist_ok=True)
        self.practice = None if teacher is None else self._make_practice(teacher)
        if resumed:
            self.continue_from(resumed)
        self.write_config(_what_was_read(config, self.demos, teacher))
        self.metrics = Metrics(config.out, self.step if resumed else None)

    def _make_practice(self, teacher: LearnedPolicy) -> LabelledPractice:
        d, s = self.demos, self.demos.sights
        limit = practice_limit(self.config, self.spec, len(s.row) / d.count)
        room = labelled_sights(
            self.config.out / LABELLED, pixel_steps(self.config), self.spec, s.proprio.shape[1], s.state.shape[1]
        )
        return LabelledPractice(
            self.make_env(max_episode_steps=limit), self.agent, teacher, room, self.spec.cameras, d.felt, d.known,
            self.rng, seed=self.config.seed, teacher_steps=self.config.teacher_steps,
        )  # fmt: skip

    def make_env(self, **changes: Any) -> gym.Env:
        """Returns the demos' environment with the policy's cameras, but for `changes`."""
        sight = {"cameras": self.spec.cameras, "size_px": self.spec.size_px}
        return make_env(self.spec.env_id, **{**self.spec.env_kwargs, **sight, **changes})

    def train(self) -> dict[str, float]:
        """Runs to the last step; checkpoints on the way, at the end, and when interrupted."""
        if self.step == 0 and self.practice:
            self.clone_first(self._update)
        every = self.config.checkpoint_every
        return run_steps(self, total=pixel_steps(self.config), checkpoint_every=every, title=self.config.algo)

    def one_step(self) -> dict[str, float]:
        """Practises one control step where there is a teacher, and does the gradient steps."""
        if self.practice:
            self.practice.step()
        self.step += 1
        found = dict[str, float]()
        for _ in range(self.config.updates_per_step if self.practice else 1):
            found = self._update()
        if self.is_evaluated():
            found["eval_success"] = self.evaluate()
        return found

    def _update(self) -> dict[str, float]:
        sources: list[tuple[Sights, int]] = [(self.demos.sights, len(self.demos.sights.row))]
        if self.practice:
            sources.append((self.practice.sights, self.practice.count))
        found = self.agent.update(draw(self.rng, sources, self.config.batch_rows, self.spec.frame_stack))
        if broken := [k for k, v in found.items() if not np.isfinite(v)]:
            raise Diverged(f"training diverged at step {self.step}: {', '.join(broken)} is not finite")
        return found

    def stats(self) -> dict[str, list[float]]:
        """Returns mean and std of what the arm feels, and the actions' std."""
        felt = self.agent.actor.normaliser
        spread = self.demos.sights.action.std(0).tolist()
        return {"mean": felt.mean.tolist(), "std": felt.std.tolist(), "action_std": spread}


def _make_agent(config: TrainConfig, spec: PolicySpec, sights: Sights) -> PixelCloning:
    cloning = PixelCloningConfig(
        hidden=config.hidden, shift_px=config.shift_px, jitter=config.colour_jitter,
        state_weight=state_weight(config),
    )  # fmt: skip
    sight = Sight(len(spec.cameras), spec.size_px, spec.frame_stack, spec.encoder)
    known = statistics_of(sights.state) if cloning.state_weight > 0 else None
    return PixelCloning(sight, statistics_of(sights.proprio), spec.action_size, cloning, config.seed, known)


def _what_was_read(config: TrainConfig, demos: PixelDemos, teacher: LearnedPolicy | None) -> dict[str, Any]:
    """Returns what there was to learn from and, so that nobody is misled, what the policy itself does not see."""
    read: dict[str, Any] = {"demos": demos.count, "rows": len(demos.sights.row), "simulator_state": list(demos.known)}
    if teacher is not None:
        read["teacher"] = {
            "run": str(config.teacher), "algo": teacher.algo, "step": teacher.step, "demos": demos_of(teacher),
            "features": list(teacher.spec.features),
        }  # fmt: skip
    return read
