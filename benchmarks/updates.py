"""Gradient steps a second: ours beside a plain implementation of the same networks, batch and losses.

`--learner choice` is the default on arms, a choice among candidates; `--learner numbers` the soft actor-critic of all
other continuous actions. A step includes drawing its batch from demos and a growing replay buffer. Ours and the plain
one take turns on one thread, several rounds each; CPU seconds are counted, so that other processes matter less. Before
that both take the same 100 steps from the same weights and the same noise, and every loss is compared.

    python benchmarks/updates.py --learner choice --rounds 7 --out benchmarks/results/updates_choice.json
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from policies.batch import Batch
from policies.candidates import CandidateAgent, Candidates
from policies.iq_learn import IqConfig, bounded_absorbing_value, iq_loss
from policies.networks import CriticEnsemble, DiscreteCriticEnsemble, Normaliser
from policies.soft_agent import SoftAgent, SoftConfig
from policies.soft_q import SoftQAgent, SoftQConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.train.rows import Choices, Replay, Rows, draw, stretches

OBS, ACTIONS, ROWS = 13, 4, 128  # pybullet/Lift-v0 and the default batch
CANDIDATES, CHUNK = 16, 4  # of the default's choice
DEMO_ROWS, REPLAY_ROWS = 600, 20_000
WARM_UP = 200  # steps before the first that counts: most rows have been drawn before, as most of a training have
Step = Callable[[], dict[str, float]]


class PlainCritic(nn.Module):
    """One critic, as one writes it down."""

    def __init__(self, width: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in hidden:
            layers += [nn.Linear(width, size), nn.LayerNorm(size), nn.ReLU()]
            width = size
        self.net = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q (B,)."""
        return self.net(torch.cat([obs, action], -1)).squeeze(-1)


