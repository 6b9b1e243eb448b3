"""IQ-Learn: the loss beside the paper's equations, for continuous and discrete actions, online and offline.

Source: Garg, Chakraborty, Cundy, Song, Geist, Ermon, "IQ-Learn: Inverse soft-Q Learning for Imitation", NeurIPS 2021.
Written from the equations. With V(s) = E_{a ~ pi}[Q(s, a) - temperature log pi(a|s)], for discrete actions
V(s) = temperature log sum_a exp(Q(s, a) / temperature), and the reward that Q implies,

    r(s, a) = Q(s, a) - gamma V(s')                                        the inverse soft Bellman operator, Eq. 6

the learner maximises over Q                                                                        Eq. 9 to 12

    J(Q) = E_expert[ phi(r) ] - (1 - gamma) E[ V(s_0) ]

and takes a soft policy step against the same Q (Algorithm 1, steps 3 and 4). phi belongs to the divergence between the
expert's and the learner's occupancies: `DIVERGENCES`. The second term has three estimates (Sec. 5.3): `VALUE_TERMS`.
What the default does differently, and why:

- The value term is estimated over both halves of the batch, expert and replay; the first states alone let Q diverge
  offline.
- The chi2 regulariser covers both halves: it then is the chi2 divergence to the mixture of the two (Al-Hafez et al.
  2023, LS-IQ, Prop. A.1), which bounds every reward by 4 chi2_alpha and thereby every value.
- In the rewards V(s') comes from a slowly moving target critic, without gradient. In the value term it must keep its
  gradient: there V(s) and V(s') cancel along a path all but (1 - gamma). Without it, every V(s) is pushed down with
  nothing to push back where the policy's own actions lie, Q sinks, and success falls from 90 % to 30 % (LOG.md).
- Offline with discrete actions there is no policy beside Q and no other place than the expert's path to sink at. There
  the rewards are Eq. 6 as it stands, V(s') with its gradient (`own_reward`): J is then E[temperature log pi(a|s)]
  - E[r^2] / (4 chi2_alpha), maximum likelihood with a penalty that ties Q to the step it leads to.
- Where the task itself ended, V(s') is the absorbing state's: see `bounded_absorbing_value`. Time limits keep theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from policies.batch import Judged

Terms = dict[str, torch.Tensor]
Divergence = Literal["chi2-mixture", "chi2", "tv", "w1", "kl", "js", "hellinger"]
ValueTerm = Literal["first", "expert", "replay"]


@dataclass(frozen=True)
class IqConfig:
    """Which of the paper's choices the loss makes.

    Attributes:
        divergence: "chi2-mixture" regularises both halves of the batch; the others are the paper's appendix B.
        value_term: how (1 - gamma) E[V(s_0)] is estimated.
        own_next_value: V(s') in the rewards is that of the critics themselves, with gradient; else the target critics'.
        target_bound: V(s') of the target critics is cut to [-target_bound, target_bound] (LS-IQ); None: as it is.
        state_only: rewards r(s, s') = V(s) - gamma V(s'): the demos' actions are not looked at (Sec. 5.4).
    """

    gamma: float
    chi2_alpha: float = 0.5
    divergence: Divergence = "chi2-mixture"
    value_term: ValueTerm = "replay"
    state_only: bool = False
    own_next_value: bool = False
    target_bound: float | None = None


def iq_loss(judged: Judged, config: IqConfig) -> tuple[torch.Tensor, Terms]:
    """Returns -J(Q) averaged over the N critics, and its terms."""
    worth = judged.value if config.state_only else judged.q
    if config.target_bound is not None:
        judged = bounded_targets(judged, config.target_bound)
    reward = (own_reward if config.own_next_value else target_reward)(worth, judged, config.gamma)  # (N, B)
    expert = reward[:, judged.is_expert]
    value_term = VALUE_TERMS[config.value_term](judged, config.gamma)
    gain = DIVERGENCES[config.divergence](expert, config.chi2_alpha).mean()
    spread = mixture_chi2(reward, config.chi2_alpha) if config.divergence == "chi2-mixture" else reward.new_zeros(())
    loss = -gain + value_term + spread
    return loss, {"expert_reward": expert.mean(), "value_gap": value_term, "regulariser": spread + expert.mean() - gain}


def bounded_targets(judged: Judged, bound: float) -> Judged:
    """Returns the same with V(s') of the target critics within [-bound, bound], beyond which no reward can lead.

    Source: Al-Hafez et al. 2023 (LS-IQ), Sec. 3.2: the bounds of r bound every Q, so that targets may be cut there.
    """
    return judged._replace(target_next_value=judged.target_next_value.clamp(-bound, bound))


def target_reward(worth: torch.Tensor, judged: Judged, gamma: float) -> torch.Tensor:
    """Returns worth - gamma V(s'), (N, B), V(s') from the target critics, a constant. Eq. 6, half a gradient."""
    return worth - gamma * judged.target_next_value


def own_reward(worth: torch.Tensor, judged: Judged, gamma: float) -> torch.Tensor:
    """Returns worth - gamma V(s'), (N, B), V(s') from the critics that learn, with gradient. Eq. 6 as it stands."""
    return worth - gamma * judged.next_value


def first_value_term(judged: Judged, gamma: float) -> torch.Tensor:
    """Returns (1 - gamma) E[V(s_0)] from the demos' first observations: Eq. 9 as it stands."""
    return (1.0 - gamma) * judged.first_value.mean()


def expert_value_term(judged: Judged, gamma: float) -> torch.Tensor:
    """Returns E[V(s) - gamma V(s')] over the expert's rows, which telescopes to (1 - gamma) E[V(s_0)]. Sec. 5.3."""
    gap = judged.value - gamma * judged.next_value
    return gap[:, judged.is_expert].mean()


def replay_value_term(judged: Judged, gamma: float) -> torch.Tensor:
    """Returns E[V(s) - gamma V(s')] over the expert's and the policy's rows alike: any path telescopes. Sec. 5.3."""
    return (judged.value - gamma * judged.next_value).mean()


VALUE_TERMS: dict[str, Callable[[Judged, float], torch.Tensor]] = {
    "first": first_value_term, "expert": expert_value_term, "replay": replay_value_term,
}  # fmt: skip


def mixture_chi2(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns E[r^2] / (4 chi2_alpha) over both halves of the batch. LS-IQ, Prop. A.1."""
    return reward.square().mean() / (4.0 * chi2_alpha)


def phi_linear(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns r: the mixture regulariser (`mixture_chi2`) or the gradient penalty of W1 bounds it elsewhere."""
    return reward


def phi_chi2(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns r - r^2 / (4 chi2_alpha): Pearson's chi2, on the expert's rows alone. Eq. 12."""
    return reward - reward.square() / (4.0 * chi2_alpha)


def phi_total_variation(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns r inside [-1/2, 1/2], the total variation's bound, and falls by the squared excess outside it."""
    return reward - TV_PENALTY * (reward.abs() - 0.5).clamp(min=0.0).square()


def phi_kl(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns -exp(-r - 1), of f(t) = t log t; straight on below `KL_EDGE`, where the exponential would explode."""
    return _straight_below(reward, KL_EDGE, lambda r: -torch.exp(-r - 1.0), lambda r: math.exp(-r - 1.0))


def phi_js(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns log(2 - exp(-r)), Jensen and Shannon's; straight on below `JS_EDGE`, near its end at -log 2."""
    return _straight_below(
        reward, JS_EDGE, lambda r: torch.log(2.0 - torch.exp(-r)), lambda r: math.exp(-r) / (2.0 - math.exp(-r))
    )


def phi_hellinger(reward: torch.Tensor, chi2_alpha: float) -> torch.Tensor:
    """Returns r / (1 + r), the squared Hellinger distance; straight on below `HELLINGER_EDGE`, near the pole at -1."""
    return _straight_below(reward, HELLINGER_EDGE, lambda r: r / (1.0 + r), lambda r: 1.0 / (1.0 + r) ** 2)


# phi(x) = -f*(-x), f* the convex conjugate of the divergence's f (appendix B, table 4). All are concave and rise at 0.
DIVERGENCES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "chi2-mixture": phi_linear, "chi2": phi_chi2, "tv": phi_total_variation, "w1": phi_linear,
    "kl": phi_kl, "js": phi_js, "hellinger": phi_hellinger,
}  # fmt: skip
TV_PENALTY = 10.0
KL_EDGE, JS_EDGE, HELLINGER_EDGE = -4.0, -0.5, -0.5
W1_PENALTY = 10.0


def _straight_below(
    reward: torch.Tensor, edge: float, phi: Callable[[torch.Tensor], torch.Tensor], slope: Callable[[float], float]
) -> torch.Tensor:
    """Returns phi(r) above `edge` and its tangent at `edge` below: concave still, finite everywhere."""
    inside = phi(reward.clamp(min=edge))
    return inside + slope(edge) * (reward - edge).clamp(max=0.0)


def gradient_penalty(q: torch.Tensor, points: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Returns E[(|grad Q| - 1)^2] of q (N, P), a function of each row of `points` (P, ...). W1; Gulrajani et al. 2017.

    The points lie between expert and replay rows; the gradient is that of all inputs together, critic by critic.
    """
    norms = []
    for critic in q:
        slopes = torch.autograd.grad(critic.sum(), points, create_graph=True)
        norms.append(sum(slope.square().sum(-1) for slope in slopes).add(1e-12).sqrt())  # type: ignore[union-attr]
    return (torch.stack(norms) - 1.0).square().mean()


def reward_bound(chi2_alpha: float, divergence: Divergence = "chi2-mixture") -> float:
    """Returns the largest reward that a divergence lets stand.

    Per state-action J is d_E r - d_rho r less what the divergence takes:
    - chi2 of the mixture takes (d_E + d_rho) r^2 / (8 chi2_alpha), so r* = 4 chi2_alpha (d_E - d_rho) / (d_E + d_rho);
      with V(s') of a target critic, a constant, the objective's slope on the replay's rows is less, and
      r* = 4 chi2_alpha d_E / (d_E + d_rho) - 2 chi2_alpha (1 - gamma), which stays below it too.
    - chi2 of the demos takes d_E r^2 / (4 chi2_alpha), so r* = 2 chi2_alpha (1 - d_rho / d_E).
    - total variation holds r within 1/2.
    - The others have no largest reward; they are given the mixture's.
    """
    return {"chi2": 2.0 * chi2_alpha, "tv": 0.5}.get(divergence, 4.0 * chi2_alpha)


def bounded_absorbing_value(chi2_alpha: float, gamma: float, divergence: Divergence = "chi2-mixture") -> float:
    """Returns V of the state after success, r / (1 - gamma), for the reward of a place where only experts stay.

    Source: Al-Hafez et al. 2023 (LS-IQ), Sec. 3.3: the absorbing state repeats for ever, so its value is known and need
    not be learned. It is the whole bound: with less, a policy that only stays where the demos were, at nearly the bound
    a step, is worth more than one that finishes, and learns to linger before the end (LOG.md).
    """
    return reward_bound(chi2_alpha, divergence) / (1.0 - gamma)
