"""REPLAY: the window shows an episode again, at its own speed, by living through its actions once more."""

from __future__ import annotations

from robot_lfd.demos.episode import Episode
from robot_lfd.session import Session
from teleop.device import Event

LINGER_S = 1.0  # the last instant stays for so long


def play_back(session: Session, episode: Episode | None, name: str) -> None:
    """Shows an episode until it is over or the person has seen enough, then what was there before."""
    if episode is None:
        return
    before = session.state, session.message, session.message_kind
    session.state, session.played, session.played_steps = "REPLAY", episode, 0
    session.say(f"playing back {name}")
    start = {"model": episode.model, "sim_state": episode.sim_state[0]}
    session.stage.began({"seed": episode.meta["seed"], "options": start}, ())
    try:
        _play(session, episode)
    finally:
        session.played = None
        session.state = before[0]
        session.say(*before[1:])
        session.show_present()


def _play(session: Session, episode: Episode) -> None:
    runs, lingered = True, 0.0
    for event in session.idle():
        if event is Event.PAUSE:
            runs = not runs
        elif event is not None:
            return
        elif runs and session.played_steps < len(episode):
            session.stage.stepped(episode.action[session.played_steps])
            session.played_steps += 1
        elif runs:
            lingered += 1.0 / session.rules.control_hz
            if lingered > LINGER_S:
                return