class PlainAgent:
    """IQ-Learn's update as one writes it down from the equations, the way the usual SAC code does.

    The critics are `nn.Sequential`s; each quantity (Q, V(s), V(s'), the targets, the actor's samples at s, at s' and in
    its own step) has its forward; one `torch.optim.Adam` for both critics and one for the actor, with their defaults;
    the actor's loss goes back through the critics as they are; targets move in a loop over parameters. What a careful
    author does is done here too: no gradient where none is wanted (targets, samples for values), observations are
    normalised once a batch for the critics, only the numbers that are compared leave torch, one thread.
    """

    def __init__(self, agent: SoftAgent) -> None:
        self.config, self.absorbing_value = agent.config, agent.absorbing_value
        self.actor, self.ema_actor = copy.deepcopy(agent.actor), copy.deepcopy(agent.ema_actor)
        self.critics = [_plain(agent.critic, i) for i in range(agent.config.critics)]
        self.targets = copy.deepcopy(self.critics)
        self.normaliser = agent.actor.normaliser
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=3e-4)
        self.critic_optimiser = torch.optim.Adam([p for c in self.critics for p in c.parameters()], lr=3e-4)
        self.generator = torch.Generator().manual_seed(0)
        self.generator.set_state(agent.generator.get_state())

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one critic step and one actor step."""
        c, obs, next_obs = self.config, self.normaliser(batch.obs), self.normaliser(batch.next_obs)
        rows = len(obs)
        noise = torch.randn(2 * rows, ACTIONS, generator=self.generator)
        ended, expert = batch.terminated, batch.is_expert
        with torch.no_grad():
            own, log_prob, _ = self.actor.sample(batch.obs, noise[:rows])
            after, after_log_prob, _ = self.actor.sample(batch.next_obs, noise[rows:])
            target = torch.stack([t(next_obs, after) for t in self.targets]).mean(0) - c.temperature * after_log_prob
            target = torch.where(ended, self.absorbing_value, target)
        losses = []
        for critic in self.critics:
            q = critic(obs, batch.action)
            value = critic(obs, own) - c.temperature * log_prob
            next_value = critic(next_obs, after) - c.temperature * after_log_prob
            next_value = torch.where(ended, self.absorbing_value, next_value)
            reward = q - c.gamma * target
            losses.append(-reward[expert].mean() + (value - c.gamma * next_value).mean() + reward.square().mean() / 2.0)
        critic_loss = torch.stack(losses).sum()
        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        self.critic_optimiser.step()
        action, log_prob, best = self.actor.sample(batch.obs, torch.randn(rows, ACTIONS, generator=self.generator))
        q = torch.stack([critic(obs, action) for critic in self.critics]).mean(0)
        soft = (c.temperature * log_prob - q).mean()
        clone = (best[expert] - batch.action[expert]).square().mean()
        self.actor_optimiser.zero_grad()
        (soft + c.bc_weight * clone).backward()
        self.actor_optimiser.step()
        for target, source in zip(self.targets, self.critics, strict=True):
            _follow(target, source, c.target_share)
        _follow(self.ema_actor, self.actor, c.ema_share)
        numbers = {"actor_soft": float(soft.detach()), "actor_bc": float(clone.detach())}
        return {"critic_loss": float(critic_loss.detach()) / len(losses), **numbers}


class PlainChoice:
    """The same for a choice among candidates: a table of Q a state, and V(s) its log-sum-exp.

    Q(s, .), Q(s', .) and the targets' are three forwards a critic; V(s) and Q(s, a) come from one table, as anybody
    would. Which candidate an action counts as is found for the batch, here; ours asks once a row.
    """

    def __init__(self, agent: CandidateAgent) -> None:
        chooser = agent.chooser
        assert isinstance(chooser, SoftQAgent) and chooser.absorbing_value is not None
        self.config, self.absorbing_value, self.candidates = chooser.config, chooser.absorbing_value, agent.candidates
        self.critics = [_plain(chooser.critic, i) for i in range(self.config.critics)]
        self.targets, self.averages = copy.deepcopy(self.critics), copy.deepcopy(self.critics)
        self.normaliser = chooser.critic.normaliser
        self.optimiser = torch.optim.Adam([p for c in self.critics for p in c.parameters()], lr=3e-4)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one critic step, which is the policy's step too."""
        c, obs, next_obs = self.config, self.normaliser(batch.obs), self.normaliser(batch.next_obs)
        ended, expert = batch.terminated, batch.is_expert

        def soft(table: torch.Tensor) -> torch.Tensor:
            return c.temperature * torch.logsumexp(table / c.temperature, -1)

        with torch.no_grad():
            which = self.candidates.nearest(batch.obs, batch.action)[:, None]
            target = soft(torch.stack([t.net(next_obs) for t in self.targets]).mean(0))
            target = torch.where(ended, self.absorbing_value, target)
        losses, clones = [], []
        for critic in self.critics:
            table = critic.net(obs)
            q, value = table.gather(1, which).squeeze(1), soft(table)
            next_value = torch.where(ended, self.absorbing_value, soft(critic.net(next_obs)))
            reward = q - c.gamma * target
            losses.append(-reward[expert].mean() + (value - c.gamma * next_value).mean() + reward.square().mean() / 2.0)
            clones.append(F.cross_entropy(table[expert] / c.temperature, which[expert, 0]))
        critic_loss, clone = torch.stack(losses).mean(), torch.stack(clones).mean()
        self.optimiser.zero_grad()
        (critic_loss + c.bc_weight * clone).backward()
        self.optimiser.step()
        for target, average, source in zip(self.targets, self.averages, self.critics, strict=True):
            _follow(target, source, c.target_share)
            _follow(average, source, c.ema_share)
        return {"critic_loss": float(critic_loss.detach()), "bc_loss": float(clone.detach())}


def _follow(target: nn.Module, source: nn.Module, share: float) -> None:
    for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
        mine.data.copy_((1.0 - share) * mine.data + share * theirs.data)


def _plain(ours: CriticEnsemble | DiscreteCriticEnsemble, number: int) -> PlainCritic:
    """Returns a critic with the weights of number `number` of ours."""
    inputs, *hidden = (w.shape[1] for w in ours.weights)
    critic = PlainCritic(inputs, tuple(hidden), ours.weights[-1].shape[2])
    linear = [m for m in critic.net if isinstance(m, nn.Linear)]
    norms = [m for m in critic.net if isinstance(m, nn.LayerNorm)]
    with torch.no_grad():
        for i, layer in enumerate(linear):
            layer.weight.copy_(ours.weights[i][number].T)
            layer.bias.copy_(ours.biases[i][number, 0])
        for i, norm in enumerate(norms):
            norm.weight.copy_(ours.gains[i][number, 0])
            norm.bias.copy_(ours.shifts[i][number, 0])
    return critic


def make_agent(hidden: Sequence[int]) -> SoftAgent:
    """Returns our agent with the default recipe, but for the width of its layers."""
    loss = functools.partial(iq_loss, config=IqConfig(0.97))
    normaliser = Normaliser(torch.zeros(OBS), torch.ones(OBS))
    config, spread = SoftConfig(hidden=hidden), torch.full((ACTIONS,), 0.5)
    return SoftAgent(loss, bounded_absorbing_value(0.5, 0.97), normaliser, spread, config, 0)


def make_choice(hidden: Sequence[int]) -> CandidateAgent:
    """Returns our learner of a choice with the default recipe, but for the width of its layers."""
    gamma, normaliser = 0.97**CHUNK, Normaliser(torch.zeros(OBS), torch.ones(OBS))
    candidates = Candidates(normaliser, torch.full((ACTIONS * CHUNK,), 0.5), CANDIDATES, 0)
    loss, config = functools.partial(iq_loss, config=IqConfig(gamma)), SoftQConfig(hidden=hidden, gamma=gamma)
    chooser = SoftQAgent(loss, bounded_absorbing_value(0.5, gamma), normaliser, CANDIDATES, config, 0)
    return CandidateAgent(candidates, chooser, 0)


LEARNERS: dict[str, tuple[Callable[[Sequence[int]], Any], Callable[[Any], Any], int]] = {
    "numbers": (make_agent, PlainAgent, 1),
    "choice": (make_choice, PlainChoice, CHUNK),
}  # ours, the plain one with its weights, actions of a row


class Source:
    """Rows as training has them: demos, and a replay buffer that each gradient step adds one row to."""

    def __init__(self, seed: int, chunk: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.demos, self.own = self._rows(DEMO_ROWS, chunk), self._rows(REPLAY_ROWS, chunk)
        self.replay = Replay(REPLAY_ROWS, self.demos)
        for _ in range(REPLAY_ROWS // 2):
            self.grow()

    def _rows(self, count: int, chunk: int) -> Rows:
        obs, following = self._rng.normal(size=(2, count, OBS)).astype(np.float32)
        action = np.tanh(self._rng.normal(size=(count, ACTIONS * chunk))).astype(np.float32)
        ended, step = self._rng.random(count) < 0.02, np.arange(count)
        return Rows(obs, action, np.zeros(count, np.float32), following, ended, obs[:1], step, stretches(step))

    def grow(self) -> None:
        """Adds the next row of practice."""
        i, own = self.replay.count % REPLAY_ROWS, self.own
        self.replay.add(own.obs[i], own.action[i], 0.0, own.next_obs[i], bool(own.terminated[i]))

    def batch(self, choices: Choices | None = None) -> Batch:
        """Returns a batch of the default size, after one more step of practice."""
        self.grow()
        return draw(self._rng, self.demos, self.replay, ROWS, choices=choices)


def both(learner: str, hidden: Sequence[int]) -> tuple[Step, Step]:
    """Returns one step of ours and one of the plain implementation, from the same weights and with the same batches."""
    make, make_plain, chunk = LEARNERS[learner]
    ours, first, second = make(hidden), Source(0, chunk), Source(0, chunk)
    plain = make_plain(ours)
    choices = Choices(ours.nearest, first.demos, first.replay) if learner == "choice" else None
    return lambda: ours.update(first.batch(choices)), lambda: plain.update(second.batch())


def largest_difference(learner: str, hidden: Sequence[int], steps: int = 100) -> float:
    """Returns the largest relative difference of any loss over the same steps from the same weights."""
    ours, plain = both(learner, hidden)
    worst = 0.0
    for _ in range(steps):
        first, second = ours(), plain()
        worst = max(worst, *(abs(first[k] - v) / max(1.0, abs(v)) for k, v in second.items()))
    return worst


def cpu_seconds(step: Step, steps: int) -> float:
    """Returns CPU seconds per step."""
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps


def main() -> None:
    """Compares, then measures in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", choices=LEARNERS, default="numbers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    difference = largest_difference(args.learner, args.hidden)
    ours, plain = both(args.learner, args.hidden)
    for step in (ours, plain):
        cpu_seconds(step, WARM_UP)
    times = [(cpu_seconds(ours, args.steps), cpu_seconds(plain, args.steps)) for _ in range(args.rounds)]
    ratios = [p / o for o, p in times]
    report = {
        "benchmark": "updates", "learner": args.learner, "rows": 2 * ROWS, "obs": OBS, "actions": ACTIONS,
        "hidden": args.hidden, "critics": 2,
        "updates_per_cpu_s": round(1 / median(o for o, _ in times), 1),
        "plain_updates_per_cpu_s": round(1 / median(p for _, p in times), 1),
        "ratio": round(median(ratios), 2), "ratios": [round(r, 2) for r in ratios],
        "largest_loss_difference": difference, "load": os.getloadavg()[0], "versions": software_versions(),
    }  # fmt: skip
    print(json.dumps(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
