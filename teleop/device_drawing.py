"""The live drawing of the keyboard or the pad: which input is pressed, and what each does right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from teleop.canvas import BACK, BLACK, DIM, FAINT, KEY, LINE, ORANGE, PANEL, SKY, TEXT, Canvas, Colour
from teleop.device import Control
from teleop.view import ViewModel

SHORT = {
    "forward": "away", "back": "near", "left": "left", "right": "right", "up": "up", "down": "down",
    "roll_left": "roll L", "roll_right": "roll R", "pitch_up": "tip U", "pitch_down": "tip D",
    "turn_left": "turn L", "turn_right": "turn R", "speed_up": "faster", "speed_down": "slower",
    "success": "good", "failure": "bad", "lock_x": "lock x", "lock_y": "lock y", "lock_z": "lock z",
    "lock_rotation": "lock r", "takeover": "take", "grip": "gripper",
}  # fmt: skip
WORLD = {"forward": "x +", "back": "x -", "left": "y +", "right": "y -", "up": "z +", "down": "z -"}
CAPS = {
    "escape": "Esc", "tab": "Tab", "capslock": "Caps", "lshift": "Shift", "rshift": "Shift", "lctrl": "Ctrl",
    "rctrl": "Ctrl", "return": "Enter", "backspace": "Backspace", "space": "Space", "minus": "-", "equals": "=",
    "leftbracket": "[", "rightbracket": "]", "backslash": "\\", "semicolon": ";", "quote": "'", "comma": ",",
    "period": ".", "slash": "/", "lalt": "Alt", "ralt": "Alt",
}  # fmt: skip
PAD_CAPS = {
    "leftshoulder": "LB", "rightshoulder": "RB", "lefttrigger": "LT", "righttrigger": "RT", "leftstick": "L3",
    "rightstick": "R3", "dpup": "D up", "dpdown": "D down", "dpleft": "D left", "dpright": "D right",
    "leftx-": "L stick left", "leftx+": "L stick right", "lefty-": "L stick up", "lefty+": "L stick down",
    "rightx-": "R stick left", "rightx+": "R stick right", "righty-": "R stick up", "righty+": "R stick down",
}  # fmt: skip
ROWS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("escape", 1), *((c, 1) for c in "1234567890"), ("minus", 1), ("equals", 1), ("backspace", 2)),
    (("tab", 1.5), *((c, 1) for c in "qwertyuiop"), ("leftbracket", 1), ("rightbracket", 1), ("backslash", 1.5)),
    (("capslock", 1.75), *((c, 1) for c in "asdfghjkl"), ("semicolon", 1), ("quote", 1), ("return", 2.25)),
    (("lshift", 2.25), *((c, 1) for c in "zxcvbnm"), ("comma", 1), ("period", 1), ("slash", 1), ("rshift", 2.75)),
    (("lctrl", 2), ("lalt", 1.75), ("space", 7), ("ralt", 2), ("rctrl", 2.25)),
)
UNITS = 15.0  # width of a row in keys
LINE_HEIGHT = 18.0  # of the keys that are told in words
RADIUS = 38.0  # of a stick


def input_label(control: Control) -> str:
    """Returns what is printed on a key or button; of a key beside a pad it says that it is one."""
    return f"key {cap(control.input)}" if control.beside else cap(control.input)


def cap(name: str) -> str:
    """Returns what is printed on the key or button of that name in the bindings."""
    return CAPS.get(name) or PAD_CAPS.get(name) or (name.upper() if len(name) == 1 else name.capitalize())


def short(function: str, frame: str = "camera") -> str:
    """Returns a word for a function that fits on a key: seen from the camera, or along an axis of another frame."""
    if frame != "camera" and function in WORLD:
        return WORLD[function]
    return SHORT.get(function, function.replace("_", " "))


def _word(model: ViewModel, function: str) -> str:
    """Returns what is written on a key: for the keys that change with the state, what they do now."""
    now = model.does.get(function, "")
    return now if function in ("start", "grip", "pause") and now else short(function, model.frame)


def draw_device(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """Draws the device of `model` into a box of the panel, and below it the keys that work beside it."""
    if model.device not in ("gamepad", "spacemouse"):
        _draw_keyboard(canvas, model, x, y, w, h)
        return
    own, beside = ([c for c in model.controls if c.beside is side] for side in (False, True))
    if not own:  # unplugged: the keys take its place
        _draw_grid(canvas, model, [c for c in beside if c.input != "f1"], x, y, w, h, columns=5)
        return
    lines = _wrapped(canvas, model, beside, w)
    h -= LINE_HEIGHT * len(lines)
    for i, line in enumerate(lines):
        canvas.text(line, x, y + h + (i + 0.5) * LINE_HEIGHT, 12, DIM)
    if model.device == "gamepad":
        _draw_pad(canvas, model, own, x, y, w, h)
    else:
        _draw_grid(canvas, model, own, x, y, w, h, columns=4)


def draw_chips(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    """Draws every control of the device as a line of a list: where there is no room for its shape."""
    _draw_grid(canvas, model, [c for c in model.controls if c.input != "f1"], x, y, w, h, columns=3)


def _draw_keyboard(canvas: Canvas, model: ViewModel, x: float, y: float, w: float, h: float) -> None:
    bound = {c.input: c for c in model.controls}
    drawn = {name for row in ROWS for name, _ in row}
    extras = [c for c in model.controls if c.input not in drawn and c.input != "f1"]
    lines = _wrapped(canvas, model, extras, w)
    unit, height = w / UNITS, (h - LINE_HEIGHT * len(lines)) / len(ROWS)
    for i, row in enumerate(ROWS):
        left = x
        for name, width in row:
            _draw_key(canvas, bound.get(name), name, left, y + i * height, width * unit, height, model)
            left += width * unit
    for i, line in enumerate(lines):
        canvas.text(line, x, y + h - (len(lines) - i - 0.5) * LINE_HEIGHT, 12, DIM)


def _wrapped(canvas: Canvas, model: ViewModel, controls: Sequence[Control], w: float) -> list[str]:
    """Returns controls as lines of words; those that do nothing now are left out."""
    live = [c for c in controls if model.does.get(c.function) and c.input != "f1"]
    lines = ["keys"] if any(c.beside for c in live) else [""]
    for word in (f"{cap(c.input)} {_word(model, c.function)}" for c in live):
        longer = f"{lines[-1]}     {word}" if lines[-1] else word
        if canvas.text_width(longer, 12) <= w:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]


def _draw_key(
    canvas: Canvas, control: Control | None, name: str, x: float, y: float, w: float, h: float, model: ViewModel
) -> None:
    gap = 1.5
    if control is None:
        canvas.box(x + gap, y + gap, w - 2 * gap, h - 2 * gap, BACK, radius=4)
        return
    active = bool(model.does.get(control.function))
    fill, ink, label = _key_colours(control.value > 0.5, active)
    canvas.box(x + gap, y + gap, w - 2 * gap, h - 2 * gap, fill, radius=4, line=LINE if active else None)
    canvas.text(cap(name), x + 5, y + h * 0.30, 11, label, bold=True, width=w - 8)
    canvas.text(_word(model, control.function), x + w / 2, y + h * 0.70, 12, ink, align="middle", width=w - 4)


def _key_colours(pressed: bool, active: bool) -> tuple[Colour, Colour, Colour]:
    """Returns the colours of the box, of the function's word and of the key's own label."""
    if pressed:
        return (SKY, BLACK, BLACK) if active else (FAINT, BLACK, BLACK)
    return (KEY, TEXT, DIM) if active else (PANEL, FAINT, FAINT)


def _draw_pad(
    canvas: Canvas, model: ViewModel, controls: Sequence[Control], x: float, y: float, w: float, h: float
) -> None:
    values = {c.input: c for c in controls}
    sticks = _sticks(values)[:2]
    for i, (name, axes) in enumerate(sticks):
        _draw_stick(canvas, name, axes, values, x + w * (0.27 + 0.46 * i), y + RADIUS + 16, RADIUS, model)
    on_sticks = {half for _, axes in sticks for axis in axes for half in (f"{axis}-", f"{axis}+")}
    used = 2 * RADIUS + 36
    _draw_grid(canvas, model, [c for c in controls if c.input not in on_sticks], x, y + used, w, h - used, columns=5)


def _draw_grid(
    canvas: Canvas, model: ViewModel, chips: Sequence[Control], x: float, y: float, w: float, h: float, *, columns: int
) -> None:
    width, height = w / columns, min(27.0, h / max(1, -(-len(chips) // columns)))
    for i, control in enumerate(chips):
        _draw_chip(canvas, control, x + (i % columns) * width, y + (i // columns) * height, width, height, model)


def _sticks(values: Mapping[str, Control]) -> list[tuple[str, tuple[str, str]]]:
    known = [("left stick", ("leftx", "lefty")), ("right stick", ("rightx", "righty"))]
    known += [("axes 0, 1", ("axis0", "axis1")), ("axes 2, 3", ("axis2", "axis3"))]
    return [(n, axes) for n, axes in known if any(f"{a}{s}" in values for a in axes for s in "-+")]


def _draw_stick(
    canvas: Canvas, name: str, axes: tuple[str, str], values: Mapping[str, Control], x: float, y: float, radius: float,
    model: ViewModel,
) -> None:  # fmt: skip
    halves = [values.get(f"{axis}{side}") for axis in axes for side in "-+"]
    left, right, up, down = (c.value if c else 0.0 for c in halves)
    canvas.disc(x, y, radius, (40, 47, 56))
    canvas.disc(x, y, radius, LINE, ring=1.5)
    pushed = max(left, right, up, down) > 0.0
    canvas.disc(x + (right - left) * radius * 0.55, y + (down - up) * radius * 0.55, 15, SKY if pushed else FAINT)
    places = [(x - radius - 6, y, "right"), (x + radius + 6, y, "left"), (x, y - radius - 9, "middle")]
    places.append((x, y + radius + 10, "middle"))
    for control, (at_x, at_y, align) in zip(halves, places, strict=True):
        if control:
            ink = FAINT if not model.does.get(control.function) else SKY if control.value > 0.0 else TEXT
            canvas.text(_word(model, control.function), at_x, at_y, 12, ink, align=align)
    canvas.text(name, x - radius - 6, y - radius - 2, 10, FAINT, align="right")


def _draw_chip(canvas: Canvas, control: Control, x: float, y: float, w: float, h: float, model: ViewModel) -> None:
    active = bool(model.does.get(control.function))
    fill, ink, paint = _key_colours(control.value > 0.5, active)
    canvas.box(x + 2, y + 1, w - 4, h - 2, fill, radius=4, line=LINE if active else None)
    if 0.0 < control.value <= 0.5:
        canvas.box(x + 2, y + h - 5, (w - 4) * control.value, 3, ORANGE, radius=1)
    name = "Bksp" if control.input == "backspace" else cap(control.input)
    label = canvas.text(name, x + 8, y + h / 2, 11, paint, bold=True, width=w * 0.42)
    canvas.text(_word(model, control.function), x + 14 + label, y + h / 2, 12, ink, width=w - 20 - label)
