"""Screen: what surrounds a session for a person: the window, the mirror that draws for it, and the drawing's budget."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.mirror import Mirror
from robot_lfd.prompts import does_now
from robot_lfd.session import LATE_SHARE, Session
from robot_lfd.verdict import Verdict, medians
from teleop.sounds import Sounds
from teleop.view import VerdictLine, ViewModel
from teleop.window import Window

DRAW_SHARE = 0.6  # of a period: slower drawing is done in every second tick, or third, ...
STRIP_S = 5.0
PATIENCE_S = 1.5  # for the mirror to catch up, at a keep: the verdict is due within two seconds
SLOW_SHARE = 0.05  # of the last ticks late: time to say that the machine is too slow


class Screen:
    """Shows a session in a window.

    Args:
        earlier: verdicts of the dataset's episodes, as JSON.
    """

    def __init__(
        self,
        window: Window,
        mirror: Mirror,
        dataset: Path,
        title: str,
        earlier: Sequence[dict[str, Any]],
    ) -> None:
        self.window, self.mirror = window, mirror
        self._dataset, self._title = dataset, title
        self._earlier = list(earlier)
        self._drawn_at, self._draw_s = -math.inf, 0.0
        self._medians: dict[str, float] = {}
        self._judged = 0
        self._sounds, self._muted = Sounds(), False

    def began(self, start: dict[str, Any], actions: Sequence[np.ndarray]) -> None:
        """Starts the mirror anew."""
        self.mirror.reset(start, actions)

    def stepped(self, action: np.ndarray) -> None:
        """Passes the action to the mirror."""
        self.mirror.step(action)

    def cue(self, name: str) -> None:
        """Plays a sound, unless the person has muted it."""
        if not self._muted:
            self._sounds.play(name)

    def write_note(self, text: str) -> None:
        """Lets the window take a note."""
        self.window.write_note(text)

    def noted(self) -> str | None:
        """Returns the note once it is finished."""
        return self.window.noted()

    def asked_to_close(self) -> bool:
        """Returns, once, whether the window's close button was pressed."""
        closed, self.window.closed = self.window.closed, False
        return closed

    def replays(self, episode: Episode) -> bool | None:
        """Returns whether the mirror has lived through the same episode, bit for bit; None if it takes too long."""
        states = self.mirror.states(PATIENCE_S)
        return None if states is None else bool(np.array_equal(states, episode.sim_state))

    def show(self, session: Session) -> None:
        """Draws, unless the last drawing took so long that this tick must go without: pictures yield, ticks do not."""
        now = time.perf_counter()
        self._muted = session.muted
        period = 1.0 / session.rules.control_hz
        skip = math.ceil(self._draw_s / (DRAW_SHARE * period)) - 1
        if now - self._drawn_at < (skip + 0.5) * period and skip > 0:
            return
        self._drawn_at = now
        self.window.draw(self.model(session))
        self._draw_s = 0.8 * self._draw_s + 0.2 * (time.perf_counter() - now)

    def model(self, session: Session) -> ViewModel:
        """Returns what the window shows of a session."""
        policy = session.policy
        hz = session.rules.control_hz
        recent = np.array(session.times[-round(STRIP_S * hz) :]).reshape(-1, 2)
        width = session.seen.get("gripper_width")
        self._judge(session)
        message, kind = self._message(session)
        return ViewModel(
            state=session.state,
            title=self._title,
            dataset=str(self._dataset),
            pictures=self.mirror.pictures,
            no_picture=self._no_picture(),
            picture_hz=self.mirror.picture_hz,
            seconds=session.steps / hz,
            step=session.steps,
            episode=min(len(session.kept) + 1, session.rules.episodes),
            episodes=session.rules.episodes,
            kept=len(session.kept),
            saving=_saving(session),
            success=session.success,
            held_s=session.solved_steps / hz,
            hold_s=0.0 if session.rules.hold_s is None else session.rules.hold_s,
            achieved_hz=_rate(recent),
            control_hz=hz,
            jitter_ms=tuple(1000.0 * (recent[:, 1] - recent[:, 0])),
            late=session.late,
            device=policy.device.name,
            device_title=getattr(policy.device, "title", policy.device.name),
            controls=getattr(policy.device, "controls", tuple)(),
            does={} if self.window.note is not None else does_now(session),
            gripper_width_m=None if width is None else float(width[0]),
            gripper_command=policy.grip,
            level=policy.level,
            levels=policy.levels,
            speed=_speed(session),
            frame=policy.frame,
            frames=tuple(policy.frames),
            locked=frozenset(policy.locked),
            disk_gb=shutil.disk_usage(self._dataset).free / 1e9,
            facts=self._facts(session),
            verdict=self._lines(session),
            verdict_title=f"Episode {len(session.kept)} kept" if session.kept else "",
            message=message,
            message_kind=kind,
            countdown_s=session.countdown_s,
            note=self.window.note,
            help=session.help,
            muted=session.muted,
        )

    def _message(self, session: Session) -> tuple[str, str]:
        if session.saver.trouble:
            return f"not written yet: {session.saver.trouble}", "warn"
        if session.state == "REC" and (slow := _too_slow(session)):
            return slow, "warn"
        if session.message:
            return session.message, session.message_kind
        if session.state == "SAVING" and session.saver.waiting:
            return f"writing the last {session.saver.waiting} to the disk", "info"
        return self.mirror.error, "warn"

    def _no_picture(self) -> str:
        """Returns what stands in the place of a picture while there is none."""
        if self.mirror.error:
            return "no picture any more"
        return "the first picture is on its way ..." if self.mirror.views else "this environment draws nothing"

    def _judge(self, session: Session) -> None:
        if self._judged < len(session.kept):
            self._medians = medians(self._earlier)
            self._earlier += [k.verdict.to_json() for k in session.kept[self._judged :]]
            self._judged = len(session.kept)

    def _facts(self, session: Session) -> tuple[tuple[str, str], ...]:
        solved = sum(bool(v.get("success")) for v in self._earlier)
        return (
            ("dataset", str(self._dataset)),
            ("episodes in it", f"{len(self._earlier)}, {solved} solved"),
            ("this start", f"seed {session.seed}"),
            ("starts left out", ", ".join(map(str, session.discarded[-12:])) or "none"),
            ("operator", str(session.rules.meta.get("operator") or "-")),
        )

    def _lines(self, session: Session) -> tuple[VerdictLine, ...]:
        return verdict_lines(session.kept[-1].verdict, self._medians, session.rules.control_hz) if session.kept else ()

    def close(self) -> None:
        """Ends the mirror, the sounds and the window."""
        self._sounds.close()
        self.mirror.close()
        self.window.close()


