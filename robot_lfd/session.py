"""Session: the state machine of recording: READY, REC, PAUSED, ENDED, SAVING, until enough episodes are kept."""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.journal import Attempt, Journal
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.errors import LfdError
from robot_lfd.rollout import Pace, drive, paced
from robot_lfd.saving import Kept, Saving
from robot_lfd.stage import Stage
from robot_lfd.urgent import urgent
from teleop.device import Event
from teleop.human import HumanPolicy

UNDO_S = 2.0
SHORTEST_S = 0.5  # a keep within this time of the start is a slip of the finger
State = Callable[[], Any]  # a state runs until it is over and returns the next one, or None at the end


@dataclass(frozen=True)
class Rules:
    """How a session goes.

    Attributes:
        episodes: ends after so many kept ones. realtime: keeps the wall clock. unattended: nobody presses start or
            keep (a script drives). keep_failures: unattended, keeps unsolved ones too. meta: stored with each episode.
    """

    episodes: int
    control_hz: float
    realtime: bool = True
    unattended: bool = False
    keep_failures: bool = True
    countdown_s: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


class Session:
    """One sitting of an operator. `run` returns when enough is kept, the seeds are used up, or the person quits.

    Attributes:
        state: one of teleop.view.STATES. mark: a person's verdict on the running episode, None while the
            environment's counts. kept, discarded: what became of the starts so far. times: (T, 2) of the running one.
    """

    def __init__(
        self,
        tape: Tape,
        policy: HumanPolicy,
        store: DemoStore,
        journal: Journal,
        seeds: Iterator[int],
        stage: Stage,
        rules: Rules,
        make_pace: Callable[[float], Pace] = Pace,
    ) -> None:
        self.tape, self.policy, self.store, self.journal = tape, policy, store, journal
        self.stage, self.rules = stage, rules
        self.state = "READY"
        self.obs: dict[str, np.ndarray] = {}
        self.seed: int | None = None
        self.mark: bool | None = None
        self.times: list[tuple[float, float]] = []
        self.kept: list[Kept] = []
        self.discarded: list[int] = []
        self.note = ""
        self.message, self.message_kind = "", "info"
        self.help = self.muted = False
        self.countdown_s = 0.0
        self.urgent = False
        self.pace: Pace | None = None
        self._seeds, self._make_pace = seeds, make_pace
        self._same_seed = self._quit_asked = False

    def run(self, unfinished: Attempt | None = None, handed_over: Callable[[], Any] = lambda: None) -> None:
        """Goes from state to state until the end, beginning with an unfinished episode where there is one.

        Args:
            handed_over: called when this session's own journal holds the unfinished episode.
        """
        state: State | None = self._ready
        if unfinished is not None:
            state = self._restored(unfinished)
            handed_over()
        while state is not None:
            state = state()

    @property
    def late(self) -> int:
        """Ticks of the running episode that began more than half a period late."""
        return sum(actual - due > 0.5 / self.rules.control_hz for due, actual in self.times)

    @property
    def success(self) -> bool:
        """Whether the episode counts as solved: by the person's word, else by the environment's."""
        return self.tape.success if self.mark is None else self.mark

    # States

    def _ready(self) -> State | None:
        if len(self.kept) >= self.rules.episodes:
            return None
        if not self._same_seed:
            self.seed = next(self._seeds, None)
        if self.seed is None:
            return None
        self._same_seed = False
        self._begin(self.seed)
        if self.rules.unattended:
            return self._record
        self.state = "READY"
        for event in self._idle():
            if event is Event.START:
                return self._count_down
            if event is Event.QUIT:
                return None
            if event is Event.DISCARD:
                self._leave_out()
                self._say(f"start {self.seed} left out", "info")
                return self._ready
            if event and self.kept:
                self._on_last_kept(event)
        return None

    def _on_last_kept(self, event: Event) -> None:
        """Second thoughts about the episode kept last, before the next one begins."""
        last = self.kept[-1]
        if event in (Event.SUCCESS, Event.FAILURE):
            success = event is Event.SUCCESS
            self.store.label(last.id, success=success)
            verdict = dataclasses.replace(last.verdict, success=success)
            self.kept[-1] = dataclasses.replace(last, success=success, verdict=verdict)
            self._say(f"the episode kept last is marked as {event.value}", "info")
        elif event is Event.NOTE:
            self.store.label(last.id, note=self._written(""))
            self._say("note stored with the episode kept last", "info")
        elif event is Event.UNDO:
            self.store.delete(last.id)
            self.kept.pop()
            self._say("the episode kept last is taken back; lfd data undelete gives it back", "info")

    def _leave_out(self) -> None:
        self.journal.end()
        if self.seed is not None:
            self.discarded.append(self.seed)

    def _begin(self, seed: int) -> None:
        self.mark, self.times, self.note, self._quit_asked = None, [], "", False
        self.obs, _ = self.tape.reset(seed=seed)
        self.policy.reset()
        self.stage.began(self.tape)
        self.pace = self._make_pace(self.rules.control_hz) if self.rules.realtime else None

    def _restored(self, attempt: Attempt) -> State:
        """Lives again through what a crash interrupted, and waits there."""
        self._begin_restored(attempt)
        seconds = len(self.tape) / self.rules.control_hz
        self._say(f"an unfinished episode is back ({seconds:.1f} s): go on, keep it or discard it", "good")
        return self._pause

    def _begin_restored(self, attempt: Attempt) -> None:
        options = {"model": self.store.model(attempt.model), "sim_state": attempt.sim_state}
        self.seed = attempt.seed
        self.obs, _ = self.tape.reset(seed=attempt.seed, options=options)
        for action in attempt.actions:
            self.obs, *_ = self.tape.step(np.array(action, np.float32))
        self.times = [(i / self.rules.control_hz, t) for i, t in enumerate(attempt.seconds)]
        self.policy.reset()
        self._hold_grip()
        self.stage.began(self.tape)
        self.pace = self._make_pace(self.rules.control_hz) if self.rules.realtime else None

    def _count_down(self) -> State | None:
        self.countdown_s = self.rules.countdown_s
        self.state = "COUNTDOWN"
        if self.countdown_s > 0:
            self._say("", "info")
            for event in self._idle():
                before = self.countdown_s
                self.countdown_s -= 0.0 if event else 1.0 / self.rules.control_hz
                if math.ceil(before) != math.ceil(self.countdown_s):
                    self.stage.cue("count")
                if self.countdown_s <= 0:
                    break
                if event in (Event.PAUSE, Event.DISCARD, Event.QUIT):
                    self._same_seed = True
                    return self._ready
        self._say("", "info")
        self.stage.cue("start")
        return self._record

    def _record(self) -> State | None:
        if self.tape.terminated or self.tape.truncated:
            return self._end  # a pause came in the very tick that ended it
        self.state = "REC"
        self._quit_asked = False
        if self.pace:
            self.pace.resync()
        gc.disable()  # a collection may take longer than a tick
        try:
            with urgent(self.rules.realtime) as granted:
                self.urgent = granted
                return self._drive()
        finally:
            gc.enable()

    def _drive(self) -> State | None:
        for step in paced(drive(self.tape, self.policy, self.obs), self.pace):
            self.obs = step.next_obs
            if self.pace:
                self.times.append((self.pace.scheduled[-1], self.pace.actual[-1]))
            self.stage.stepped(step)
            self.stage.show(self)
            if not self.policy.connected:
                self._say(f"{self.policy.device.name} unplugged: plug it in again and you go on", "warn")
                self.stage.cue("trouble")
                return self._pause
            for event in self._events():
                if following := self._on(event):
                    return following
            if step.terminated or step.truncated:
                return self._end
        return self._end

    def _pause(self) -> State | None:
        self.state = "PAUSED"
        unplugged = not self.policy.connected
        for event in self._idle():
            if unplugged and self.policy.connected:
                self._say("plugged in again", "good")
                return self._record
            if event in (Event.START, Event.PAUSE) and self.policy.connected:
                self._say("", "info")
                return self._record
            if event and (following := self._on(event)):
                return following
        return None

    def _end(self) -> State | None:
        if self.rules.unattended:
            return self._keep if self.success or self.rules.keep_failures else self._discard
        if self.state != "ENDED":
            self.state = "ENDED"
            self.stage.cue("solved" if self.success else "pause")
            self._say(
                "solved: keep it?" if self.tape.success else "time is up: keep it?", "good" if self.success else "info"
            )
        for event in self._idle():
            if event and (following := self._on(event)):
                return following
        return None

    def _keep(self) -> State | None:
        back = self._end if self.state == "ENDED" else self._pause
        if len(self.tape) < SHORTEST_S * self.rules.control_hz and not self.rules.unattended:
            self._say("nothing to keep yet", "warn")
            return self._record if self.state == "REC" else back
        self.state = "SAVING"
        save = Saving(self.stage, self.store, self.episode, self.rules.control_hz, self.seed)
        for _ in self._idle() if self.rules.realtime else ():
            if not save.is_alive():
                break
        save.join()
        if save.kept is None:
            if self.rules.unattended:
                raise LfdError(save.error)
            self.state = "ENDED"
            self.stage.cue("trouble")
            self._say(f"not saved: {save.error}", "warn")
            return self._end
        self.journal.end()
        self.kept.append(save.kept)
        self.stage.cue("keep")
        self._say(f"kept: {'success' if save.kept.success else 'failure'}", "good" if save.kept.success else "info")
        return self._ready

    def _discard(self) -> State | None:
        self._leave_out()
        self.stage.cue("discard")
        self._say(f"discarded (start {self.seed})", "info")
        return self._ready

    def _retry(self) -> State | None:
        self.journal.end()
        self._same_seed = True
        self._say(f"start {self.seed} again", "info")
        return self._ready

    def _undo(self) -> State | None:
        """Goes back by two seconds, exactly, and waits there."""
        self.obs = self.tape.rewind(round(UNDO_S * self.rules.control_hz))
        del self.times[len(self.tape) :]
        self.mark = None
        self.policy.rest()
        self._hold_grip()
        self.stage.began(self.tape)
        self.stage.cue("undo")
        self._say(f"undone: back at {len(self.tape) / self.rules.control_hz:.1f} s", "good")
        return self._pause

    def _ask_quit(self) -> State | None:
        if self._quit_asked:
            self._discard()
            return None
        self._quit_asked = True
        self._say("the episode in progress is not kept: quit again to end, or go on", "warn")
        return self._end if self.state == "ENDED" else self._pause

    def _on(self, event: Event) -> State | None:
        """Returns the state that an event leads to, from REC, PAUSED and ENDED alike; None: stay."""
        if event in (Event.SUCCESS, Event.FAILURE):
            self.mark = event is Event.SUCCESS
            self._say(f"marked as {event.value}", "good" if self.mark else "info")
            return None
        return {
            Event.START: self._keep,
            Event.KEEP: self._keep,
            Event.DISCARD: self._discard,
            Event.RETRY: self._retry,
            Event.UNDO: self._undo,
            Event.PAUSE: self._pause if self.state == "REC" else None,
            Event.STOP: self._pause if self.state == "REC" else None,
            Event.NOTE: self._take_note,
            Event.QUIT: self._ask_quit,
        }.get(event)

    def _take_note(self) -> State | None:
        back = self._end if self.state == "ENDED" else self._pause
        self.state = "PAUSED" if self.state == "REC" else self.state
        self.note = self._written(self.note)
        self._say("noted" if self.note else "", "info")
        return back

    def _written(self, text: str) -> str:
        """Waits for the person to write a note and returns it."""
        self.stage.write_note(text)
        for _ in self._idle():
            if (note := self.stage.noted()) is not None:
                return note
        return text

    # What states share

    def _idle(self) -> Iterator[Event | None]:
        """Yields the events while nothing moves, and None once in every tick."""
        pace = self._make_pace(self.rules.control_hz)
        while True:
            pace.wait()
            self.policy.idle(self.obs)
            self.stage.show(self)
            yield from self._events()
            yield None

    def _events(self) -> Iterator[Event]:
        """Yields what the person asked, after dealing with what concerns the window alone."""
        asked = list(self.policy.events)
        if self.stage.asked_to_close():
            asked.append(Event.QUIT)
        for event in asked:
            if event is Event.HELP:
                self.help = not self.help
            elif event is Event.MUTE:
                self.muted = not self.muted
            else:
                self._quit_asked = self._quit_asked and event is Event.QUIT
                yield event

    def _hold_grip(self) -> None:
        actions = self.tape.actions()
        self.policy.resume_grip(actions[-1] if actions else None)

    def _say(self, message: str, kind: str) -> None:
        self.message, self.message_kind = message, kind

    def episode(self) -> Episode:
        """Returns the running episode as it would be kept now."""
        meta = {**self.rules.meta, "real_time_priority": self.urgent, "device_settings": self.policy.device.settings()}
        if self.note:
            meta["note"] = self.note
        if self.times and self.late > 0.02 * len(self.times):
            meta["tags"] = ["late ticks"]
        return self.tape.episode(time=np.array(self.times) if self.times else None, success=self.mark, meta=meta)
