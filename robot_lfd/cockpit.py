"""Cockpit: what surrounds a deployed policy: the window, the stop keys, the person who can take over, the progress."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from robot_lfd.config import DeployConfig
from robot_lfd.demos.tape import Tape
from robot_lfd.devices import make_device
from robot_lfd.driving_frames import Frame, driving_frames
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError
from robot_lfd.limits import Limited
from robot_lfd.rollout import Pace, Policy, Transition
from robot_lfd.takeover import Takeover
from teleop.device import Device, Event

if TYPE_CHECKING:
    from robot_lfd.deploy import Deployed

MIRROR_S = 20.0  # what the first picture may take
DRAW_SHARE = 0.4  # of the time, at most, that drawing may take from the control loop
STOPS = (Event.STOP, Event.PAUSE, Event.DISCARD)  # no hand should have to look for the one right button


class Cockpit:
    """Opened around a deployment. With `headless` there is no window and nobody can take over.

    Attributes:
        policy: the policy to fly: the learned one, or the learned one with a person beside it.
        pilot: set before the first step: what a stop key stops.
    """

    def __init__(self, config: DeployConfig, env: gym.Env, policy: Policy, learned: Any) -> None:
        if config.headless and config.takeover not in ("none", "scripted"):
            raise LfdError(f"--takeover {config.takeover} needs the window; leave --headless away")
        self.config, self.env, self.policy = config, env, policy
        self.pilot: Limited | None = None
        self._arm, self._hz, self._learned = arm_of(env), learned.control_hz, learned
        self._stack = ExitStack()
        self._window: Any = None
        self._device: Any = None
        self._mirror: Any = None
        self._takeover: Takeover | None = None
        self._draw_s, self._drawn_at, self._step, self._episode, self._solved = 0.0, -math.inf, 0, 1, 0

    def __enter__(self) -> Cockpit:
        try:
            self._start_progress()
            if not self.config.headless:
                self._open_window()
            elif self.config.takeover == "scripted":
                self._seat_human(self._supervisor(), tuple)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def human_drives(self) -> bool:
        """Returns whether the last step was a person's."""
        return self._takeover is not None and self._takeover.human_drives

    def begin(self, tape: Tape) -> None:
        """Lets the mirror, which draws in a process of its own, start the same episode."""
        if self._mirror is None:
            return
        self._mirror.reset(tape.start(), tape.actions())
        patience = time.perf_counter() + MIRROR_S
        while not (self._mirror.pictures or self._mirror.error) and time.perf_counter() < patience:
            time.sleep(0.02)  # the first episode waits for the other process: nobody should drive blind

    def show(self, step: Transition, pace: Pace | None) -> None:
        """Listens to the stop keys and draws, unless drawing would cost the control loop its rate."""
        self._step += 1
        if self._window is None:
            return
        self._mirror.step(step.action)
        self._listen()
        now = time.perf_counter()
        if now - self._drawn_at < self._draw_s / DRAW_SHARE:
            return
        self._window.draw(self._model(step, pace))
        self._drawn_at, self._draw_s = now, time.perf_counter() - now

    def report(self, row: Deployed) -> None:
        """Notes that an episode is over."""
        self._solved += row.success
        self._episode, self._step = self._episode + 1, 0
        self._progress.update(self._task, advance=1, description=f"deploying  {self._solved} solved")

    def _start_progress(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = self._stack.enter_context(
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        )
        self._task = self._progress.add_task("deploying", total=self.config.episodes)

    def _open_window(self) -> None:
        from robot_lfd.mirror import Mirror
        from teleop.device import TeleopError
        from teleop.window import Window

        try:
            self._window = Window(f"lfd deploy {self.config.run}")
            self._stack.callback(self._window.close)
            self._device = make_device("gamepad" if self.config.takeover == "gamepad" else "keyboard")
            self._stack.callback(getattr(self._device, "close", lambda: None))
        except (TeleopError, LfdError) as error:
            raise LfdError(f"{error}; or deploy without a window: --headless") from error
        views = list(self._arm.camera_names[:1])
        recipe = {"env_id": self._learned.env_id, "env_kwargs": self._learned.env_kwargs}
        self._mirror = Mirror({**recipe, "max_episode_steps": None, "views": views})
        self._stack.callback(self._mirror.close)
        if self.config.takeover == "scripted":
            self._seat_human(self._supervisor(), tuple)
        elif self.config.takeover != "none":
            self._seat_human(self._device, self._window.poll, driving_frames(self._arm, self.env.observation_space))

    def _supervisor(self) -> Device:
        from teleop.supervisor import make_supervisor

        try:
            return make_supervisor(self._learned.env_id, self.config.seed, self._hz)
        except ValueError as error:
            raise LfdError(str(error)) from error

    def _seat_human(
        self, device: Device, poll: Callable[[], Sequence[Any]], frames: Mapping[str, Frame] | None = None
    ) -> None:
        """Puts somebody beside the policy, with the recorder's `frames`; None for a script, which knows the world."""
        from teleop.human import HumanPolicy

        arm = self._arm
        human = HumanPolicy(device, arm.action_names, arm.action_scale, arm.action_units, self._hz, poll, frames=frames)
        self.policy = self._takeover = Takeover(self.policy, human, arm.action_names, self._hz)

    def _listen(self) -> None:
        assert self.pilot is not None
        seated = self._takeover is not None and self._takeover.human.device is self._device
        events = self._takeover.events if self._takeover and seated else self._device.read(self._window.poll()).events
        for event in events:
            if event in STOPS:
                self.pilot.stop(f"emergency stop: {event.value} on the {self._device.name}", at_once=True)
        if self._window.closed or Event.QUIT in events:
            self.pilot.stop("the window was closed", at_once=True)

    def _model(self, step: Transition, pace: Pace | None) -> Any:
        from teleop.view import ViewModel

        message, kind = self._message()
        width = step.next_obs.get("gripper_width")
        late_ms = [] if pace is None else [1000 * (a - s) for a, s in zip(pace.actual, pace.scheduled, strict=True)]
        return ViewModel(
            state="REC" if self.config.record else "REPLAY",
            title=str(self.config.run),
            dataset=str(self.config.record or "not recorded"),
            pictures=self._mirror.pictures,
            picture_hz=self._mirror.picture_hz,
            seconds=self._step / self._hz,
            step=self._step,
            episode=self._episode,
            episodes=self.config.episodes,
            kept=self._episode - 1,
            success=bool(step.info.get("is_success", False)),
            achieved_hz=math.nan if pace is None else pace.achieved_hz,
            control_hz=self._hz,
            jitter_ms=tuple(late_ms[-int(5 * self._hz) :]),
            late=0 if pace is None else pace.late_count,
            device=self._device.name,
            device_title=getattr(self._device, "title", self._device.name),
            does=self._does(),
            facts=(("policy", str(self.config.run)), ("solved", f"{self._solved} of {self._episode - 1}")),
            controls=self._device.controls(),
            disk_gb=shutil.disk_usage(self.config.record or Path.cwd()).free / 1e9,
            **self._driving(),
            gripper_width_m=None if width is None else float(width[0]),
            gripper_command=float(step.action[-1]),
            message=message,
            message_kind=kind,
        )

    def _driving(self) -> dict[str, Any]:
        """Returns how the person would drive, for the window."""
        if self._takeover is None:
            return {}
        human = self._takeover.human
        speed = {"level": human.level, "levels": human.levels, "speed": f"{human.speed_m:.2f} m/s"}
        return {**speed, "frame": human.frame, "frames": tuple(human.frames), "locked": frozenset(human.locked)}

    def _does(self) -> dict[str, str]:
        """Returns what the keys do now, by function: drawn beside the picture."""
        driving = ("forward", "back", "left", "right", "up", "down", "grip", "frame", "takeover")
        names = {f: f for f in driving} if self._takeover is not None else {}
        return {**names, "stop": "emergency stop", "quit": "stop and leave"}

    def _message(self) -> tuple[str, str]:
        if self.pilot is not None and self.pilot.stop_reason:
            return f"stopped: {self.pilot.stop_reason}", "warn"
        if self.human_drives():
            return "you drive; let go and the policy goes on", "good"
        if self._takeover is not None:
            return f"the policy drives; move the {self._device.name} to take over", "info"
        return "the policy drives", "info"
