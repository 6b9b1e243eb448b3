"""Prompts: what each function does in the state of a session: the window writes it on the keys and below the view."""

from __future__ import annotations

from collections.abc import Sequence

from robot_lfd.session import Session


def does_now(session: Session) -> dict[str, str]:
    """Returns what each function does in the session's state; functions that do nothing now are missing."""
    policy, state = session.policy, session.state
    if state == "REPLAY":
        return {"start": "enough", "pause": "hold", "help": "help", "mute": "sounds"}
    if state == "SAVING":
        return {"help": "help", "mute": "sounds"} | ({"quit": "leave the rest for later"} if session.leaving else {})
    does = {f: f for f in (*_axes(policy.axes), "slow", "clutch") if state == "REC"}
    does |= {"speed_up": "faster", "speed_down": "slower", "help": "help", "mute": "sounds"}
    if 6 in policy.axes:
        does |= {"grip": "close" if policy.next_grip(session.obs) > 0 else "open", "close": "close", "open": "open"}
    if len(policy.frames) > 1:
        does["frame"] = "driving frame"
    does |= {f"lock_{n}": f"lock {n}" for i, n in enumerate("xyz") if i in policy.axes}
    does |= {"lock_rotation": "lock rotation"} if 5 in policy.axes else {}
    running = {
        "keep": "keep",
        "discard": "discard",
        "undo": "undo 2 s",
        "retry": "same start",
        "note": "note",
        "quit": "quit",
    }
    marks = {"success": "success", "failure": "failure"}
    later = {**marks, "note": "note", "undo": "take back the last"} if session.kept else {}
    player = _player(session)
    later |= {f: "play the last" for f in ("replay", player) if session.last}
    back = {"replay": "play back"} | ({player: "play back"} if state == "ENDED" else {})
    waits = {"start": "go on", "pause": "go on"} if policy.connected else {"start": "keep"}
    return does | {
        "READY": {"start": "start", "discard": "another start", **later, "quit": "quit"},
        "COUNTDOWN": {"pause": "not yet", "discard": "not yet"},
        "REC": {**running, **marks, "start": "keep", "pause": "pause", "stop": "stop"},
        "PAUSED": {**running, **marks, **back, **waits},
        "ENDED": {**running, **marks, **back, "start": "keep"},
    }.get(state, {})


def _player(session: Session) -> str:
    """Returns the function that plays back: pads have no button to spare, and pause does it there."""
    bindings = getattr(session.policy.device, "bindings", None)
    shown = set(bindings.functions.values()) if bindings else set()
    return "pause" if "pause" in shown and "replay" not in shown else "replay"


def _axes(driven: Sequence[int]) -> list[str]:
    names = (("forward", "back"), ("left", "right"), ("up", "down"), ("roll_left", "roll_right"))
    names += (("pitch_up", "pitch_down"), ("turn_left", "turn_right"))
    return [n for i, pair in enumerate(names) for n in pair if i in driven]
