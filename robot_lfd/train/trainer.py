"""`lfd train`: demos in, a run folder out. The loop of every algorithm, online and offline, is `_train`."""

from __future__ import annotations

import functools
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from rich.console import Console

from policies.candidates import CandidateAgent
from policies.soft_agent import SoftAgent
from policies.soft_q import SoftQAgent
from policies.value_dice import ValueDiceAgent
from robot_lfd.envs.registry import make_env
from robot_lfd.envs.vector import make_vector_env
from robot_lfd.errors import Diverged
from robot_lfd.metrics import Metrics
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.scale.cluster import Cluster, joined
from robot_lfd.train import pixels
from robot_lfd.train.agents import make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.expert import Expert, told, usual_steps
from robot_lfd.train.far_practice import FarPractice
from robot_lfd.train.loop import WARM_UP_ROWS, Session, Settings, run_steps
from robot_lfd.train.practice import Practice
from robot_lfd.train.practice_many import ManyPractice
from robot_lfd.train.reading import keeps_own, mode_of, read, steps_of, unchanging
from robot_lfd.train.recipe import told as recipe_told
from robot_lfd.train.resume import alone_in, checkpoint_to_resume, practice_limit
from robot_lfd.train.rows import Choices, Replay, draw, normaliser_of
from robot_lfd.train.windows import WindowSampler, decisions

REPLAY_ROWS = 200_000
FIT_STEPS_A_CLONING_STEP = 2  # of candidates, before the choice among them is cloned


def run(config: TrainConfig, until: int | None = None) -> dict[str, Any]:
    """Trains, and returns where the run lies and how it went.

    Args:
        until: stop after this step, as a Ctrl-C would, to go on later; default: the run's last.
    """
    torch.set_num_threads(1)  # measured: two threads are 2-4 times slower than one for networks of this size
    if config.obs == "pixels":
        return pixels.run(config, until)
    asked = config
    config, recipe, expert, spec = read(config)
    resumed = checkpoint_to_resume(config, recipe, spec)
    out = Console()
    out.print(f"{told(expert)} of {spec.env_id}; the policy sees: {', '.join(spec.features)}")
    if same := unchanging(expert.rows, spec):
        out.print(f"the same in all demos, so nothing can be learned of it: {', '.join(same)}")
    out.print(f"{config.algo} {mode_of(config)}, {steps_of(config)} steps on the CPU (small networks are faster there)")
    if spec.candidates:
        out.print(f"recipe for these demos: {recipe_told(config)}")
    began, limit = time.perf_counter(), practice_limit(config, spec, usual_steps(expert))
    workers = joined(config.rollout_workers, config.address) if config.rollout_workers else nullcontext()
    with alone_in(config.out), workers as cluster:
        session = _Session(Settings(config, asked, recipe), spec, expert, limit, resumed, cluster)
        try:
            scalars = session.train(until)
        finally:
            session.close()
    seconds = round(time.perf_counter() - began, 1)
    if not session.is_warm:
        out.print(f"too little practice for one gradient step, for which {WARM_UP_ROWS} rows are needed: more --steps")
    out.print(f"done in {seconds:.0f} s; next: lfd eval {config.out}")
    numbers = {k: round(v, 4) for k, v in scalars.items()}
    return {
        "run": str(config.out), "algo": config.algo, "mode": mode_of(config), "env": spec.env_id,
        "demos": expert.demos, "steps": session.step, "seconds": seconds, **numbers,
    }  # fmt: skip


