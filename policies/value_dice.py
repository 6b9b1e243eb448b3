"""ValueDICE: imitation as one off-policy objective over a value nu and the policy, without rewards or a discriminator.

Source: Kostrikov, Nachum, Tompson, "Imitation Learning via Off-Policy Distribution Matching", ICLR 2020. The policy
maximises and nu minimises, with a ~ pi(s), a' ~ pi(s'), a0 ~ pi(s0) and delta(s, a, s') = nu(s, a) - gamma nu(s', a'),

    J = log E_mix[ exp(delta) ] - (1 - alpha) (1 - gamma) E[ nu(s0, a0) ] - alpha E_replay[ delta ]          Eq. 20

over the mixture that takes an expert's row with probability 1 - alpha, else one of the replay buffer: alpha 0 is the
offline objective (Sec. 4 and 5). As in the paper, every observation of the demos counts as a first one, nu has a
gradient penalty of 10, the actor an orthogonal one of 1e-4, and absorbing states are marked (see `absorbing`). What we
do differently: the actor, its averaging, pretraining and cloning term are those of IQ-Learn here, so that only the
objective differs; with --bc-weight 0, --pretrain-steps 0 and --no-own-successes it is the paper's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from policies.absorbing import MarkedRows, mark_rows, points_between
from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch
from policies.behaviour_cloning import bc_loss
from policies.iq_learn import gradient_penalty
from policies.networks import Ensemble, Normaliser, TanhGaussianActor, move_towards

Terms = dict[str, torch.Tensor]
PENALTY, ORTHOGONAL = 10.0, 1e-4


def dice_objective(
    delta: torch.Tensor, first_nu: torch.Tensor, is_expert: torch.Tensor, *, gamma: float, alpha: float
) -> tuple[torch.Tensor, Terms]:
    """Returns J, which nu minimises and the policy maximises, and its parts.

    Args:
        delta: nu(s, a) - gamma nu(s', a'), (R,). first_nu: nu(s0, a0), (F,). is_expert: (R,) bool.
        alpha: share of the replay buffer's rows in the mixture.
    """
    expert, other = delta[is_expert], delta[~is_expert]
    weighed = [expert + math.log((1.0 - alpha) / len(expert))]
    replay = delta.new_zeros(())
    if alpha > 0.0:
        weighed.append(other + math.log(alpha / len(other)))
        replay = alpha * other.mean()
    log_mix = torch.logsumexp(torch.cat(weighed), 0)
    linear = (1.0 - alpha) * (1.0 - gamma) * first_nu.mean()
    return log_mix - linear - replay, {"dice_log": log_mix, "dice_first": linear, "dice_replay": replay}


def orthogonal_penalty(weight: torch.Tensor) -> torch.Tensor:
    """Returns the squared products of different rows of a weight matrix (O, I): 0 where they stand at right angles.

    Source: Brock et al. 2019 (BigGAN), Eq. 3.
    """
    products = weight @ weight.T
    return (products - torch.diag(products.diag())).square().sum()


@dataclass(frozen=True)
class DiceConfig:
    """The paper's numbers, but for sizes and the actor's learning rate, which are those of the methods beside it."""

    hidden: Sequence[int] = (128, 128)
    gamma: float = 0.97
    alpha: float = 0.1
    bc_weight: float = 5.0
    actor_learning_rate: float = 3e-4
    nu_learning_rate: float = 1e-3
    ema_share: float = 0.005


class ValueDiceAgent:
    """Actor and nu.

    Args:
        normaliser: of observations (D,), from the demos. spread: (A,) of the demos' actions, see TanhGaussianActor.
        seed: of the networks' first weights and of all sampling.
    """

    def __init__(self, normaliser: Normaliser, spread: torch.Tensor, config: DiceConfig, seed: int) -> None:
        self.config, self.normaliser, self.action_size = config, normaliser, len(spread)
        self.actor = TanhGaussianActor(normaliser, spread, config.hidden, seed)
        self.ema_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.nu = Ensemble([normaliser.width + 1 + len(spread), *config.hidden, 1], 1, seed + 1, layer_norm=False)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=config.actor_learning_rate, fused=True)
        self.nu_optimiser = torch.optim.Adam(self.nu.parameters(), lr=config.nu_learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed + 2)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A) for obs (B, D): samples of the actor to explore, else the averaged actor's mean."""
        return self.actor.sample(obs, self._noise(len(obs)))[0] if explore else self.ema_actor.best(obs)

    def clone_step(self, batch: Batch) -> dict[str, float]:
        """Does one step of behaviour cloning: the start of all methods that are compared."""
        loss = bc_loss(self.actor.best(batch.obs), batch.action)
        _step(self.actor_optimiser, loss)
        self.ema_actor.load_state_dict(self.actor.state_dict())
        return {"bc_loss": float(loss.detach())}

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one step of nu and one of the actor, both on the same objective."""
        rows, expert = mark_rows(self.normaliser, batch), batch.is_expert
        visited = torch.cat([batch.next_obs, batch.obs[expert]])  # every observation of the demos is a first one
        own, _, _ = self.actor.sample(visited, self._noise(len(visited)))
        objective, terms = self._objective(rows, own.detach())
        terms["nu_penalty"] = self._penalty(rows, own.detach())
        _step(self.nu_optimiser, objective + PENALTY * terms["nu_penalty"])
        self.nu.requires_grad_(False)
        against, _ = self._objective(rows, own)
        self.nu.requires_grad_(True)
        clone = bc_loss(self.actor.best(batch.obs[expert]), batch.action[expert])
        angles = [orthogonal_penalty(m.weight) for m in self.actor.modules() if isinstance(m, nn.Linear)]
        _step(self.actor_optimiser, -against + self.config.bc_weight * clone + ORTHOGONAL * torch.stack(angles).sum())
        move_towards(self.ema_actor, self.actor, self.config.ema_share)
        return {k: float(v.detach()) for k, v in {"dice": objective, **terms, "actor_bc": clone}.items()}

    def _penalty(self, rows: MarkedRows, own: torch.Tensor) -> torch.Tensor:
        """Returns nu's gradient penalty between what the expert does and what the policy would do after other rows."""
        expert = torch.cat([rows.state, rows.action], 1)[rows.is_expert]
        other = torch.cat([rows.next_state[: rows.seen], own[: rows.seen]], 1)[~rows.is_expert[: rows.seen]]
        points = points_between(expert, other, self.generator)
        return gradient_penalty(self.nu.outputs(points).squeeze(-1), (points,))

    def _objective(self, rows: MarkedRows, own: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Returns J for the policy's actions `own`: B at what follows, then one at each of the F first states."""
        total, b = len(rows.action), rows.seen
        firsts = len(own) - b
        following = torch.cat([own[:b], own.new_zeros(total - b, self.action_size)])
        following = following.masked_fill(rows.absorbed[:, None], 0.0)  # (R, A) no action matters once absorbed
        state = torch.cat([rows.state, rows.next_state, rows.state[:b][rows.is_expert[:b]]])
        nu = self.nu.outputs(torch.cat([state, torch.cat([rows.action, following, own[b:]])], 1))[0, :, 0]
        here, there, first = nu.split([total, total, firsts])
        delta = here - self.config.gamma * there
        return dice_objective(delta, first, rows.is_expert, gamma=self.config.gamma, alpha=self.config.alpha)

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
        """Returns the averaged actor; nu is no value of a policy, so there is no critic."""
        return {f"actor.{k}": v for k, v in self.ema_actor.state_dict().items()}


_NETWORKS = ("actor", "ema_actor", "nu")
_OPTIMISERS = ("actor_optimiser", "nu_optimiser")


def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