def _saving(session: Session) -> str:
    """Returns what is being written: "", or how many episodes and how far the present one is."""
    if not session.saver.waiting:
        return ""
    many = f"{session.saver.waiting} " if session.saver.waiting > 1 else ""
    return f"saving {many}" + ("" if math.isnan(session.saver.share) else f"{session.saver.share:.0%}")


def _too_slow(session: Session) -> str:
    """Returns what to tell of a machine that does not keep the rate, "" where it does."""
    recent = session.times[-round(STRIP_S * session.rules.control_hz) :]
    late = sum(actual - due > 0.5 / session.rules.control_hz for due, actual in recent)
    if late <= max(2, SLOW_SHARE * len(recent)):
        return ""
    marked = session.late > LATE_SHARE * len(session.times)
    return f"this machine is too slow: {late} of the last {len(recent)} ticks late" + (
        "; the episode is marked" if marked else ""
    )


def _speed(session: Session) -> str:
    policy = session.policy
    if not policy.physical:
        return f"{policy.speed_m:.0%} of full"
    turn = f"  {policy.speed_rad:.2f} rad/s" if 5 in policy.axes else ""
    return f"{policy.speed_m:.2f} m/s{turn}"


def _rate(recent: np.ndarray) -> float:
    """Returns ticks per second over the last ticks, (N, 2)."""
    if len(recent) < 3:
        return math.nan
    running = np.diff(recent[:, 0]) < 1.5 * np.median(np.diff(recent[:, 0]))
    return float(running.sum() / np.diff(recent[:, 1])[running].sum()) if running.any() else math.nan


def verdict_lines(verdict: Verdict, median: dict[str, float], control_hz: float) -> tuple[VerdictLine, ...]:
    """Returns the verdict in words, each number beside the dataset's median, rated."""

    def line(name: str, key: str, form: str, bad: bool, good: bool = False, scale: float = 1.0) -> VerdictLine:
        value = getattr(verdict, key)
        text = "-" if math.isnan(value) else form.format(value * scale)
        beside = form.format(median[key] * scale) if key in median else ""
        return VerdictLine(name, text, beside, "bad" if bad else "good" if good else "plain")

    exact = {True: "yes", False: "no", None: "not tried"}[verdict.replays]
    held = abs(verdict.rate_hz - control_hz) < 0.02 * control_hz and verdict.late_share < 0.02
    longer = verdict.seconds > 1.8 * median.get("seconds", math.inf)
    wandering = verdict.path_m > 1.8 * median.get("path_m", math.inf)
    solved = VerdictLine(
        "solved", "yes" if verdict.success else "no",
        f"{median['success']:.0%}" if "success" in median else "", "good" if verdict.success else "bad",
    )  # fmt: skip
    return (
        solved,
        VerdictLine("replays exactly", exact, "", {True: "good", False: "bad", None: "plain"}[verdict.replays]),
        line("rate", "rate_hz", "{:.2f} Hz", not held and not math.isnan(verdict.rate_hz), held),
        line("length", "seconds", "{:.1f} s", longer),
        line("path", "path_m", "{:.2f} m", wandering),
        line("smoothness", "smoothness", "{:.1f}", verdict.smoothness < median.get("smoothness", -math.inf) - 2.0),
        line("standing still", "idle_share", "{:.0f} %", verdict.idle_share > 0.5, scale=100.0),
    )
