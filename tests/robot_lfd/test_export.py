"""Export: the file alone, without this project, answers as the policy does."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import robot_lfd
from robot_lfd import cli
from robot_lfd.checkpoint import find_checkpoint
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.deploy import deploy
from robot_lfd.envs.contract import arm_of
from robot_lfd.limits import Limited
from tests.robot_lfd.point_arm import ID, Chase, make_point_arm, register

SIZES = {"target_rel": 3, "eef_pos": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run trained for a moment on three demos."""
    register()
    folder, env = tmp_path_factory.mktemp("export"), make_point_arm()
    store = DemoStore.create(folder / "demos", make_spec(ID, env, {}))
    deploy(env, Limited(Chase(), arm_of(env)), episodes=3, seed=0, realtime=False, store=store)
    train = ["train", "--demos", str(folder / "demos"), "--algo", "bc", "--mode", "offline", "--steps", "30"]
    assert cli.call([*train, "--features", *SIZES, "--out", str(folder / "run")]) == 0
    return folder / "run"


def observations(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 6)).astype(np.float32)


def own_actions(run, rows):
    policy = robot_lfd.load_policy(run)
    return np.stack([policy.act({"target_rel": r[:3], "eef_pos": r[3:]}) for r in rows])


STRANGER = """
import json, sys, numpy as np
sys.modules["robot_lfd"] = sys.modules["policies"] = sys.modules["teleop"] = None  # nothing of this project
path, rows = sys.argv[1], np.load(sys.argv[2])
if path.endswith(".pt"):
    import torch
    action = torch.jit.load(path)(torch.from_numpy(rows)).detach().numpy()
else:
    import onnxruntime
    action = onnxruntime.InferenceSession(path).run(None, {"obs": rows})[0]
np.save(sys.argv[3], action)
"""


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_the_file_answers_as_the_policy_does_in_a_program_that_knows_nothing_of_us(run, tmp_path, capsys, kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    file = tmp_path / ("p.pt" if kind == "torchscript" else "p.onnx")
    assert cli.call(["export", str(run), "--format", kind, "--out", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["largest_error"] <= 1e-5 and 0 < found["p50_ms"] <= found["p99_ms"]
    rows = observations(7)
    np.save(tmp_path / "rows.npy", rows)
    argv = [sys.executable, "-c", STRANGER, str(file), str(tmp_path / "rows.npy"), str(tmp_path / "action.npy")]
    subprocess.run(argv, check=True)
    assert np.abs(np.load(tmp_path / "action.npy") - own_actions(run, rows)).max() <= 1e-5


def test_beside_the_file_stands_what_it_wants_and_in_which_order(run, capsys):
    assert cli.call(["export", str(run)]) == 0
    about = json.loads((find_checkpoint(run) / "policy.pt.json").read_text())
    assert about["inputs"] == [{"key": k, "size": s} for k, s in SIZES.items()]
    assert (about["width"], about["action_size"], about["control_hz"]) == (6, 4, 20.0)
    inside = {"policy.json": ""}
    torch.jit.load(str(find_checkpoint(run) / "policy.pt"), _extra_files=inside)
    assert json.loads(inside["policy.json"]) == about


def test_a_file_that_does_not_answer_alike_is_not_kept(run, tmp_path, capsys, monkeypatch):
    from policies import export

    honest = export.open_torchscript
    monkeypatch.setattr(export, "open_torchscript", lambda path: lambda rows: honest(path)(rows) + 0.01)
    assert cli.call(["export", str(run), "--out", str(tmp_path / "p.pt")]) == 1
    assert "differs from the policy by 0.01" in capsys.readouterr().err
    assert not list(tmp_path.glob("*p*.pt"))


def test_without_the_onnx_packages_the_command_that_gets_them_is_named(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.call(["export", str(run), "--format", "onnx"]) == 1
    assert "pip install 'robot-lfd[onnx]'" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_one_plain_line(tmp_path, capsys):
    assert cli.call(["export", str(tmp_path / "gone")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
