"""The states of a recording and what leads from one to the next: READY, COUNTDOWN, REC, PAUSED, ENDED, until the end.

A state is a function that runs until it is over and returns the next one, or None at the end of the session.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

from robot_lfd.demos.journal import Attempt
from robot_lfd.keeping import finish_writing, keep_episode, second_thought
from robot_lfd.playback import play_back
from robot_lfd.rollout import drive, paced
from robot_lfd.session import Session
from robot_lfd.urgent import urgent
from teleop.device import Event

State = Callable[[Session], Any]
UNDO_S = 2.0
SHORTEST_S = 0.5  # a keep within this time of the start is a slip of the finger


def run(session: Session, unfinished: Attempt | None = None, handed_over: Callable[[], Any] = lambda: None) -> None:
    """Goes from state to state until enough is kept, the starts are used up or the person quits, and all is written.

    Args:
        unfinished: an episode that a crash has interrupted, to begin with.
        handed_over: called when this session's own journal holds it.
    """
    state: State | None = ready
    if unfinished is not None:
        state = restored(session, unfinished)
        handed_over()
    while state is not None:
        state = state(session)
    finish_writing(session)


def ready(session: Session) -> State | None:
    """READY: everything stands at its start."""
    if len(session.kept) >= session.rules.episodes:
        return None
    seed = session.seed if session.same_seed else next(session.seeds, None)
    if seed is None:
        return None
    session.same_seed = False
    session.begin(seed)
    if session.rules.unattended:
        return record
    session.state = "READY"
    for event in session.idle():
        if event is Event.START:
            return count_down
        if event is Event.QUIT:
            session.journal.end()
            return None
        if event is Event.DISCARD:
            session.leave_out()
            session.say(f"start {session.seed} left out")
            return ready
        if event in (Event.REPLAY, Event.PAUSE):
            play_back(session, session.last, "the episode kept last")
        elif event and session.kept:
            second_thought(session, event)
    return None


def restored(session: Session, attempt: Attempt) -> State:
    """Lives again through what a crash interrupted, and waits there."""
    session.begin_restored(attempt)
    seconds = len(session.tape) / session.rules.control_hz
    session.say(f"an unfinished episode is back ({seconds:.1f} s): go on, keep it or discard it", "good")
    return pause


def count_down(session: Session) -> State | None:
    """COUNTDOWN: time to put the hands on the device."""
    session.countdown_s = session.rules.countdown_s
    session.state = "COUNTDOWN"
    session.say("")
    if session.countdown_s > 0 and not _counted(session):
        session.same_seed = True
        return ready
    session.stage.cue("start")
    return record


def _counted(session: Session) -> bool:
    """Returns whether the countdown came to its end."""
    for event in session.idle():
        before = session.countdown_s
        session.countdown_s -= 0.0 if event else 1.0 / session.rules.control_hz
        if math.ceil(before) != math.ceil(session.countdown_s):
            session.stage.cue("count")
        if session.countdown_s <= 0:
            break
        if event in (Event.PAUSE, Event.DISCARD, Event.QUIT):
            return False
    return True


def record(session: Session) -> State | None:
    """REC: every tick is a step of the episode."""
    if session.tape.terminated or session.tape.truncated:
        return end  # a pause came in the very tick that ended it
    session.state = "REC"
    session.quit_asked, session.solved_steps = False, 0
    if session.pace:
        session.pace.resync()
    gc.disable()  # a collection may take longer than a tick
    try:
        with urgent(session.rules.realtime) as granted:
            session.urgent = granted
            return _drive(session)
    finally:
        gc.enable()


def _drive(session: Session) -> State | None:
    for step in paced(drive(session.tape, session.policy, session.obs), session.pace):
        session.obs = step.next_obs
        if session.pace:
            session.times.append((session.pace.scheduled[-1], session.pace.actual[-1]))
        session.stage.stepped(step.action)
        session.stage.show(session)
        if not session.policy.connected:
            session.say(f"{session.policy.device.name} unplugged: plug it in again and you go on", "warn")
            session.stage.cue("trouble")
            return pause
        for event in session.events():
            if following := _on(session, event):
                return following
        session.solved_steps = session.solved_steps + 1 if session.tape.success else 0
        if _held(session):
            session.tape.terminated = True
        if session.tape.terminated or session.tape.truncated:
            return end
    return end


def _held(session: Session) -> bool:
    """Returns whether the task has been solved for as long as the rules ask."""
    hold_s, solved = session.rules.hold_s, session.solved_steps
    return hold_s is not None and solved > 0 and solved >= hold_s * session.rules.control_hz


def pause(session: Session) -> State | None:
    """PAUSED: time stands still."""
    session.state = "PAUSED"
    unplugged = not session.policy.connected
    for event in session.idle():
        if unplugged and session.policy.connected:
            session.say("plugged in again", "good")
            return record
        if unplugged and (why := getattr(session.policy.device, "refused", "")):
            session.say(why, "warn")
        if event in (Event.START, Event.PAUSE) and session.policy.connected:
            session.say("")
            return record
        if event and (following := _on(session, event)):
            return following
    return None


def stop(session: Session) -> State | None:
    """Stops everything at once and says so; what becomes of the episode is decided in the pause that follows."""
    session.stage.cue("trouble")
    session.say("emergency stop: go back by 2 s, go on, keep or discard", "warn")
    return pause


def end(session: Session) -> State | None:
    """ENDED: the episode is over; the person decides what becomes of it."""
    if session.rules.unattended:
        return keep if session.success or session.rules.keep_failures else discard
    if session.state != "ENDED":
        session.state = "ENDED"
        session.stage.cue("solved" if session.success else "pause")
        solved = session.tape.success
        session.say("solved: keep it?" if solved else "time is up: keep it?", "good" if session.success else "info")
    for event in session.idle():
        if event and (following := _on(session, event)):
            return following
    return None


def keep(session: Session) -> State | None:
    """SAVING: judges the episode and makes it safe; it is written while the next one runs."""
    back = _standing(session)
    if len(session.tape) < SHORTEST_S * session.rules.control_hz and not session.rules.unattended:
        session.say("nothing to keep yet", "warn")
        return record if session.state == "REC" else back
    session.state = "SAVING"
    if keep_episode(session):
        return ready
    session.state = "ENDED"
    return end


def discard(session: Session) -> State | None:
    """Gives the episode up."""
    session.leave_out()
    session.stage.cue("discard")
    session.say(f"discarded (start {session.seed})")
    return ready


def retry(session: Session) -> State | None:
    """Gives the episode up and takes the same start again."""
    session.journal.end()
    session.same_seed = True
    session.say(f"start {session.seed} again")
    return ready


def undo(session: Session) -> State | None:
    """Goes back by two seconds, exactly, and waits there."""
    session.say("going back ...")  # a long prefix takes a while to live through again
    session.stage.show(session)
    session.rewind(round(UNDO_S * session.rules.control_hz))
    session.stage.cue("undo")
    session.say(f"undone: back at {len(session.tape) / session.rules.control_hz:.1f} s", "good")
    return pause


def ask_quit(session: Session) -> State | None:
    """Ends the session, the second time it is asked in a row."""
    if session.quit_asked:
        discard(session)
        return None
    session.quit_asked = True
    session.say("the episode in progress is not kept: quit again to end, or go on", "warn")
    return _standing(session)


def take_note(session: Session) -> State | None:
    """Waits for the person to write a note."""
    back = _standing(session)
    session.state = "PAUSED" if session.state == "REC" else session.state
    session.note = session.written(session.note)
    session.say("noted" if session.note else "")
    return back


def watch(session: Session) -> State | None:
    """REPLAY: shows the episode so far."""
    if session.state == "REC":
        return None
    back = _standing(session)
    if len(session.tape):
        play_back(session, session.episode(), "the episode so far")
    return back


def _standing(session: Session) -> State:
    """Returns the state in which an episode that does not move waits."""
    return end if session.state == "ENDED" else pause


def _on(session: Session, event: Event) -> State | None:
    """Returns the state that an event leads to, from REC, PAUSED and ENDED alike; None: stay."""
    if event in (Event.SUCCESS, Event.FAILURE):
        session.mark = event is Event.SUCCESS
        session.say(f"marked as {event.value}", "good" if session.mark else "info")
        return None
    if event is Event.PAUSE:
        return {"REC": pause, "ENDED": watch}.get(session.state)
    return {
        Event.STOP: stop if session.state == "REC" else None,
        Event.START: keep,
        Event.KEEP: keep,
        Event.DISCARD: discard,
        Event.RETRY: retry,
        Event.UNDO: undo,
        Event.NOTE: take_note,
        Event.REPLAY: watch if session.state != "REC" else None,
        Event.QUIT: ask_quit,
    }.get(event)
