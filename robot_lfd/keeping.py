"""Keeping: a verdict within two seconds, the episode safe in the journal, the writing left to another process."""

from __future__ import annotations

import dataclasses
import threading
import time

from robot_lfd.demos.episode import Episode
from robot_lfd.errors import LfdError
from robot_lfd.saving import Job
from robot_lfd.session import Kept, Session
from robot_lfd.verdict import Verdict, judge
from teleop.device import Event

FLAGS = ("success", "terminated", "truncated")


def keep_episode(session: Session) -> bool:
    """Keeps the running episode; where that fails it says why and returns False: nothing is lost then."""
    asked = time.perf_counter()
    try:
        episode = session.episode()
        verdict = _judged(session, episode)
        episode = episode.replace(meta={**episode.meta, "verdict": verdict.to_json()})
        episode_id = _made_safe(session, episode)
    except (LfdError, OSError) as error:
        if session.rules.unattended:
            raise LfdError(str(error)) from error
        session.stage.cue("trouble")
        session.say(f"not saved: {error}", "warn")
        return False
    took = time.perf_counter() - asked
    session.kept.append(Kept(episode_id, session.seed, episode.success, verdict, took))
    session.last = episode
    session.stage.cue("keep")
    session.say(f"kept: {'success' if episode.success else 'failure'}", "good" if episode.success else "info")
    return True


def _judged(session: Session, episode: Episode) -> Verdict:
    """Returns the verdict; the window lives on while the mirror is asked."""
    if not session.rules.realtime:
        return judge(episode, session.rules.control_hz, session.stage.replays(episode))
    said: list[bool | None] = []
    asking = threading.Thread(target=lambda: said.append(session.stage.replays(episode)), name="verdict", daemon=True)
    asking.start()
    for _ in session.idle():
        if not asking.is_alive():
            break
    return judge(episode, session.rules.control_hz, said[0] if said else None)


def _made_safe(session: Session, episode: Episode) -> str:
    """Notes in the journal that the episode is kept, hands it on to be written, and returns its id."""
    episode_id = session.store.promise_id()
    reference = session.journal.reference
    flags = {name: getattr(episode, name) for name in FLAGS}
    number = session.journal.keep(episode_id, {**flags, "time": episode.time.tolist(), "meta": episode.meta})
    session.saver.save(Job(episode_id, episode, number, reference))
    return episode_id


def second_thought(session: Session, event: Event) -> None:
    """Changes what is said of the episode kept last, before the next one begins."""
    last = session.kept[-1]
    if event in (Event.SUCCESS, Event.FAILURE):
        success = event is Event.SUCCESS
        session.store.label(last.id, success=success)
        verdict = dataclasses.replace(last.verdict, success=success)
        session.kept[-1] = dataclasses.replace(last, success=success, verdict=verdict)
        session.say(f"the episode kept last is marked as {event.value}")
    elif event is Event.NOTE:
        session.store.label(last.id, note=session.written(""))
        session.say("note stored with the episode kept last")
    elif event is Event.UNDO:
        session.store.delete(last.id)
        session.kept.pop()
        session.last = None
        session.say("the episode kept last is taken back; lfd data undelete gives it back")


def finish_writing(session: Session) -> None:
    """Waits until every episode kept is written. Quitting twice leaves the rest to the journal."""
    session.collect()
    if not session.saver.waiting:
        return
    session.state, session.leaving = "SAVING", True
    session.say("")
    for event in session.idle():
        if not session.saver.waiting or session.saver.dead:
            return
        if event is Event.QUIT:
            if session.quit_asked:
                return
            session.quit_asked = True
            session.say("the rest is safe in the journal: quit again, and the next lfd record writes it", "warn")
