"""`lfd train --obs pixels`: IQ-Learn or cloning from pictures, or distilling a teacher that knows the state."""

from __future__ import annotations

import dataclasses
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from rich.console import Console

from policies.looking import Compute
from policies.pixel_actor import PixelBatch
from policies.pixel_soft import PixelSoft, PixelTransitions
from policies.sharing import Share
from robot_lfd.checkpoint import LearnedPolicy
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import Diverged
from robot_lfd.metrics import Metrics, NoMetrics
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.train.computing import computing
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.distill import Turns, demos_of, load_teacher
from robot_lfd.train.encoder_weights import FrozenEyes
from robot_lfd.train.images import Sights, draw, draw_transitions, mapped_sights
from robot_lfd.train.loop import WARM_UP_ROWS, Session, Settings, run_steps
from robot_lfd.train.pixel_agents import eyes_of, make_pixel_agent
from robot_lfd.train.pixel_options import SOFT, encoder_gradient, is_frozen, pixel_steps, practises
from robot_lfd.train.pixel_practice import Driver, Explorer, PixelPractice, Together
from robot_lfd.train.pixel_reading import PixelDemos, read_pixels
from robot_lfd.train.resume import alone_in, checkpoint_to_resume, practice_limit
from robot_lfd.train.several_devices import shared

LABELLED, SEEN = "labelled", "seen"  # folder of a run with the pictures of its practice


def run(config: TrainConfig, until: int | None = None) -> dict[str, Any]:
    """Trains, and returns where the run lies and how it went; `until` as in `trainer.run`."""
    with shared(config) as share:
        return _run(config, until, share)


def _run(config: TrainConfig, until: int | None, share: Share) -> dict[str, Any]:
    asked = config
    config, recipe, demos, spec = read_pixels(config)
    teacher = load_teacher(config.teacher, spec) if config.teacher else None
    compute, where = computing(config, share)
    resumed = checkpoint_to_resume(config, recipe, spec)
    share.meet()  # all have looked at --out before the first one writes there
    out = Console()
    out.print(f"{demos.count} demos, {len(demos.sights.row)} steps of {spec.env_id}; sees: {', '.join(spec.features)}")
    if demos.known:
        out.print("training also uses the simulator's state; the policy that comes out does not see it")
    out.print(f"{config.algo}, {pixel_steps(config)} steps {where}")
    began = time.perf_counter()
    with alone_in(config.out) if share.rank == 0 else nullcontext():
        session = PixelSession(Settings(config, asked, recipe), spec, demos, teacher, resumed, compute)
        try:
            scalars = session.train(until)
        finally:
            session.close()
    seconds = round(time.perf_counter() - began, 1)
    out.print(f"done in {seconds:.0f} s; next: lfd eval {config.out}")
    return {
        "run": str(config.out), "algo": config.algo, "obs": "pixels", "env": spec.env_id, "demos": demos.count,
        "steps": session.step, "seconds": seconds, **{k: round(v, 4) for k, v in scalars.items()},
    }  # fmt: skip


