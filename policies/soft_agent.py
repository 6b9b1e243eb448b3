"""SoftAgent: actor, critics and the gradient steps that IQ-Learn and the methods beside it share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from policies.absorbing import points_between, value_after
from policies.agent import descend, falling, load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch, Judged
from policies.behaviour_cloning import bc_loss
from policies.flat import Adam, Flat
from policies.fused import make_stack, tanh_gaussian
from policies.iq_learn import gradient_penalty
from policies.networks import CriticEnsemble, Normaliser, TanhGaussianActor
from policies.sharing import Share

Terms = dict[str, torch.Tensor]
CriticLoss = Callable[[Judged], tuple[torch.Tensor, Terms]]
ActorStep = Literal["soft", "advantage"]
LARGEST_ADVANTAGE_WEIGHT = 20.0
ADVANTAGE_SHARPNESS = 1.0  # in units of Q


def soft_step_loss(q: torch.Tensor, log_prob: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Returns E[temperature log pi(a|s) - Q(s, a)] of the actor's own samples: q (N, B), log_prob (B,).

    Source: Haarnoja et al. 2018 (SAC), Eq. 7; the mean over critics counts.
    """
    return (temperature * log_prob - q.mean(0)).mean()


def advantage_step_loss(log_prob: torch.Tensor, advantage: torch.Tensor, sharpness: float) -> torch.Tensor:
    """Returns -E[exp(A / sharpness) log pi(a|s)] of the batch's own actions: both (B,), no gradient through A.

    Source: Peng et al. 2019 (AWR), Eq. 5; Nair et al. 2020 (AWAC), Eq. 6. Weights end at LARGEST_ADVANTAGE_WEIGHT.
    """
    weight = (advantage.detach() / sharpness).exp().clamp(max=LARGEST_ADVANTAGE_WEIGHT)
    return -(weight * log_prob).mean()


def clone_loss(cloned: torch.Tensor, demo_action: torch.Tensor, better: torch.Tensor | None) -> torch.Tensor:
    """Returns the squared distance to the demos' actions, both (E, A); where given, `better` (E,) says which count.

    Source: Nair et al. 2018, "Overcoming Exploration in RL with Demonstrations", Sec. IV-B: the Q-filter.
    """
    if better is None:
        return bc_loss(cloned, demo_action)
    return ((cloned - demo_action).square().mean(-1) * better).mean()


def temperature_loss(log_temperature: torch.Tensor, log_prob: torch.Tensor, target_entropy: float) -> torch.Tensor:
    """Returns the loss whose minimum holds the actor's entropy at `target_entropy`; log_prob (B,) has no gradient.

    Source: Haarnoja et al. 2018, "SAC Algorithms and Applications", Eq. 18.
    """
    return (log_temperature.exp() * (-log_prob.detach() - target_entropy)).mean()


@dataclass(frozen=True)
class SoftConfig:
    """What the default recipe sets; LOG.md has the measurement behind each number.

    Attributes:
        learn_temperature: from `temperature` on, towards an entropy of -1 per dimension, in units of the demos' spread;
            the actor's noise learns too. Else it stays at that spread, see TanhGaussianActor.
        bc_decay_steps: the cloning weight falls to a tenth over so many updates; 0: it stays. bc_fall_at: from this
            update on it is a fifth; 0: never.
        most_noise: of the actor, see TanhGaussianActor.
        q_filter: cloning counts only where the critics rate the demo's action above the actor's own.
        actor_step: "soft" climbs Q; "advantage" clones the batch's actions, the better the more.
        action_noise: standard deviation of noise on the demos' actions as the critics see them, in [-1, 1] units.
        w1_penalty: weight of the gradient penalty; 0: none.
    """

    hidden: Sequence[int] = (128, 128)
    critics: int = 2
    gamma: float = 0.97
    temperature: float = 0.02
    learn_temperature: bool = False
    most_noise: float = 0.0
    bc_weight: float = 5.0
    bc_decay_steps: int = 0
    bc_fall_at: int = 0
    q_filter: bool = False
    actor_step: ActorStep = "soft"
    action_noise: float = 0.0
    layer_norm: bool = True
    learning_rate: float = 3e-4
    target_share: float = 0.005
    ema_share: float = 0.005
    w1_penalty: float = 0.0


