"""Session: what the states of a recording share: the running episode, the clock, the messages, what was kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.journal import Attempt, Journal
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.rollout import Pace
from robot_lfd.saving import Saver
from robot_lfd.stage import Stage
from robot_lfd.verdict import Verdict
from teleop.device import Event
from teleop.human import HumanPolicy

LATE_SHARE = 0.02  # of an episode's ticks: with more, it is tagged


@dataclass(frozen=True)
class Rules:
    """How a session goes.

    Attributes:
        episodes: ends after so many kept ones. realtime: keeps the wall clock. unattended: nobody presses start or
            keep (a script drives). keep_failures: unattended, keeps unsolved ones too. hold_s: how long a task has to
            stay solved until the episode ends. meta: stored with each episode.
    """

    episodes: int
    control_hz: float
    realtime: bool = True
    unattended: bool = False
    keep_failures: bool = True
    countdown_s: float = 0.0
    hold_s: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """An episode that the person has kept: safe in the journal, and soon in the dataset.

    Attributes:
        verdict_s: seconds from the key to the verdict.
    """

    id: str
    seed: int | None
    success: bool
    verdict: Verdict
    verdict_s: float


class Session:
    """One sitting of an operator; `states.run` leads it.

    Attributes:
        state: one of teleop.view.STATES. mark: a person's verdict on the running episode, None while the
            environment's counts. kept, discarded: what became of the starts so far. times: (T, 2) of the running one.
        solved_steps: how many steps in a row the task has been solved. leaving: nothing is left to do but to write.
        last: the episode kept last, without pictures. played: the one on show in REPLAY, and `played_steps` of it.
    """

    def __init__(
        self,
        tape: Tape,
        policy: HumanPolicy,
        store: DemoStore,
        journal: Journal,
        saver: Saver,
        seeds: Iterator[int],
        stage: Stage,
        rules: Rules,
        make_pace: Callable[[float], Pace] = Pace,
    ) -> None:
        self.tape, self.policy, self.store, self.journal, self.saver = tape, policy, store, journal, saver
        self.stage, self.rules, self.seeds, self._make_pace = stage, rules, seeds, make_pace
        self.state = "READY"
        self.obs: dict[str, np.ndarray] = {}
        self.seed: int | None = None
        self.same_seed = False
        self.mark: bool | None = None
        self.times: list[tuple[float, float]] = []
        self.note = ""
        self.kept: list[Kept] = []
        self.discarded: list[int] = []
        self.last: Episode | None = None
        self.played: Episode | None = None
        self.played_steps = 0
        self.message, self.message_kind = "", "info"
        self.help = self.muted = self.quit_asked = self.urgent = False
        self.countdown_s = 0.0
        self.solved_steps = 0
        self.leaving = False
        self.pace: Pace | None = None

    @property
    def late(self) -> int:
        """Ticks of the running episode that began more than half a period late."""
        return sum(actual - due > 0.5 / self.rules.control_hz for due, actual in self.times)

    @property
    def success(self) -> bool:
        """Whether the episode counts as solved: by the person's word, else by the environment's."""
        if self.played is not None:
            return self.played.success
        return self.tape.success if self.mark is None else self.mark

    @property
    def steps(self) -> int:
        """Steps of the episode that the window shows."""
        return len(self.tape) if self.played is None else self.played_steps

    @property
    def seen(self) -> dict[str, np.ndarray]:
        """The observation that belongs to what the window shows."""
        if self.played is None:
            return self.obs
        return {k: v[self.played_steps] for k, v in self.played.obs.items()}

    def begin(self, seed: int | None) -> None:
        """Starts an episode; nothing moves yet."""
        self.seed = seed
        obs, _ = self.tape.reset(seed=seed)
        self._start_over(obs)
        self.policy.reset()
        self.show_present()

    def begin_restored(self, attempt: Attempt) -> None:
        """Starts with an episode that a crash has interrupted, lived through up to its last step."""
        options = {"model": self.store.model(attempt.model), "sim_state": attempt.sim_state}
        self.seed = attempt.seed
        actions = [np.array(a, np.float32) for a in attempt.actions]
        self._start_over(self.tape.play(actions, seed=attempt.seed, options=options))
        self.times = [(i / self.rules.control_hz, t) for i, t in enumerate(attempt.seconds)]
        self.policy.reset()
        self.hold_grip()
        self.show_present()

    def _start_over(self, obs: dict[str, np.ndarray]) -> None:
        self.obs = obs
        self.mark, self.times, self.note, self.quit_asked, self.solved_steps = None, [], "", False, 0
        self.pace = self._make_pace(self.rules.control_hz) if self.rules.realtime else None

    def rewind(self, steps: int) -> None:
        """Goes back by `steps`, exactly."""
        self.obs = self.tape.rewind(steps)
        del self.times[len(self.tape) :]
        self.mark, self.solved_steps = None, 0
        self.policy.rest()
        self.hold_grip()
        self.show_present()

    def show_present(self) -> None:
        """Lets the pictures show the running episode as it stands."""
        self.stage.began(self.tape.start(), self.tape.actions())

    def hold_grip(self) -> None:
        """Keeps the gripper as the last action had it."""
        actions = self.tape.actions()
        self.policy.resume_grip(actions[-1] if actions else None)

    def leave_out(self) -> None:
        """Gives the running episode up; its start is listed, so that it can be tried again."""
        self.journal.end()
        if self.seed is not None:
            self.discarded.append(self.seed)

    def episode(self) -> Episode:
        """Returns the running episode as it would be kept now."""
        meta = {**self.rules.meta, "real_time_priority": self.urgent, "device_settings": self.policy.device.settings()}
        if self.note:
            meta["note"] = self.note
        if self.times and self.late > LATE_SHARE * len(self.times):
            meta["tags"] = ["late ticks"]
        return self.tape.episode(time=np.array(self.times) if self.times else None, success=self.mark, meta=meta)

    def say(self, message: str, kind: str = "info") -> None:
        """Tells the person; kind: "info", "good" or "warn"."""
        self.message, self.message_kind = message, kind

    def written(self, text: str) -> str:
        """Waits for the person to write a note, beginning with `text`, and returns it."""
        self.stage.write_note(text)
        for _ in self.idle():
            if (note := self.stage.noted()) is not None:
                return note
        return text

    def idle(self) -> Iterator[Event | None]:
        """Yields the events while nothing moves, and None once in every tick."""
        pace = self._make_pace(self.rules.control_hz)
        while True:
            pace.wait()
            self.policy.idle(self.obs)
            self.stage.show(self)
            yield from self.events()
            yield None

    def events(self) -> Iterator[Event]:
        """Yields what the person asked, after dealing with what concerns the window alone."""
        self.collect()
        asked = list(self.policy.events)
        if self.stage.asked_to_close():
            asked.append(Event.QUIT)
        for event in asked:
            if event is Event.HELP:
                self.help = not self.help
            elif event is Event.MUTE:
                self.muted = not self.muted
            else:
                self.quit_asked = self.quit_asked and event is Event.QUIT
                yield event

    def collect(self) -> None:
        """Takes note of the episodes that have been written meanwhile: the journal need not hold them any longer."""
        for saved in self.saver.finished():
            self.journal.end(saved.number)
            self.kept = [k if k.id != saved.id else _checked(k, saved.replays) for k in self.kept]


def _checked(kept: Kept, replays: bool | None) -> Kept:
    verdict = dataclasses.replace(kept.verdict, replays=replays)
    return dataclasses.replace(kept, verdict=verdict)
