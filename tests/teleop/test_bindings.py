import numpy as np
import pytest

from teleop.bindings import DRIVE, EVENTS, HOLDS, load_table, make_bindings
from teleop.device import Event, TeleopError
from teleop.keyboard import KEYS, make_keyboard


def _file(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_every_function_is_bound_or_left_out_on_purpose_by_the_default_keyboard():
    table, _ = load_table("keyboard")
    named = {*table["drive"], *table["session"]}
    assert named == {*DRIVE, *HOLDS, *EVENTS}


def test_lines_of_the_user_replace_those_lines_and_no_others(tmp_path):
    keyboard = make_keyboard(_file(tmp_path, '[drive]\nforward = "up"\nback = ["down", "kp_2"]\n'))
    functions = keyboard.bindings.functions
    assert functions["up"] == "forward" and functions["kp_2"] == "back" and "w" not in functions
    assert functions["e"] == "up" and functions["space"] == "grip"


def test_an_empty_text_unbinds(tmp_path):
    keyboard = make_keyboard(_file(tmp_path, '[session]\nquit = ""\n'))
    assert keyboard.bindings.event_inputs(Event.QUIT) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[drive]\nforward = "wx"\n', "unknown key"),
        ('[drive]\nforward = "retrun"\n', "near matches: return"),
        ('[drive]\nfoward = "w"\n', "near matches: forward"),
        ('[session]\nkeep = "w"\n', "'w' is bound to both 'forward' and 'keep'"),
        ("[drive]\nforward = 7\n", "expected the name of a key"),
        ('[drives]\nforward = "w"\n', "unknown entry 'drives'"),
        ("drive = 3\n", "'drive' should be a section"),
        ("[drive\n", "not valid TOML"),
        ('device = "gamepad"\n', "is for device 'gamepad'"),
        ('[session]\nforward = "w"\n', "unknown function 'forward' in [session]"),
    ],
)
def test_a_wrong_bindings_file_gets_one_plain_line(tmp_path, text, says):
    with pytest.raises(TeleopError) as error:
        make_keyboard(_file(tmp_path, text))
    assert says in str(error.value) and "\n" not in str(error.value)
    assert "mine.toml" in str(error.value)


def test_a_bindings_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TeleopError, match=r"nowhere\.toml: No such file"):
        make_keyboard(tmp_path / "nowhere.toml")


def _bindings():
    table, source = load_table("keyboard")
    return make_bindings(table, source, KEYS.__contains__, KEYS)


def test_opposite_keys_cancel_out():
    assert not _bindings().command({"w": 1.0, "s": 1.0}, []).axes.any()


def test_slow_and_clutch_scale_the_motion_but_not_the_gripper():
    table, source = load_table("keyboard")
    table["drive"]["close"] = "v"
    bindings = make_bindings(table, source, KEYS.__contains__)
    slow = bindings.command({"w": 1.0, "v": 1.0, "lshift": 1.0}, []).axes
    clutch = bindings.command({"w": 1.0, "v": 1.0, "lctrl": 1.0}, []).axes
    assert np.allclose(slow[[0, 6]], [0.25, 1.0]) and np.allclose(clutch[[0, 6]], [0.0, 1.0])