class _Session(Session):
    """One training run: agent, practice and random state, from a checkpoint or from the beginning."""

    def __init__(
        self, settings: Settings, spec: PolicySpec, expert: Expert, practice_limit: int | None, resumed: Path | None,
        cluster: Cluster | None,
    ) -> None:  # fmt: skip
        super().__init__(settings)
        rows, config = decisions(expert.rows, spec.spans.row, spec.decided), settings.now
        self.spec, self.rows = spec, rows
        self.agent = make_agent(config, spec, rows)
        self.windows = WindowSampler(rows, spec.window) if spec.clones_windows else None
        self.rng = np.random.default_rng(config.seed)
        self.practice, replay = None, None
        self.practice_steps = config.practice_per_update or 1
        if mode_of(config) == "online":
            blind = {"terminate_on_success": False} if config.success_blind else {}
            changes = {**blind, "max_episode_steps": practice_limit}
            replay = Replay(REPLAY_ROWS, rows, keeps_own(config))
            learns, kwargs = (self.agent, spec.features, replay), {**spec.env_kwargs, **changes}
            seeded = config.seed, config.success_blind, spec.spans
            if cluster is not None:
                self.practice = FarPractice(cluster, config, spec, (spec.env_id, kwargs), self.agent, rows, replay)
            elif config.copies > 1:
                envs = make_vector_env(spec.env_id, config.copies, autoreset=False, **kwargs)
                self.practice = ManyPractice(envs, *learns, *seeded)
            else:
                self.practice = Practice(self.make_env(**changes), *learns, *seeded)
        chooses = isinstance(self.agent, CandidateAgent)
        self.choices = Choices(self.agent.nearest, rows, replay) if chooses else None
        if resumed:
            self.continue_from(resumed)
        self.config.out.mkdir(parents=True, exist_ok=True)
        self.write_config({"demos": expert.demos, "rows": len(rows)})
        self.metrics = Metrics(config.out, self.step if resumed else None)

    def make_env(self, **changes: Any) -> gym.Env:
        """Returns the demos' environment, but for `changes`."""
        return make_env(self.spec.env_id, **{**self.spec.env_kwargs, **changes})

    def train(self, until: int | None) -> dict[str, float]:
        """Runs to step `until`, or the last one; checkpoints on the way, at the end, and when interrupted."""
        if self.step == 0:
            self._pretrain()
        total, every = steps_of(self.config) if until is None else until, self.config.checkpoint_every
        return run_steps(self, total=total, checkpoint_every=every, title=self.config.algo)

    def one_step(self) -> dict[str, float] | None:
        """Practises where it is online, and does the gradient steps once there is enough practice."""
        replay = None
        if self.practice:
            for _ in range(self.practice_steps):
                self.practice.step()
            replay = self.practice.replay
        self.step += 1
        found = dict[str, float]()
        for _ in range(self.config.updates_per_step if self.is_warm else 0):
            found = self.agent.update(self._draw(replay))
        broken = [k for k, v in found.items() if not np.isfinite(v)]
        if broken:
            raise Diverged(f"training diverged at step {self.step}: {', '.join(broken)} is not finite; lower --gamma")
        if self.is_evaluated():
            found["eval_success"] = self.evaluate()
        return found or None

    @property
    def is_warm(self) -> bool:
        """Whether there is enough practice to learn from."""
        return self.practice is None or len(self.practice.replay) >= WARM_UP_ROWS

    def _draw(self, replay: Replay | None) -> Any:
        if self.windows is not None:
            return self.windows.draw(self.rng, self.config.batch_rows)
        firsts = self.config.batch_rows if self.config.value_term == "first" else 0
        return draw(self.rng, self.rows, replay, self.config.batch_rows, firsts, self.choices)

    def _pretrain(self) -> None:
        if isinstance(self.agent, CandidateAgent):
            steps = FIT_STEPS_A_CLONING_STEP * (self.config.pretrain_steps or 0)
            find = functools.partial(self.agent.fit, self.rows.obs, self.rows.action, steps)
            self.with_bar("candidates", steps, find)
        learns_more = isinstance(self.agent, (SoftAgent, SoftQAgent, CandidateAgent, ValueDiceAgent))
        if learns_more and self.config.algo != "bc" and not self.config.state_only:
            self.clone_first(lambda: self.agent.clone_step(self._draw(None)))

    def stats(self) -> dict[str, list[float]]:
        """Returns mean and std of each feature column, and the actions' std."""
        known = normaliser_of(self.rows, scaled=not self.config.no_normalisation)
        spread = np.atleast_1d(self.rows.action.std(0)).tolist()
        return {"mean": known.mean.tolist(), "std": known.std.tolist(), "action_std": spread}
