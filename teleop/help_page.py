"""The help page: every function that is bound, by what it is pressed with."""

from __future__ import annotations

from teleop.canvas import KEY, LINE, SKY, TEXT, Canvas
from teleop.device_drawing import input_label
from teleop.view import ViewModel

GROUPS = (
    ("Driving", ("forward", "back", "left", "right", "up", "down", "roll_left", "roll_right", "pitch_up", "pitch_down",
                 "turn_left", "turn_right", "close", "open", "grip", "slow", "clutch")),
    ("Session", ("start", "keep", "discard", "undo", "pause", "stop", "success", "failure", "retry", "replay", "note",
                 "takeover", "quit")),
    ("View and speed", ("speed_up", "speed_down", "frame", "lock_x", "lock_y", "lock_z", "lock_rotation", "mute",
                        "help")),
)  # fmt: skip
EXPLAINED = {
    "forward": "away from you", "back": "towards you", "left": "left", "right": "right", "up": "up", "down": "down",
    "roll_left": "roll left", "roll_right": "roll right", "pitch_up": "tip up", "pitch_down": "tip down",
    "turn_left": "turn left", "turn_right": "turn right", "close": "close while held", "open": "open while held",
    "grip": "close / open the gripper", "slow": "a quarter of the speed, while held", "clutch": "no motion, while held",
    "start": "start, go on, keep", "keep": "keep the episode", "discard": "throw the episode away",
    "undo": "go back 2 s, exactly", "pause": "pause, go on", "stop": "emergency stop", "success": "mark as success",
    "failure": "mark as failure", "retry": "same start again", "replay": "play the last episode back",
    "note": "write a note", "takeover": "drive yourself (lfd deploy)", "quit": "end the session",
    "speed_up": "faster", "speed_down": "slower", "frame": "driving frame: camera, world, tool", "lock_x": "lock x",
    "lock_y": "lock y", "lock_z": "lock z", "lock_rotation": "lock rotation", "help": "this page",
    "mute": "sounds on / off",
}  # fmt: skip
Line = tuple[str, str]  # what is pressed and what it does; a heading presses nothing


def draw_help(canvas: Canvas, model: ViewModel, w: float, h: float, columns: int) -> None:
    """Draws the page over everything: a column per group, or the groups one after the other in two columns."""
    canvas.veil(0, 0, w, h, 240)
    canvas.text("Keys" if model.device == "keyboard" else model.device_title, w / 2, 34, 26, TEXT, bold=True,
                align="middle")  # fmt: skip
    groups = [_lines(model, title, functions) for title, functions in GROUPS]
    pages = groups if columns == len(groups) else _flowed([line for group in groups for line in group], columns)
    width = min(390.0, (w - 40) / columns)
    pitch = min(31.0, (h - 80) / max(len(page) for page in pages))
    for i, page in enumerate(pages):
        left = w / 2 + (i - columns / 2) * width + 10
        for k, (pressed, does) in enumerate(page):
            _draw_line(canvas, pressed, does, left, 78 + k * pitch, width, pitch)


def _draw_line(canvas: Canvas, pressed: str, does: str, x: float, y: float, width: float, pitch: float) -> None:
    if not pressed:
        canvas.text(does, x, y, 17, SKY, bold=True)
        return
    box = 0.3 * width
    canvas.box(x, y - pitch * 0.42, box, pitch * 0.84, KEY, radius=5, line=LINE)
    canvas.text(pressed, x + box / 2, y, 14, TEXT, bold=True, align="middle", width=box - 8)
    canvas.text(does, x + box + 10, y, 14, TEXT, width=width - box - 26)


def _lines(model: ViewModel, title: str, functions: tuple[str, ...]) -> list[Line]:
    inputs: dict[str, list[str]] = {}
    for control in model.controls:
        inputs.setdefault(control.function, []).append(input_label(control))
    return [("", title), *((" / ".join(inputs[f]), EXPLAINED.get(f, f)) for f in functions if f in inputs)]


def _flowed(lines: list[Line], columns: int) -> list[list[Line]]:
    most = -(-len(lines) // columns)
    return [lines[i * most : (i + 1) * most] for i in range(columns)]