class PixelSession(Session):
    """One training run from pictures: agent, practice and random state, from a checkpoint or the beginning."""

    def __init__(
        self, settings: Settings, spec: PolicySpec, demos: PixelDemos, teacher: LearnedPolicy | None,
        resumed: Path | None, compute: Compute,
    ) -> None:  # fmt: skip
        super().__init__(settings)
        config = settings.now
        self.spec, self.compute, self.writes = spec, compute, compute.share.rank == 0
        demos = demos if teacher is None else demos.labelled_by(teacher)
        self.demos = dataclasses.replace(demos, sights=demos.sights.moved_to(compute.device))
        self.agent = make_pixel_agent(config, spec, self.demos.sights, compute)
        self.vectors = FrozenEyes(eyes_of(self.agent), compute.device) if is_frozen(config) else None
        self.rng = np.random.default_rng(config.seed)
        config.out.mkdir(parents=True, exist_ok=True)
        self.practice = self._make_practice(teacher) if practises(config) else None
        if resumed:
            self.continue_from(resumed)
        if self.practice:
            self.practice.sights = self.practice.sights.moved_to(compute.device, self.practice.seen)
        self.write_config(_what_was_read(config, self.demos, teacher))
        self.metrics = Metrics(config.out, self.step if resumed else None) if self.writes else NoMetrics()

    def _make_practice(self, teacher: LearnedPolicy | None) -> PixelPractice:
        d, s, steps, blind = self.demos, self.demos.sights, pixel_steps(self.config), self.config.success_blind
        limit = practice_limit(self.config, self.spec, len(s.row) / d.count)
        kept = SEEN if teacher is None else LABELLED
        seen = steps if teacher else 2 * steps  # of each episode the last observation too
        if self.writes:
            room = mapped_sights(self.config.out / kept, self.spec.cameras, steps, seen, s)
        self.compute.share.meet()  # the others read the same files, and keep to themselves what they would write
        if not self.writes:
            room = mapped_sights(self.config.out / kept, self.spec.cameras, steps, seen, s, mode="c")
        if teacher is None:
            driver: Driver = Explorer(self.agent)
        else:
            driver = Turns(teacher, self.agent, self.rng, self.config.teacher_steps)
        if self.compute.share.count > 1:
            driver = Together(driver, self.compute)
        env = self.make_env(max_episode_steps=limit, **({"terminate_on_success": False} if blind else {}))
        return PixelPractice(
            env, driver, room, self.spec.cameras, d.felt, d.known, seed=self.config.seed, keeps_last=teacher is None,
            blind=blind,
        )  # fmt: skip

    def make_env(self, **changes: Any) -> gym.Env:
        """Returns the demos' environment with the policy's cameras, but for `changes`."""
        sight = {"cameras": self.spec.cameras, "size_px": self.spec.size_px}
        return make_env(self.spec.env_id, **{**self.spec.env_kwargs, **sight, **changes})

    def train(self, until: int | None = None) -> dict[str, float]:
        """Runs to step `until`, or the last one; checkpoints on the way, at the end, and when interrupted."""
        if self.step == 0:
            if isinstance(self.agent, PixelSoft):
                if not self.config.state_only:
                    self.clone_first(lambda: self.agent.clone_step(self._draw()))
            elif self.practice:
                self.clone_first(self._update)
        total, every = pixel_steps(self.config) if until is None else until, self.config.checkpoint_every
        return run_steps(self, total=total, checkpoint_every=every, title=self.config.algo)

    def one_step(self) -> dict[str, float] | None:
        """Practises one control step where it practises, and does the gradient steps."""
        if self.practice:
            self.practice.step()
        self.step += 1
        if isinstance(self.agent, PixelSoft) and self.practice and self.practice.count < WARM_UP_ROWS:
            return None
        found = dict[str, float]()
        for _ in range(self.config.updates_per_step if self.practice else 1):
            found = self._update()
        if self.is_evaluated():
            found["eval_success"] = self.evaluate()
        return found

    def _update(self) -> dict[str, float]:
        found = self.agent.update(self._draw_transitions() if isinstance(self.agent, PixelSoft) else self._draw())
        found = self.compute.share.means(found, self.compute.device)
        if broken := [k for k, v in found.items() if not np.isfinite(v)]:
            raise Diverged(f"training diverged at step {self.step}: {', '.join(broken)} is not finite")
        return found

    def _draw(self) -> PixelBatch:
        sources: list[tuple[Sights, int]] = [(self.demos.sights, len(self.demos.sights.row))]
        if self.practice:
            sources.append((self.practice.sights, self.practice.count))
        c, share = self.config, self.compute.share
        return draw(self.rng, sources, c.batch_rows, self.spec.frame_stack, self.vectors, share)

    def _draw_transitions(self) -> PixelTransitions:
        replay = (self.practice.sights, self.practice.known_steps) if self.practice else None
        c, share = self.config, self.compute.share
        return draw_transitions(
            self.rng, self.demos.sights, replay, c.batch_rows, self.spec.frame_stack, self.vectors, share
        )

    def stats(self) -> dict[str, list[float]]:
        """Returns mean and std of what the arm feels, and the actions' std."""
        felt = eyes_of(self.agent).normaliser
        spread = self.demos.sights.action.std(0).tolist()
        return {"mean": felt.mean.tolist(), "std": felt.std.tolist(), "action_std": spread}


def _what_was_read(config: TrainConfig, demos: PixelDemos, teacher: LearnedPolicy | None) -> dict[str, Any]:
    """Returns what there was to learn from and, so that nobody is misled, what the policy itself does not see."""
    read: dict[str, Any] = {"demos": demos.count, "rows": len(demos.sights.row), "simulator_state": list(demos.known)}
    if config.algo in SOFT:
        read |= {"critic_sees": config.critic_sees, "encoder_gradient": encoder_gradient(config)}
    if teacher is not None:
        read["teacher"] = {
            "run": str(config.teacher), "algo": teacher.algo, "step": teacher.step, "demos": demos_of(teacher),
            "features": list(teacher.spec.features),
        }  # fmt: skip
    return read
