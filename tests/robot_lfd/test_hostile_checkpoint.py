"""A checkpoint from a stranger: it is read, never run; what does not fit is one plain line."""

import json
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import robot_lfd
from robot_lfd.errors import LfdError
from tests.robot_lfd.test_export import checkpoint


class Bomb:
    """What runs code when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def bombed(folder, mark, name):
    """A checkpoint one of whose files is a pickle that leaves `mark` behind, in the given dress."""
    found = checkpoint(folder, "iq")
    (found / "model.safetensors").unlink()
    if name == "torch.save":
        torch.save({"actor": Bomb(mark)}, found / "model.safetensors")
    else:
        (found / name).write_bytes(pickle.dumps(Bomb(mark)))
    return found


PICKLED = ("model.safetensors", "torch.save", "model.pt", "model.pkl", "config.json", "stats.json")


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_in_a_checkpoint_is_not_opened_whatever_it_is_called(name, tmp_path):
    with pytest.raises(LfdError) as refused:
        robot_lfd.load_policy(bombed(tmp_path / "run", tmp_path / "mark", name))
    assert "\n" not in str(refused.value) and not (tmp_path / "mark").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "mark"))).close()  # noqa: S301
    assert (tmp_path / "mark").exists()  # the bomb is real


WATCHED = """
import sys, robot_lfd
from pathlib import Path
good, *bad = map(Path, sys.argv[1:])
robot_lfd.load_policy(good)  # what has to be imported is imported now
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen",
             "socket.connect", "exec", "compile", "import", "marshal.loads", "ctypes.dlopen"}
caught = []
sys.addaudithook(lambda event, args: caught.append((event, repr(args)[:80])) if event in FORBIDDEN else None)
for path in bad:
    try:
        robot_lfd.load_policy(path)
    except robot_lfd.errors.LfdError:
        pass
    else:
        sys.exit(f"{path} was taken")
sys.exit(str(caught) if caught else 0)
"""


def test_nothing_is_unpickled_imported_compiled_or_started_while_a_hostile_checkpoint_is_refused(tmp_path):
    bad = [bombed(tmp_path / str(i), tmp_path / "mark", n) for i, n in enumerate(("model.safetensors", "torch.save"))]
    for number, (field, value) in enumerate(FIELDS):
        bad.append(changed(tmp_path / f"field{number}", field, value))
    argv = [sys.executable, "-c", WATCHED, str(checkpoint(tmp_path / "good", "iq")), *map(str, bad)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def changed(folder, field, value):
    found = checkpoint(folder, "iq")
    said = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps({**said, field: value}))
    return found


FIELDS = [
    ("actor", "os.system"),
    ("algo", ["iq"]),
    ("hidden", [10**9, 10**9]),
    ("hidden", "(16, 16)"),
    ("features", "__class__"),
    ("sizes", [3, -3]),
    ("action_size", 1e30),
    ("window", 10**12),
    ("critics", 10**9),
    ("candidates", 8),
    ("near_m", -1.0),
    ("most_noise", -0.3),
    ("control_hz", "20; import os"),
    ("no_such_field", 1),
]


@pytest.mark.parametrize(("field", "value"), FIELDS, ids=[f"{f} {str(v)[:12]}" for f, v in FIELDS])
def test_a_field_that_makes_no_sense_is_one_plain_line_and_no_memory_is_taken_for_it(field, value, tmp_path):
    with pytest.raises(LfdError) as refused:
        robot_lfd.load_policy(changed(tmp_path / "run", field, value))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("count", [0, 1000])
def test_more_candidates_than_there_are_weights_and_none_at_all_are_not_believed(count, tmp_path):
    found = checkpoint(tmp_path / "run", "candidates")
    said = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps({**said, "candidates": count, "window": 4096}))
    with pytest.raises(LfdError, match="'candidates' cannot be"):
        robot_lfd.load_policy(found)


@pytest.mark.parametrize("spoil", ["cut", "huge header", "other shapes", "stats", "no stats"])
def test_weights_and_statistics_that_do_not_fit_are_one_plain_line(spoil, tmp_path):
    found = checkpoint(tmp_path / "run", "iq")
    weights, stats = found / "model.safetensors", found / "stats.json"
    if spoil == "cut":
        weights.write_bytes(weights.read_bytes()[:-7])
    elif spoil == "huge header":
        weights.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    elif spoil == "other shapes":
        tensors = load_file(weights)
        save_file({**tensors, next(iter(tensors)): torch.zeros(1)}, weights)
    elif spoil == "stats":
        stats.write_text(json.dumps({"mean": ["__import__('os')"], "std": [0.0], "action_std": None}))
    else:
        stats.unlink()
    with pytest.raises(LfdError) as refused:
        robot_lfd.load_policy(found)
    assert "\n" not in str(refused.value)
