"""Gradient steps a second: ours beside a plain implementation of the same networks, batch and losses.

Both take turns on one thread, several rounds each; CPU seconds are counted, so that other processes matter less. Before
that both take the same 100 steps from the same weights and the same noise, and every loss is compared.

    python benchmarks/updates.py --rounds 7 --out benchmarks/results/updates.json
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

import numpy as np
import torch
from torch import nn

from policies.batch import Batch
from policies.iq_learn import IqConfig, bounded_absorbing_value, iq_loss
from policies.networks import Normaliser
from policies.soft_agent import SoftAgent, SoftConfig
from robot_lfd.demos.spec import software_versions

OBS, ACTIONS, ROWS = 13, 4, 128  # pybullet/Lift-v0 and the default batch


class PlainCritic(nn.Module):
    """One critic, as one writes it down."""

    def __init__(self, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = OBS + ACTIONS
        for size in hidden:
            layers += [nn.Linear(width, size), nn.LayerNorm(size), nn.ReLU()]
            width = size
        self.net = nn.Sequential(*layers, nn.Linear(width, 1))

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
        self.critics = [_plain(agent, i) for i in range(agent.config.critics)]
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


def _follow(target: nn.Module, source: nn.Module, share: float) -> None:
    for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
        mine.data.copy_((1.0 - share) * mine.data + share * theirs.data)


def _plain(agent: SoftAgent, number: int) -> PlainCritic:
    """Returns a critic with the weights of number `number` of ours."""
    critic = PlainCritic(tuple(agent.config.hidden))
    ours = agent.critic
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


def make_batch(rng: np.random.Generator) -> Batch:
    """Returns a batch of the default size."""
    rows = 2 * ROWS

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    ended = torch.from_numpy(rng.random(rows) < 0.02)
    action = torch.tanh(normal(rows, ACTIONS))
    return Batch(
        normal(rows, OBS), action, torch.zeros(rows), normal(rows, OBS), ended, torch.arange(rows) < ROWS,
        torch.zeros(0, OBS),
    )  # fmt: skip


def largest_difference(hidden: Sequence[int], steps: int = 100) -> float:
    """Returns the largest relative difference of any loss over the same steps from the same weights."""
    ours = make_agent(hidden)
    plain, rng, worst = PlainAgent(ours), np.random.default_rng(0), 0.0
    for _ in range(steps):
        batch = make_batch(rng)
        first, second = ours.update(batch), plain.update(batch)
        worst = max(worst, *(abs(first[k] - v) / max(1.0, abs(v)) for k, v in second.items()))
    return worst


def cpu_seconds(update: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Returns CPU seconds per update."""
    began = time.process_time()
    for batch in batches:
        update(batch)
    return (time.process_time() - began) / len(batches)


def main() -> None:
    """Compares, then measures in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    difference = largest_difference(args.hidden)
    rng = np.random.default_rng(1)
    batches = [make_batch(rng) for _ in range(args.steps)]
    ours = make_agent(args.hidden)
    plain = PlainAgent(ours)
    cpu_seconds(ours.update, batches[:20]), cpu_seconds(plain.update, batches[:20])
    times = [(cpu_seconds(ours.update, batches), cpu_seconds(plain.update, batches)) for _ in range(args.rounds)]
    ratios = [p / o for o, p in times]
    report = {
        "benchmark": "updates", "rows": 2 * ROWS, "obs": OBS, "actions": ACTIONS, "hidden": args.hidden, "critics": 2,
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
