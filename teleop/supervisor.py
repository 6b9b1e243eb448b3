"""A scripted supervisor: watches a policy drive and takes over where it does not get on, as a person would.

It stands in for a person in tests and measurements of corrections (`lfd deploy --takeover scripted`). While it watches
it touches nothing. Once the arm has made no progress for a while it presses the takeover key and drives the rest of
the episode as the scripted operator does, with a fresh look at the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from teleop.device import Command, Event
from teleop.scripted import Obs, ScriptedOperator, make_scripted_operator

PATIENCE_S = 1.5  # without progress for so long, the supervisor takes over
PROGRESS_M = 0.01  # less than this is none


class ScriptedSupervisor:
    """A Device: silent while the policy gets on, then a scripted operator until the episode ends.

    Args:
        operator: drives once the supervisor has taken over.
        control_hz: how many observations make a second.
    """

    name = "scripted"

    def __init__(self, operator: ScriptedOperator, control_hz: float) -> None:
        self.operator = operator
        self._patience = round(PATIENCE_S * control_hz)
        self._best, self._since, self._drives, self._pressed = np.inf, 0, False, False

    def reset(self) -> None:
        """Watches a new episode; whoever would take over in it is another person."""
        self.operator.reset()
        self._best, self._since, self._drives, self._pressed = np.inf, 0, False, False

    def settings(self) -> dict[str, Any]:
        """Returns what it takes to get the same supervisor again."""
        return {**self.operator.settings(), "patience_s": PATIENCE_S, "progress_m": PROGRESS_M}

    def see(self, obs: Obs) -> None:
        """Compares how far is left with the best so far."""
        self.operator.see(obs)
        left = distance_left(obs)
        if left < self._best - PROGRESS_M:
            self._best, self._since = left, 0
        self._since += 1
        self._drives = self._drives or self._since > self._patience

    def read(self, events: Sequence[Any]) -> Command:
        """Returns nothing while watching; the takeover key, once; then what the operator does."""
        if not self._drives:
            return Command()
        command = self.operator.read(events)
        if self._pressed:
            return command
        self._pressed = True
        return Command(command.axes, (*command.events, Event.TAKEOVER))


def distance_left(obs: Obs) -> float:
    """Returns the way that is left, metres: to the object, then of the object to its target, where there are such."""
    ways = [float(np.linalg.norm(obs[k])) for k in ("object_rel", "target_rel") if k in obs]
    if "target_rel" not in obs and "object_height" in obs:
        ways.append(-2.0 * float(obs["object_height"][0]))  # lifting undoes nothing of the approach
    return sum(ways)


def make_supervisor(env_id: str, seed: int, control_hz: float) -> ScriptedSupervisor:
    """Returns the supervisor of a task. Raises ValueError where no scripted operator knows it."""
    return ScriptedSupervisor(make_scripted_operator(env_id, seed), control_hz)
