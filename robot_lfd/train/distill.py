"""Distillation: a teacher that knows the simulator's state says what to do in what the pixel policy sees.

Source: Ross, Gordon, Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online
Learning" (DAgger), AISTATS 2011, Algorithm 3.1. The teacher drives a share of the steps that falls to nothing; every
step is labelled by it, whoever drove; the student learns on demos and labelled steps at once, a gradient step each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from policies.pixel_cloning import PixelCloning
from robot_lfd.checkpoint import LearnedPolicy, load_policy, read_json
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import run_folder
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.train.images import Sights
from robot_lfd.train.pixel_practice import Choice


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


class Turns:
    """Teacher and student take turns by the toss of a coin; the teacher says of every step what it would have done.

    Args:
        rng: tosses the coin. teacher_steps: the teacher's share of steps falls from 1 to 0 over so many.
    """

    teaches = True

    def __init__(
        self, teacher: LearnedPolicy, student: PixelCloning, rng: np.random.Generator, teacher_steps: int
    ) -> None:
        self.teacher, self.student, self.rng, self.teacher_steps = teacher, student, rng, teacher_steps

    def begin(self) -> None:
        """Begins an episode; the student has no memory but the frames that are kept."""
        self.teacher.reset()
        self._taught = True

    def choose(self, obs: dict[str, np.ndarray], sights: Sights, i: int, step: int) -> Choice:
        """Returns the action of the one who drives, and the teacher's as the label."""
        if not self._taught:
            self.teacher.replan()  # what it had planned was for where its own action would have led
        label = self.teacher.act(obs)
        self._taught = self.rng.random() < 1.0 - step / max(self.teacher_steps, 1)
        if self._taught:
            return Choice(label, label, taught=True)
        now = np.array([i])
        pictures = sights.stacked(now, self.student.actor.sight.stack)
        own = self.student.act(pictures, torch.from_numpy(np.array(sights.proprio[now])))[0].numpy()
        return Choice(own, label)
