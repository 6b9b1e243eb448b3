"""DAC: a discriminator between the expert's rows and the policy's is the reward of an off-policy actor-critic.

Source: Kostrikov, Agrawal, Dwibedi, Levine, Tompson, "Discriminator-Actor-Critic", ICLR 2019. With the logit h(s, a) of
the discriminator D = sigmoid(h), which minimises

    L(h) = E_expert[ -log D ] + E_replay[ -log(1 - D) ] + 10 E[ (|grad h| - 1)^2 ]                            Sec. 3

the reward is r(s, a) = log D - log(1 - D) = h(s, a), learned for the absorbing state too (Sec. 4). What we do
differently: the absorbing state repeats for ever with one reward, so its value is r / (1 - gamma) and is not learned;
the actor-critic is the soft one of IQ-Learn and SQIL here, not TD3, with their pretraining and cloning term, so that
only the reward differs. The gradient penalty is on the logit, at points between an expert's row and another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from policies.absorbing import MarkedRows, absorbing_state, mark_rows, points_between
from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch, Judged
from policies.iq_learn import gradient_penalty
from policies.networks import Ensemble, Normaliser
from policies.soft_agent import SoftAgent, SoftConfig

Terms = dict[str, torch.Tensor]
PENALTY = 10.0


def discriminator_loss(logit: torch.Tensor, is_expert: torch.Tensor) -> tuple[torch.Tensor, Terms]:
    """Returns the cross-entropy of telling the expert's rows from the others, and how often it is right.

    Args:
        logit: h(s, a), (R,). is_expert: (R,) bool. Each half counts as much, however many rows it has.
    """
    expert, other = logit[is_expert], logit[~is_expert]
    loss = F.softplus(-expert).mean() + F.softplus(other).mean()
    right = 0.5 * ((expert > 0).float().mean() + (other < 0).float().mean())
    return loss, {"discriminator_loss": loss, "discriminator_right": right}


def reward_critic_loss(judged: Judged, *, gamma: float) -> tuple[torch.Tensor, Terms]:
    """Returns the squared soft Bellman error (Q - r - gamma V(s'))^2 for rewards that are given."""
    error = (judged.q - judged.reward - gamma * judged.target_next_value).square().mean()
    return error, {"bellman": error}


def absorbing_value(reward: float, gamma: float) -> float:
    """Returns V of a state that repeats for ever with one reward."""
    return reward / (1.0 - gamma)


class DacAgent(SoftAgent):
    """A SoftAgent whose rewards are a discriminator's logits. Arguments as SoftAgent's, without loss and value.

    The discriminator looks at what the critics look at.
    """

    def __init__(
        self, normaliser: Normaliser, spread: torch.Tensor, config: SoftConfig, seed: int,
        critic_normaliser: Normaliser | None = None,
    ) -> None:  # fmt: skip
        def critic_loss(judged: Judged) -> tuple[torch.Tensor, Terms]:
            return reward_critic_loss(judged, gamma=config.gamma)

        super().__init__(critic_loss, 0.0, normaliser, spread, config, seed, critic_normaliser)
        self.normaliser = critic_normaliser or normaliser
        self.width = self.normaliser.width + 1
        sizes = [self.width + self.action_size, *config.hidden, 1]
        self.discriminator = Ensemble(sizes, 1, seed + 3, layer_norm=False)
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=config.learning_rate, fused=True
        )

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one step of the discriminator, then one of critics and actor on its reward."""
        rows = mark_rows(self.normaliser, batch)
        terms = self._discriminator_step(rows)
        with torch.no_grad():
            logit = self._logit(rows.state, rows.action)[0]
            nowhere = self._logit(absorbing_state(self.width, 1), torch.zeros(1, self.action_size))
        self.absorbing_value = absorbing_value(float(nowhere), self.config.gamma)
        terms["reward_expert"], terms["reward_replay"] = logit[rows.is_expert].mean(), logit[~rows.is_expert].mean()
        found = super().update(batch._replace(reward=logit[: len(batch.obs)]))
        return {**found, **{k: float(v.detach()) for k, v in terms.items()}}

    def _discriminator_step(self, rows: MarkedRows) -> Terms:
        loss, terms = discriminator_loss(self._logit(rows.state, rows.action)[0], rows.is_expert)
        inputs = torch.cat([rows.state, rows.action], 1)
        points = points_between(inputs[rows.is_expert], inputs[~rows.is_expert], self.generator)
        terms["discriminator_penalty"] = gradient_penalty(self.discriminator.outputs(points).squeeze(-1), (points,))
        self.discriminator_optimiser.zero_grad()
        (loss + PENALTY * terms["discriminator_penalty"]).backward()
        self.discriminator_optimiser.step()
        return terms

    def _logit(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns h, (1, R), for marked states (R, D + 1) and actions (R, A)."""
        return self.discriminator.outputs(torch.cat([state, action], 1)).squeeze(-1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the state of SoftAgent and of the discriminator."""
        state = {f"discriminator.{k}": v for k, v in self.discriminator.state_dict().items()}
        moments = optimiser_tensors(self.discriminator_optimiser)
        state |= {f"discriminator_optimiser.{k}": v for k, v in moments.items()}
        return {**super().state_dict(), **state}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        super().load_state_dict(state)
        self.discriminator.load_state_dict(under(state, "discriminator"))
        load_optimiser_tensors(self.discriminator_optimiser, under(state, "discriminator_optimiser"))
