"""SoftAgent: actor, critics and the two gradient steps that IQ-Learn and SQIL share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch
from policies.behaviour_cloning import bc_loss
from policies.networks import CriticEnsemble, Normaliser, TanhGaussianActor, move_towards

Terms = dict[str, torch.Tensor]
CriticLoss = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, Terms]
]


def actor_loss(
    q: torch.Tensor, log_prob: torch.Tensor, cloned: torch.Tensor, demo_action: torch.Tensor,
    *, temperature: float, bc_weight: float,
) -> tuple[torch.Tensor, Terms]:  # fmt: skip
    """Returns the soft policy step's loss plus a behaviour-cloning term, and both.

    Args:
        q: Q(s, a) of the actor's own samples, (N, B): the mean over critics counts. log_prob: (B,).
        cloned: tanh(mean) on the expert rows, (E, A). demo_action: what the person did there, (E, A).
    """
    soft = (temperature * log_prob - q.mean(0)).mean()
    clone = bc_loss(cloned, demo_action)
    return soft + bc_weight * clone, {"actor_soft": soft, "actor_bc": clone}


@dataclass(frozen=True)
class SoftConfig:
    """What the default recipe sets; LOG.md has the measurement behind each number."""

    hidden: Sequence[int] = (128, 128)
    critics: int = 2
    gamma: float = 0.97
    temperature: float = 0.02
    bc_weight: float = 5.0
    learning_rate: float = 3e-4
    target_share: float = 0.005
    ema_share: float = 0.005


class SoftAgent:
    """A soft actor-critic whose critic loss is passed in: IQ-Learn's or SQIL's; all else is equal between them.

    Args:
        critic_loss: a pure function, see `iq_learn.iq_loss`. absorbing_value: V of the state after the task ended.
        normaliser: of observations (D,), from the demos. spread: (A,) of the demos' actions, see TanhGaussianActor.
        seed: of the networks' first weights and of all sampling.
    """

    def __init__(
        self, critic_loss: CriticLoss, absorbing_value: float, normaliser: Normaliser, spread: torch.Tensor,
        config: SoftConfig, seed: int,
    ) -> None:  # fmt: skip
        self.critic_loss, self.absorbing_value = critic_loss, absorbing_value
        self.config, self.action_size = config, len(spread)
        self.actor = TanhGaussianActor(normaliser, spread, config.hidden, seed)
        self.ema_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.critic = CriticEnsemble(normaliser, self.action_size, config.hidden, config.critics, seed + 1)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.learning_rate, fused=True)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=config.learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed + 2)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A) for obs (B, D): samples of the actor to explore, else the averaged actor's mean.

        The mean was better than samples once pauses were left out of the demos: it has nothing to freeze on (LOG.md).
        """
        return self.actor.sample(obs, self._noise(len(obs)))[0] if explore else self.ema_actor.best(obs)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one critic step and one actor step (IQ-Learn, Algorithm 1)."""
        terms = self._critic_step(batch)
        terms |= self._actor_step(batch)
        move_towards(self.target_critic, self.critic, self.config.target_share)
        move_towards(self.ema_actor, self.actor, self.config.ema_share)
        return {k: float(v.detach()) for k, v in terms.items()}

    def clone_step(self, batch: Batch) -> dict[str, float]:
        """Does one step of behaviour cloning: the start that IQ-Learn improves on."""
        loss = bc_loss(self.actor.best(batch.obs), batch.action)
        _descend(self.actor_optimiser, loss)
        self.ema_actor.load_state_dict(self.actor.state_dict())
        return {"bc_loss": float(loss.detach())}

    def _critic_step(self, batch: Batch) -> Terms:
        rows, c = len(batch.obs), self.config
        both = torch.cat([batch.obs, batch.next_obs])
        with torch.no_grad():
            own, log_prob, _ = self.actor.sample(both, self._noise(2 * rows))
            target_q = self.target_critic(batch.next_obs, own[rows:]).mean(0)
        bonus = -c.temperature * log_prob  # (2 B,) the entropy's share of V
        everything = torch.cat([batch.obs, both]), torch.cat([batch.action, own])
        q, q_own, q_next = self.critic(*everything).split(rows, 1)  # (N, B) each, in one forward
        next_value = self._end(batch, q_next + bonus[rows:])
        target_next_value = self._end(batch, target_q + bonus[rows:])
        loss, terms = self.critic_loss(q, q_own + bonus[:rows], next_value, target_next_value, batch.is_expert)
        _descend(self.critic_optimiser, loss)
        with torch.no_grad():
            terms["q_expert"], terms["q_replay"] = q[:, batch.is_expert].mean(), q[:, ~batch.is_expert].mean()
        return {"critic_loss": loss, **terms}

    def _end(self, batch: Batch, next_value: torch.Tensor) -> torch.Tensor:
        """Returns V(s') with the absorbing state's value where the task itself ended."""
        return torch.where(batch.terminated, self.absorbing_value, next_value)

    def _actor_step(self, batch: Batch) -> Terms:
        c = self.config
        action, log_prob, best = self.actor.sample(batch.obs, self._noise(len(batch.obs)))
        self.critic.requires_grad_(False)
        q = self.critic(batch.obs, action)
        self.critic.requires_grad_(True)
        loss, terms = actor_loss(
            q, log_prob, best[batch.is_expert], batch.action[batch.is_expert],
            temperature=c.temperature, bc_weight=c.bc_weight,
        )  # fmt: skip
        _descend(self.actor_optimiser, loss)
        return {**terms, "entropy": -log_prob.mean()}

    def _noise(self, rows: int) -> torch.Tensor:
        return torch.randn(rows, self.action_size, generator=self.generator)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of networks, optimisers and sampling."""
        state = {f"{part}.{k}": v for part in _NETWORKS for k, v in getattr(self, part).state_dict().items()}
        for part in _OPTIMISERS:
            state |= {f"{part}.{k}": v for k, v in optimiser_tensors(getattr(self, part)).items()}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        for part in _NETWORKS:
            getattr(self, part).load_state_dict(under(state, part))
        for part in _OPTIMISERS:
            load_optimiser_tensors(getattr(self, part), under(state, part))
        self.generator.set_state(state["generator"])

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns what a policy needs to act and to judge: the averaged actor and the critics."""
        parts = {"actor": self.ema_actor, "critic": self.critic}
        return {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}


_NETWORKS = ("actor", "ema_actor", "critic", "target_critic")
_OPTIMISERS = ("actor_optimiser", "critic_optimiser")


def _descend(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