class SoftAgent:
    """A soft actor-critic whose critic loss is passed in: IQ-Learn's, SQIL's or DAC's; all else is equal between them.

    Args:
        critic_loss: a pure function, see `iq_learn.iq_loss`.
        absorbing_value: V of the state after the task ended; None: V(s') of the last observation, as if it went on.
        normaliser: of observations (D,), from the demos. spread: (A,) of the demos' actions, see TanhGaussianActor.
        seed: of the networks' first weights and of all sampling.
        critic_normaliser: of what the critics look at, where that is not what the actor looks at.
        share: this process's of every batch, where several train as one.
    """

    def __init__(
        self, critic_loss: CriticLoss, absorbing_value: float | None, normaliser: Normaliser, spread: torch.Tensor,
        config: SoftConfig, seed: int, critic_normaliser: Normaliser | None = None, share: Share = Share(),
    ) -> None:  # fmt: skip
        self.critic_loss, self.absorbing_value, self.share = critic_loss, absorbing_value, share
        self.config, self.action_size, self.updates = config, len(spread), 0
        self.actor = TanhGaussianActor(
            normaliser, spread, config.hidden, seed, noise_learns=config.learn_temperature, most_noise=config.most_noise
        )
        self.ema_actor = copy.deepcopy(self.actor).requires_grad_(False)
        judged = critic_normaliser or normaliser
        self.critic = CriticEnsemble(
            judged, self.action_size, config.hidden, config.critics, seed + 1, config.layer_norm
        )
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(config.temperature).log().requires_grad_(config.learn_temperature)
        self._lay_out()
        self.temperature_optimiser = torch.optim.Adam([self.log_temperature], lr=config.learning_rate)
        share.average_before_steps(self.temperature_optimiser)
        self.generator = torch.Generator().manual_seed(seed + 2)

    def _lay_out(self) -> None:
        """Puts each network's parameters in one vector, and gives those that learn their optimiser."""
        self._look, self._judge, self._judge_after = map(make_stack, (self.actor, self.critic, self.target_critic))
        self._flat_ema_actor = Flat(self.ema_actor)
        self.actor_optimiser = Adam(self._look.flat, self.config.learning_rate, self.share)
        self.critic_optimiser = Adam(self._judge.flat, self.config.learning_rate, self.share)

    def __deepcopy__(self, memo: dict[int, Any]) -> SoftAgent:
        """Returns an agent of its own. A copied parameter is no view of a copied vector: they are laid out anew."""
        twin = copy.copy(self)
        own = {k: copy.deepcopy(v, memo) for k, v in vars(self).items() if k not in _LAID_OUT}
        vars(twin).update(own)
        twin._lay_out()
        twin.load_state_dict(self.state_dict())
        return twin

    @property
    def temperature(self) -> torch.Tensor:
        """The entropy's price as it stands, a scalar without gradient."""
        return self.log_temperature.detach().exp()

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A) for obs (B, D): samples of the actor to explore, else the averaged actor's mean.

        The mean was better than samples once pauses were left out of the demos: it has nothing to freeze on (LOG.md).
        """
        if not explore:
            return self.ema_actor.best(obs)
        mean, log_std = self._head(obs).chunk(2, -1)
        std = log_std.clamp(self.actor.log_std_min, self.actor.log_std_max).exp()
        return torch.tanh(mean + std * self._noise(len(obs), Share()))  # the same in every process

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one critic step and one actor step (IQ-Learn, Algorithm 1)."""
        head = self._head(batch.obs)  # once for both steps: the critics' step leaves the actor as it is
        terms = self.critic_step(batch, head)
        terms |= self.actor_step(batch, head)
        self.follow()
        return {k: float(v.detach()) for k, v in terms.items()}

    def follow(self) -> None:
        """Ends an update: target critics and averaged actor move towards what they follow."""
        self._judge_after.flat.move_towards(self._judge.flat, self.config.target_share)
        self._flat_ema_actor.move_towards(self._look.flat, self.config.ema_share)
        self.updates += 1

    def clone_step(self, batch: Batch) -> dict[str, float]:
        """Does one step of behaviour cloning: the start that IQ-Learn improves on."""
        loss = bc_loss(torch.tanh(self._head(batch.obs)[:, : self.action_size]), batch.action)
        descend(self.actor_optimiser, loss)
        self._flat_ema_actor.move_towards(self._look.flat, 1.0)
        return {"bc_loss": float(loss.detach())}

    def move_to(self, device: torch.device) -> None:
        """Puts networks and temperature on a device, before the first step.

        Noise is drawn on the CPU, so that it is the same everywhere.
        """
        for part in _NETWORKS:
            getattr(self, part).to(device)
        self.log_temperature.data = self.log_temperature.data.to(device)
        self._lay_out()

    def _head(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the actor's output, (B, 2 A)."""
        return self._look(self.actor.normaliser(obs))[0]

    def critic_step(self, batch: Batch, head: torch.Tensor | None = None) -> Terms:
        """Does one step of the critics; where `obs` and `next_obs` want a gradient, they have it afterwards.

        Args:
            head: the actor's output at `obs`, where it is known.
        """
        rows, first = len(batch.obs), len(batch.first_obs)
        later = torch.cat([batch.next_obs, batch.first_obs])
        with torch.no_grad():
            head = torch.cat([self._head(batch.obs) if head is None else head, self._head(later)])
            own, log_prob = tanh_gaussian(self.actor, head, self._noise(len(head)))
            bonus = -self.temperature * log_prob  # (2 B + F,) the entropy's share of V
        normal = self.critic.normaliser(torch.cat([batch.obs, later]))
        points = torch.cat([torch.cat([normal[:rows], normal]), torch.cat([self._judged_action(batch), own])], 1)
        with torch.no_grad():
            target_q = self._judge_after(points[2 * rows : 3 * rows]).squeeze(-1).mean(0)
        q, values = self._judge(points).squeeze(-1).split([rows, rows + rows + first], 1)  # in one forward
        value, next_value, first_value = (values + bonus).split([rows, rows, first], 1)  # each (N, B) or (N, F)
        judged = Judged(
            q, value, value_after(batch, next_value, self.absorbing_value),
            value_after(batch, target_q + bonus[rows : 2 * rows], self.absorbing_value),
            first_value, batch.is_expert, batch.reward,
        )  # fmt: skip
        loss, terms = self.critic_loss(judged)
        if self.config.w1_penalty:
            terms["w1_penalty"] = self._w1_penalty(batch)
            loss = loss + self.config.w1_penalty * terms["w1_penalty"]
        descend(self.critic_optimiser, loss)
        with torch.no_grad():
            expert = judged.q[:, batch.is_expert]
            terms["q_expert"], terms["q_replay"] = expert.mean(), judged.q[:, ~batch.is_expert].mean()
        return {"critic_loss": loss, **terms}

    def _w1_penalty(self, batch: Batch) -> torch.Tensor:
        """Returns the gradient penalty at random points between pairs of an expert's row and another."""
        rows = torch.cat([batch.obs, batch.action], 1)
        expert, other = rows[batch.is_expert], rows[~batch.is_expert]
        points = points_between(expert, other, self.generator, self.share).detach()
        obs, action = points.split([batch.obs.shape[1], self.action_size], 1)
        obs = self.critic.normaliser(obs).requires_grad_()
        action = action.clone().requires_grad_()
        return gradient_penalty(self.critic.judge(obs, action), (obs, action))

    def actor_step(self, batch: Batch, head: torch.Tensor | None = None) -> Terms:
        """Does one step of the actor; where `obs` wants a gradient, it has it afterwards.

        Args:
            head: the actor's output at `obs`, with gradient, where it is known.
        """
        c, expert, normal = self.config, batch.is_expert, self.critic.normaliser(batch.obs)
        head = self._head(batch.obs) if head is None else head
        action, log_prob = tanh_gaussian(self.actor, head, self._noise(len(head)))
        q = self._rated(normal, action)
        if c.actor_step == "soft":
            step = soft_step_loss(q, log_prob, self.temperature)
        else:
            advantage = (self._rated(normal, batch.action) - q).mean(0)
            step = advantage_step_loss(self.actor.log_prob(batch.obs, batch.action), advantage, ADVANTAGE_SHARPNESS)
        better = None
        if c.q_filter:
            better = (self._rated(normal[expert], batch.action[expert]).mean(0) > q[:, expert].mean(0)).float()
        best = torch.tanh(head[expert, : self.action_size])
        clone = clone_loss(best, batch.action[expert], better)
        weight = falling(c.bc_weight, self.updates, c.bc_decay_steps, c.bc_fall_at)
        descend(self.actor_optimiser, step + weight * clone)
        terms = {"actor_soft": step, "actor_bc": clone, "entropy": -log_prob.mean()}
        return {**terms, **self._temperature_step(log_prob)}

    def _rated(self, normal: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q (N, B) with a gradient for what is rated, none for the critics."""
        return self._judge.frozen(torch.cat([normal, action], 1)).squeeze(-1)

    def _judged_action(self, batch: Batch) -> torch.Tensor:
        """Returns the actions as the critics see them, (B, A): the demos' with noise, where it is asked for.

        In the cloning term noise would change nothing on average; the critics learn from it that what lies beside a
        demo's action is worth nearly as much.
        """
        if self.config.action_noise == 0.0:
            return batch.action
        noisy = (batch.action + self.config.action_noise * self._noise(len(batch.action))).clamp(-1.0, 1.0)
        return torch.where(batch.is_expert[:, None], noisy, batch.action)

    def _temperature_step(self, log_prob: torch.Tensor) -> Terms:
        if self.config.learn_temperature:
            descend(self.temperature_optimiser, temperature_loss(self.log_temperature, log_prob, -self.action_size))
        return {"temperature": self.temperature}

    def _noise(self, rows: int, share: Share | None = None) -> torch.Tensor:
        share = self.share if share is None else share
        drawn = share.of(torch.randn(rows * share.count, self.action_size, generator=self.generator))
        return drawn.to(self.log_temperature.device)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of networks, optimisers and sampling."""
        state = {f"{part}.{k}": v for part in _NETWORKS for k, v in getattr(self, part).state_dict().items()}
        for part in _OPTIMISERS:
            state |= {f"{part}.{k}": v for k, v in optimiser_tensors(getattr(self, part)).items()}
        counters = {"log_temperature": self.log_temperature.detach(), "updates": torch.tensor(self.updates)}
        return {**state, **counters, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        for part in _NETWORKS:
            getattr(self, part).load_state_dict(under(state, part))
        for part in _OPTIMISERS:
            load_optimiser_tensors(getattr(self, part), under(state, part))
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        self.updates = int(state["updates"])
        self.generator.set_state(state["generator"])

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns what a policy needs to act and to judge: the averaged actor, the critics, the temperature."""
        parts = {"actor": self.ema_actor, "critic": self.critic}
        tensors = {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}
        return {**tensors, "temperature": self.temperature}


_LAID_OUT = ("_look", "_judge", "_judge_after", "_flat_ema_actor", "actor_optimiser", "critic_optimiser")
_NETWORKS = ("actor", "ema_actor", "critic", "target_critic")
_OPTIMISERS = ("actor_optimiser", "critic_optimiser", "temperature_optimiser")
