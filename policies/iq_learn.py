"""IQ-Learn for continuous actions: the loss beside the paper's equations.

Source: Garg, Chakraborty, Cundy, Song, Geist, Ermon, "IQ-Learn: Inverse soft-Q Learning for Imitation", NeurIPS 2021.
Written from the equations. With V(s) = E_{a ~ pi}[Q(s, a) - temperature log pi(a|s)] and the reward that Q implies,

    r(s, a) = Q(s, a) - gamma V(s')                                        the inverse soft Bellman operator, Eq. 6

the learner maximises over Q                                                                        Eq. 9 and 12

    J(Q) = E_expert[ r ] - E_rho[ V(s) - gamma V(s') ] - 1 / (4 chi2_alpha) E[ r^2 ]

and takes a soft policy step against the same Q (Algorithm 1, steps 3 and 4). What we do differently, and why:

- The middle term, which for any rho on a policy's path equals (1 - gamma) E[V(s_0)], is estimated over both halves of
  the batch, expert and replay (the paper's Sec. 5.3 "value" estimate); the first states alone made Q diverge offline.
- The chi2 regulariser covers both halves: it then is the chi2 divergence to the mixture of the two (Al-Hafez et al.
  2023, LS-IQ, Prop. A.1), which bounds every reward by 4 chi2_alpha and thereby every value: `value_bound`.
- In the rewards V(s') comes from a slowly moving target critic, without gradient. In the middle term it must keep its
  gradient: there V(s) and V(s') cancel along a path all but (1 - gamma). Without it, every V(s) is pushed down with
  nothing to push back where the policy's own actions lie, Q sinks, and success falls from 90 % to 30 % (LOG.md).
- Where the task itself ended, V(s') is the absorbing state's: see `absorbing_value`. Time limits keep their V(s').
"""

from __future__ import annotations

import torch

Terms = dict[str, torch.Tensor]


def iq_loss(
    q: torch.Tensor, value: torch.Tensor, next_value: torch.Tensor, target_next_value: torch.Tensor,
    is_expert: torch.Tensor, *, gamma: float, chi2_alpha: float,
) -> tuple[torch.Tensor, Terms]:  # fmt: skip
    """Returns -J(Q) averaged over the N critics, and its terms.

    Args:
        q: Q(s, a), (N, B). value: V(s), (N, B).
        next_value: V(s') of the critics being trained, (N, B), with gradient, for the middle term.
        target_next_value: V(s') of the target critics, (B,), without gradient, for the rewards.
        is_expert: (B,) bool.
    """
    reward = q - gamma * target_next_value  # (N, B)  Eq. 6
    expert_reward = reward[:, is_expert].mean()
    value_gap = (value - gamma * next_value).mean()
    chi2 = reward.square().mean() / (4.0 * chi2_alpha)
    loss = -expert_reward + value_gap + chi2
    return loss, {"expert_reward": expert_reward, "value_gap": value_gap, "chi2": chi2}


def reward_bound(chi2_alpha: float) -> float:
    """Returns the largest reward that the chi2 mixture regulariser lets stand, 4 chi2_alpha.

    Per state-action J is d_E r - d_rho r - (d_E + d_rho) r^2 / (8 chi2_alpha), so
    r* = 4 chi2_alpha (d_E - d_rho) / (d_E + d_rho), which lies between -4 and 4 chi2_alpha.
    """
    return 4.0 * chi2_alpha


def absorbing_value(chi2_alpha: float, gamma: float) -> float:
    """Returns V of the state after success, r / (1 - gamma), for the reward of a place where only experts stay.

    Source: Al-Hafez et al. 2023 (LS-IQ), Sec. 3.3: the absorbing state repeats for ever, so its value is known and need
    not be learned. We take half of the largest reward: the agent reaches that state too as it improves.
    """
    return 0.5 * reward_bound(chi2_alpha) / (1.0 - gamma)
