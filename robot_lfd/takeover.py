"""Takeover: a policy drives until a person moves a stick or key, and drives again when the person lets go."""

from __future__ import annotations

import numpy as np

from robot_lfd.guards import Unsafe
from robot_lfd.rollout import Policy
from teleop.device import Event
from teleop.human import HumanPolicy

RELEASE_S = 0.5  # hands off for so long gives control back


class Takeover:
    """A policy and a person at one arm. The person wins at once; hands off for RELEASE_S gives control back.

    The takeover key (Event.TAKEOVER) holds control until it is pressed again. The gripper keeps what the policy last
    asked of it until the person changes it, and changing it is a takeover too.

    Attributes:
        human_drives: the last action was the person's.
        events: what else the person asked for in the last `act`.
    """

    def __init__(self, policy: Policy, human: HumanPolicy, action_names: tuple[str, ...], control_hz: float) -> None:
        self.policy, self.human = policy, human
        self.human_drives = False
        self.events: tuple[Event, ...] = ()
        self._grip = np.array([n == "gripper" for n in action_names])
        self._patience = max(1, round(RELEASE_S * control_hz))
        self._last: np.ndarray | None = None
        self._held, self._quiet = False, 0

    def reset(self) -> None:
        """Starts an episode with the policy in control."""
        self.policy.reset()
        self.human.reset()
        self.human_drives, self._held, self._quiet, self._last = False, False, 0, None
        self.events = ()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the person's action while there is one, otherwise the policy's. Raises Unsafe on a lost device."""
        self.human.resume_grip(self._last)
        kept = self._last[self._grip] if self._last is not None else np.zeros(int(self._grip.sum()))
        hand = np.asarray(self.human.act(obs))
        if not self.human.connected:
            raise Unsafe(f"the {self.human.device.name} is gone")
        self._listen()
        changed = (hand[self._grip] != np.sign(kept)).any()
        if self._wants_control(bool((hand[~self._grip] != 0).any() or changed)):
            self._last = hand if changed else _with(hand, self._grip, kept)
        else:
            self._last = np.asarray(self.policy.act(obs))
        return self._last.astype(np.float32)

    def _listen(self) -> None:
        self.events = tuple(e for e in self.human.events if e is not Event.TAKEOVER)
        if self.human.events.count(Event.TAKEOVER) % 2:
            self._held = not self._held

    def _wants_control(self, moving: bool) -> bool:
        self._quiet = 0 if moving else self._quiet + 1
        drives = moving or self._held or (self.human_drives and self._quiet < self._patience)
        if self.human_drives and not drives:
            self.policy.reset()  # what it planned before the person came is out of date
        self.human_drives = drives
        return drives


def _with(action: np.ndarray, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    action = action.copy()
    action[where] = values
    return action
