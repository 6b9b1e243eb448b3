"""SoftQAgent: one network that holds reward, value and policy, for discrete actions.

Source: Garg et al. 2021, Sec. 4.1 and Algorithm 1: V(s) = temperature log sum_a exp(Q(s, a) / temperature) and
pi(a|s) = exp((Q(s, a) - V(s)) / temperature) in closed form, so there is no actor to train.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from policies.absorbing import value_after
from policies.agent import descend, falling, load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch, Judged
from policies.flat import Adam, Flat
from policies.fused import make_stack
from policies.networks import DiscreteCriticEnsemble, Normaliser, soft_value

Terms = dict[str, torch.Tensor]


def soft_policy(q: torch.Tensor, temperature: float) -> torch.Tensor:
    """Returns pi(a|s), (..., B, K): the softmax of Q / temperature."""
    return torch.softmax(q / temperature, -1)


@dataclass(frozen=True)
class SoftQConfig:
    """The default recipe for discrete actions; LOG.md has the measurement behind it.

    Attributes:
        bc_decay_steps: the cloning weight falls to a tenth over so many updates; 0: it stays. bc_fall_at: from this
            update on it is a fifth; 0: never.
    """

    hidden: Sequence[int] = (128, 128)
    critics: int = 2
    gamma: float = 0.99
    temperature: float = 0.1
    bc_weight: float = 1.0
    bc_decay_steps: int = 0
    bc_fall_at: int = 0
    layer_norm: bool = True
    learning_rate: float = 3e-4
    target_share: float = 0.005
    ema_share: float = 0.005


OFFLINE = SoftQConfig(bc_weight=0.0, learning_rate=3e-3, ema_share=0.001)
"""What is different without practice: an expert is to be fitted closely, and the loss is a likelihood (LOG.md)."""


class SoftQAgent:
    """Soft Q-learning with a critic loss that is passed in, beside a cloning term -log pi(a|s) on the demos' rows.

    Args:
        critic_loss: a pure function, see `iq_learn.iq_loss`.
        absorbing_value: V of the state after the task ended; None: V(s') of the last observation, as if it went on.
            Where it is a place to go to, every Q begins there: an expert's ends up near it, and a Q that has to climb
            takes the clone apart on its way (LOG.md).
        normaliser: of observations (D,), from the demos. actions: K, how many there are.
    """

    def __init__(
        self, critic_loss: Callable[[Judged], tuple[torch.Tensor, Terms]], absorbing_value: float | None,
        normaliser: Normaliser, actions: int, config: SoftQConfig, seed: int,
    ) -> None:  # fmt: skip
        self.critic_loss, self.absorbing_value, self.config, self.updates = critic_loss, absorbing_value, config, 0
        self.critic = DiscreteCriticEnsemble(
            normaliser, actions, config.hidden, config.critics, seed, config.layer_norm
        )
        self.critic.scale_outputs(config.temperature)  # else Q / temperature begins far from even
        self.critic.shift_outputs(max(absorbing_value or 0.0, 0.0))
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.ema_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self._judge, self._judge_after = make_stack(self.critic), make_stack(self.target_critic)
        self._flat_ema_critic = Flat(self.ema_critic)
        self.optimiser = Adam(self._judge.flat, config.learning_rate)
        self.generator = torch.Generator().manual_seed(seed + 2)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B,) int64 for obs (B, D): sampled to explore, else the averaged critic's best."""
        if not explore:
            return self.ema_critic.best(obs)
        chances = soft_policy(self.critic(obs).mean(0), self.config.temperature)
        return torch.multinomial(chances, 1, generator=self.generator).squeeze(1)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one critic step, which is the policy's step too."""
        c, rows = self.config, len(batch.obs)
        normal = self.critic.normaliser(torch.cat([batch.obs, batch.next_obs, batch.first_obs]))
        table = self._judge(normal)  # (N, 2 B + F, K)
        value, next_value, first_value = soft_value(table, c.temperature).split([rows, rows, len(batch.first_obs)], 1)
        q = table[:, torch.arange(rows), batch.action]
        with torch.no_grad():
            target = soft_value(self._judge_after(normal[rows : 2 * rows]).mean(0), c.temperature)
        judged = Judged(
            q,
            value,
            value_after(batch, next_value, self.absorbing_value),
            value_after(batch, target, self.absorbing_value),
            first_value,
            batch.is_expert,
            batch.reward,
        )
        loss, terms = self.critic_loss(judged)
        expert = batch.is_expert
        terms["bc_loss"] = (value - q)[:, expert].mean() / c.temperature  # -log pi(a|s)
        weight = falling(c.bc_weight, self.updates, c.bc_decay_steps, c.bc_fall_at)
        descend(self.optimiser, loss + weight * terms["bc_loss"])
        self.updates += 1
        self._judge_after.flat.move_towards(self._judge.flat, c.target_share)
        self._flat_ema_critic.move_towards(self._judge.flat, c.ema_share)
        terms |= {"critic_loss": loss, "q_expert": q[:, expert].mean(), "q_replay": q[:, ~expert].mean()}
        return {k: float(v.detach()) for k, v in terms.items()}

    def clone_step(self, batch: Batch) -> dict[str, float]:
        """Does one step of behaviour cloning: the start that IQ-Learn improves on."""
        table = self._judge(self.critic.normaliser(batch.obs)) / self.config.temperature
        loss = F.cross_entropy(table.flatten(0, 1), batch.action.repeat(len(table)))
        descend(self.optimiser, loss)
        for average in (self._judge_after.flat, self._flat_ema_critic):
            average.move_towards(self._judge.flat, 1.0)
        return {"bc_loss": float(loss.detach())}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of networks, optimiser and sampling."""
        state = {f"{part}.{k}": v for part in _NETWORKS for k, v in getattr(self, part).state_dict().items()}
        state |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        return {**state, "generator": self.generator.get_state(), "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        for part in _NETWORKS:
            getattr(self, part).load_state_dict(under(state, part))
        load_optimiser_tensors(self.optimiser, under(state, "optimiser"))
        self.generator.set_state(state["generator"])
        self.updates = int(state.get("updates", 0))  # runs of before had no weight that falls

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns what a policy needs to act and to judge: the averaged critics."""
        return {f"critic.{k}": v for k, v in self.ema_critic.state_dict().items()}


_NETWORKS = ("critic", "target_critic", "ema_critic")
