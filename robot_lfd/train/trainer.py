"""`lfd train`: demos in, a run folder out. The loop of every algorithm, online and offline, is `_train`."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from rich.console import Console

from policies.agent import under
from policies.networks import Normaliser
from policies.soft_agent import SoftAgent
from policies.soft_q import SoftQAgent
from policies.value_dice import ValueDiceAgent
from robot_lfd.checkpoint import PolicySpec, load_policy, read_json, read_tensors, save_checkpoint
from robot_lfd.config import TrainConfig
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import Diverged
from robot_lfd.evaluate import evaluate
from robot_lfd.evaluations import write_evaluation
from robot_lfd.metrics import Metrics
from robot_lfd.train import pixels
from robot_lfd.train.agents import make_agent
from robot_lfd.train.expert import Expert, told, usual_steps
from robot_lfd.train.loop import progress_bar, run_steps
from robot_lfd.train.practice import Practice
from robot_lfd.train.reading import mode_of, read, steps_of
from robot_lfd.train.resume import checkpoint_to_resume, practice_limit
from robot_lfd.train.rows import Replay, draw
from robot_lfd.train.windows import WindowSampler

REPLAY_ROWS = 200_000
WARM_UP_ROWS = 200  # practice steps before the first online update


def run(config: TrainConfig) -> dict[str, Any]:
    """Trains, and returns where the run lies and how it went."""
    torch.set_num_threads(1)  # measured: two threads are 2-4 times slower than one for networks of this size
    if config.obs == "pixels":
        return pixels.run(config)
    expert, spec = read(config)
    resumed = checkpoint_to_resume(config, spec)
    out = Console()
    out.print(f"{told(expert)} of {spec.env_id}; the policy sees: {', '.join(spec.features)}")
    out.print(f"{config.algo} {mode_of(config)}, {steps_of(config)} steps on the CPU (small networks are faster there)")
    session = _Session(config, spec, expert, practice_limit(config, spec, usual_steps(expert)), resumed)
    began = time.perf_counter()
    try:
        scalars = session.train()
    finally:
        session.close()
    seconds = round(time.perf_counter() - began, 1)
    out.print(f"done in {seconds:.0f} s; next: lfd eval {config.out}")
    numbers = {k: round(v, 4) for k, v in scalars.items()}
    return {
        "run": str(config.out), "algo": config.algo, "mode": mode_of(config), "env": spec.env_id,
        "demos": expert.demos, "steps": session.step, "seconds": seconds, **numbers,
    }  # fmt: skip


class _Session:
    """One training run: agent, practice and random state, from a checkpoint or from the beginning."""

    def __init__(
        self, config: TrainConfig, spec: PolicySpec, expert: Expert, practice_limit: int | None, resumed: Path | None
    ) -> None:
        rows = expert.rows
        self.config, self.spec, self.rows = config, spec, rows
        self.agent: Any = make_agent(config, spec, rows)
        self.windows = None if spec.actor == "gaussian" else WindowSampler(rows, spec.window)
        self.rng = np.random.default_rng(config.seed)
        self.practice: Practice | None = None
        self.step, self.seconds_before, self.began = 0, 0.0, time.perf_counter()
        if mode_of(config) == "online":
            blind = {"terminate_on_success": False} if config.success_blind else {}
            env = self._make_env(max_episode_steps=practice_limit, **blind)
            replay = Replay(REPLAY_ROWS, rows)
            self.practice = Practice(env, self.agent, spec.features, replay, config.seed, config.success_blind)
        if resumed:
            self._load(resumed)
        self.config.out.mkdir(parents=True, exist_ok=True)
        document = {"command": "train", **dataclasses.asdict(config)}
        document["read"] = {"demos": expert.demos, "rows": len(rows)}
        (config.out / "config.json").write_text(json.dumps(document, indent=1, default=str) + "\n")
        self.metrics = Metrics(config.out, self.step if resumed else None)

    def _make_env(self, **changes: Any) -> gym.Env:
        return make_env(self.spec.env_id, **{**self.spec.env_kwargs, **changes})

    def train(self) -> dict[str, float]:
        """Runs to the last step; checkpoints on the way, at the end, and when interrupted."""
        if self.step == 0:
            self._pretrain()
        total, every = steps_of(self.config), self.config.checkpoint_every
        return run_steps(self, total=total, checkpoint_every=every, title=self.config.algo)

    def one_step(self) -> dict[str, float] | None:
        replay = None
        if self.practice:
            self.practice.step()
            replay = self.practice.replay
        self.step += 1
        if replay is not None and len(replay) < WARM_UP_ROWS:
            return None
        for _ in range(self.config.updates_per_step):
            found = self.agent.update(self._draw(replay))
        broken = [k for k, v in found.items() if not np.isfinite(v)]
        if broken:
            raise Diverged(f"training diverged at step {self.step}: {', '.join(broken)} is not finite; lower --gamma")
        if self.config.eval_every and self.step % self.config.eval_every == 0:
            found["eval_success"] = self._evaluate()
        return found

    def _draw(self, replay: Replay | None) -> Any:
        if self.windows is not None:
            return self.windows.draw(self.rng, self.config.batch_rows)
        firsts = self.config.batch_rows if self.config.value_term == "first" else 0
        return draw(self.rng, self.rows, replay, self.config.batch_rows, firsts)

    def _pretrain(self) -> None:
        if isinstance(self.agent, (SoftAgent, SoftQAgent, ValueDiceAgent)) and not self.config.state_only:
            with progress_bar() as bar:
                task = bar.add_task("cloning first", total=self.config.pretrain_steps, note="")
                for _ in range(self.config.pretrain_steps):
                    self.agent.clone_step(self._draw(None))
                    bar.advance(task)

    def _evaluate(self) -> float:
        env = self._make_env()
        self.save()
        result = evaluate(env, load_policy(self.config.out), episodes=self.config.eval_episodes, seed=1000)
        env.close()
        rows = [dataclasses.asdict(r) for r in result.rows]
        found = {**result.summary(), "seed": 1000, "step": self.step, "algo": self.config.algo, "rows": rows}
        write_evaluation(self.config.out, found)
        return result.success_rate

    def log(self, scalars: dict[str, float], rate: float) -> dict[str, float]:
        extra = self.practice.scalars() if self.practice else {}
        self.metrics.write(self.step, {**scalars, **extra, "steps_per_s": rate, "train_s": self._seconds()})
        return extra

    def _seconds(self) -> float:
        """Returns how long this run has been training, over all its sessions."""
        return self.seconds_before + time.perf_counter() - self.began

    def save(self) -> None:
        training = {f"agent.{k}": v for k, v in self.agent.state_dict().items()}
        if self.practice:
            training |= {f"practice.{k}": v for k, v in self.practice.state_dict().items()}
        stats = {"mean": self.rows.obs.mean(0).tolist(), "std": self._normaliser_std()}
        stats["action_std"] = np.atleast_1d(self.rows.action.std(0)).tolist()
        progress = {"step": self.step, "seconds": round(self._seconds(), 1), "rng": self.rng.bit_generator.state}
        spec = dataclasses.replace(self.spec, step=self.step)
        save_checkpoint(self.config.out, spec, stats, self.agent.deployed(), training, progress)

    def _normaliser_std(self) -> list[float]:
        return Normaliser(torch.zeros(1), torch.from_numpy(self.rows.obs.std(0))).std.tolist()

    def _load(self, checkpoint: Path) -> None:
        training = read_tensors(checkpoint / "training.safetensors")
        self.agent.load_state_dict(under(training, "agent"))
        if self.practice:
            self.practice.load_state_dict(under(training, "practice"))
        progress = read_json(checkpoint / "progress.json")
        self.step, self.seconds_before = int(progress["step"]), float(progress.get("seconds", 0.0))
        self.rng.bit_generator.state = progress["rng"]

    def close(self) -> None:
        """Closes the environment and the metrics."""
        self.metrics.close()
        if self.practice:
            self.practice.env.close()
