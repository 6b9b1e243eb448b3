"""Distillation: a teacher that knows the simulator's state says what to do in what the pixel policy sees.

Source: Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning" (DAgger), AISTATS 2011, Algorithm 3.1. The teacher drives a share of the steps that falls to nothing; every
step is labelled by it, whoever drove; the student learns on demos and labelled steps at once, a gradient step each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from policies.pixel_cloning import PixelCloning
from robot_lfd.checkpoint import LearnedPolicy, PolicySpec, load_policy, read_json
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import run_folder
from robot_lfd.rollout import Transition, rollout
from robot_lfd.train.images import Sights
from robot_lfd.train.rows import features

FIRST_SEED = 20_000_000  # far from the seeds of demos, evaluation, deployment, and of the teacher's own practice
SEEDS_A_RUN = 100_000


def load_teacher(path: Path, spec: PolicySpec) -> LearnedPolicy:
    """Returns the policy that labels. Raises LfdError where it cannot know what to do in this environment."""
    teacher = load_policy(path)
    if teacher.spec.cameras or teacher.spec.discrete:
        raise LfdError(f"--teacher '{path}' is no policy on state for an arm; train one with lfd train --algo iq")
    looks = ("pictures", "render_mode")
    ours, theirs = ({k: v for k, v in s.env_kwargs.items() if k not in looks} for s in (spec, teacher.spec))
    if (teacher.env_id, theirs) != (spec.env_id, ours):
        raise LfdError(f"--teacher '{path}' is for {teacher.env_id} {theirs}, the demos are of {spec.env_id} {ours}")
    return teacher


def demos_of(teacher: LearnedPolicy) -> list[str]:
    """Returns the datasets that a teacher was trained on, as its run says."""
    document = run_folder(teacher.path) / "config.json"
    return [str(d) for d in read_json(document).get("demos", [])] if document.exists() else []


def labelled_sights(folder: Path, capacity: int, spec: PolicySpec, felt: int, known: int) -> Sights:
    """Returns room for `capacity` labelled steps, mapped from files in `folder`; what they hold is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = (capacity, spec.size_px, spec.size_px, 3)

    def mapped(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        file = folder / name
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with file.open("ab") as handle:
            handle.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape) if size else np.zeros(shape, dtype)

    return Sights(
        tuple(mapped(f"images+{c}.bin", picture, np.uint8) for c in spec.cameras),
        mapped("proprio.bin", (capacity, felt), np.float32), mapped("state.bin", (capacity, known), np.float32),
        mapped("first.bin", (capacity,), np.int64), np.arange(capacity),
        mapped("action.bin", (capacity, spec.action_size), np.float32),
    )  # fmt: skip


class LabelledPractice:
    """Runs episode after episode, teacher and student taking turns by the toss of a coin, and labels every step.

    An interrupted run continues exactly: the episode in progress is re-simulated from its seed and actions.

    Args:
        felt, known: names of the proprioception and of the simulator's state in the observation.
        rng: tosses the coin. teacher_steps: the teacher's share of steps falls from 1 to 0 over so many.
    """

    def __init__(
        self, env: gym.Env, student: PixelCloning, teacher: LearnedPolicy, sights: Sights, cameras: Sequence[str],
        felt: Sequence[str], known: Sequence[str], rng: np.random.Generator, *, seed: int, teacher_steps: int,
    ) -> None:  # fmt: skip
        self.env, self.student, self.teacher, self.sights, self.rng = env, student, teacher, sights, rng
        self.cameras, self.felt, self.known, self.teacher_steps = cameras, felt, known, teacher_steps
        self.count = self.episode = 0  # steps labelled, episodes ended
        self.results: deque[tuple[bool, int, int]] = deque(maxlen=20)  # success, length, steps that the teacher drove
        self._first_seed = FIRST_SEED + seed * SEEDS_A_RUN
        self._actions: list[np.ndarray] = []
        self._again: deque[np.ndarray] = deque()
        self._taught = 0
        self._steps: Iterator[Transition] | None = None

    def step(self) -> None:
        """Does one control step and keeps what was seen with what the teacher would have done."""
        if self._steps is None:
            self._steps = rollout(self.env, self, seed=self._first_seed + self.episode)
        step = next(self._steps)
        self._actions.append(step.action)
        if step.terminated or step.truncated:
            self.results.append((bool(step.info.get("is_success", False)), len(self._actions), self._taught))
            self.episode += 1
            self._steps, self._actions, self._taught = None, [], 0

    def reset(self) -> None:
        """Begins an episode; whoever drives has no memory but the frames that are kept."""
        self.teacher.reset()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Labels what is seen, and returns the action of the one who drives this step."""
        if self._again:
            return self._again.popleft()
        i, s = self.count, self.sights
        for camera, room in zip(self.cameras, s.pictures, strict=True):
            room[i] = obs[f"images/{camera}"]
        s.proprio[i] = features(obs, self.felt) if self.felt else 0.0
        s.state[i] = features(obs, self.known) if self.known else 0.0
        s.first[i] = i - len(self._actions)
        s.action[i] = self.teacher.act(obs)
        self.count += 1
        if self.rng.random() < 1.0 - i / max(self.teacher_steps, 1):
            self._taught += 1
            return np.array(s.action[i])
        now = np.array([i])
        pictures = torch.from_numpy(s.stacked(now, self.student.actor.sight.stack))
        return self.student.act(pictures, torch.from_numpy(np.array(s.proprio[now])))[0].numpy()

    def scalars(self) -> dict[str, float]:
        """Returns success, length and the teacher's share over the last 20 episodes; nothing before one has ended."""
        if not self.results:
            return {}
        success, length, taught = np.mean(np.array(self.results, np.float64), axis=0)
        return {"practice_success": success, "practice_length": length, "teacher_share": taught / length}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns counters, the episode in progress and the latest results; the labelled steps are on the disk."""
        s = self.sights
        for array in (*s.pictures, s.proprio, s.state, s.first, s.action):
            if isinstance(array, np.memmap):
                array.flush()
        return {
            "counts": torch.tensor([self.count, self.episode, self._taught]),
            "actions": torch.from_numpy(np.array(self._actions, np.float32)),
            "results": torch.tensor(list(self.results), dtype=torch.int64).reshape(-1, 3),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned, in the middle of an episode if it was so."""
        self.count, self.episode, self._taught = state["counts"].tolist()
        self.results.extend((bool(s), n, t) for s, n, t in state["results"].tolist())
        self._again.extend(state["actions"].numpy())
        if self._again:
            self._steps = rollout(self.env, self, seed=self._first_seed + self.episode)
            self._actions = [next(self._steps).action for _ in range(len(self._again))]
