"""Export: the file alone, without this project, answers as the policy does."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import robot_lfd
from policies.candidates import Candidates
from policies.networks import CriticEnsemble, DiscreteCriticEnsemble, Normaliser, TanhGaussianActor, latest
from policies.pixel_actor import PixelActor, Sight
from robot_lfd import cli
from robot_lfd.checkpoint import cloned_actor, find_checkpoint, save_checkpoint
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.deploy import deploy
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError
from robot_lfd.limits import Limited
from robot_lfd.policy_spec import PolicySpec
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


KINDS = {
    "iq": {"algo": "iq"},
    "several at once": {"algo": "iq", "window": 3},
    "several seen": {"algo": "iq", "frame_stack": 3},
    "least squares": {"actor": "plain"},
    "mixture": {"actor": "plain", "head": "gmm"},
    "candidates": {"algo": "iq", "actor": "candidates", "candidates": 5, "window": 3},
    "near": {"algo": "iq", "near_m": 0.005},
    "discrete": {"algo": "iq", "discrete": True, "action_size": 3},
    "lstm": {"actor": "lstm", "window": 4},
    "chunk": {"actor": "chunk", "window": 4, "execute": 2},
    "blended": {"actor": "chunk", "window": 4, "execute": 2, "blend": True},
    "pixels": {"actor": "pixels", "encoder": "small", "features": ("eef_pos", "images/front"), "sizes": (3, 3 * 64**2)},
    "frames": {"actor": "pixels", "encoder": "small", "features": ("eef_pos", "images/front"), "sizes": (3, 3 * 64**2),
               "frame_stack": 2, "window": 3, "execute": 2},
}  # fmt: skip
EXPORTED = KINDS.keys() - {"lstm", "blended"}


def checkpoint(folder, kind):
    """A checkpoint of a policy of this kind with first weights."""
    usual = {
        "algo": "bc", "env_id": ID, "env_kwargs": {}, "control_hz": 20.0, "features": tuple(SIZES), "critics": 2,
        "sizes": tuple(SIZES.values()), "action_size": 4, "hidden": (16, 16), "gamma": 0.97, "temperature": 0.02,
        "absorbing_value": None,
    }  # fmt: skip
    spec = PolicySpec(**{**usual, **KINDS[kind]})
    felt = sum(n for k, n in zip(spec.features, spec.sizes, strict=True) if not k.startswith("images/"))
    felt *= 1 if spec.actor == "pixels" else spec.frame_stack
    mean, std = torch.linspace(-0.5, 0.5, felt), torch.linspace(0.5, 2.0, felt)
    normaliser, shape = Normaliser(mean, std, floor=0.0), (spec.decided_size, spec.hidden)
    if spec.discrete:
        model = under_name("critic", DiscreteCriticEnsemble(normaliser, *shape, spec.critics, seed=1))
    elif spec.candidates:
        table = DiscreteCriticEnsemble(normaliser, spec.candidates, spec.hidden, spec.critics, seed=1)
        candidates = Candidates(normaliser, torch.ones(spec.decided_size), spec.candidates, seed=1)
        model = under_name("critic", table) | under_name("candidates", candidates)
    elif spec.actor == "gaussian":
        normaliser = spec.sight(normaliser)
        actor = TanhGaussianActor(normaliser, torch.ones(spec.decided_size), spec.hidden, seed=1)
        critic = CriticEnsemble(latest(normaliser, spec.frame_stack), *shape, 2, seed=1)
        model = under_name("actor", actor) | under_name("critic", critic)
    elif spec.actor == "pixels":
        model = under_name("actor", PixelActor(Sight(1, 64, spec.frame_stack, "small"), normaliser, *shape, seed=1))
    else:
        model = under_name("actor", cloned_actor(spec, normaliser, seed=1))
    stats = {"mean": mean.tolist(), "std": std.tolist(), "action_std": [1.0] * spec.decided_size}
    return save_checkpoint(folder, spec, stats, model, {}, {})


def under_name(name, module):
    return {f"{name}.{k}": v for k, v in module.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["torchscript", "onnx"])
def test_every_kind_of_policy_is_exported_equal_or_refused_in_a_plain_line(kind, form, tmp_path, capsys):
    file = tmp_path / "policy.file"
    code = cli.call(["export", str(checkpoint(tmp_path / "run", kind)), "--format", form, "--out", str(file)])
    err = capsys.readouterr().err
    if kind not in EXPORTED:
        assert code == 1 and "only policies " in err and err.count("\n") == 1
        assert not file.exists()
        return
    assert code == 0, err
    about = json.loads((tmp_path / "policy.file.json").read_text())
    assert about["measured"]["largest_error"] <= 1e-5 and about["measured"]["p99_ms"] > 0
    assert about["mean"][0] == -0.5 and about["std"][-1] == 2.0
    assert about.get("actions" if kind == "discrete" else "action_size") == (3 if kind == "discrete" else 4)
    if kind == "several seen":
        assert [i["key"] for i in about["inputs"]] == [*SIZES] * 3 and about["frame_stack"] == 3
    if kind == "frames":
        assert about["inputs"][1] == {"key": "images/front", "size": 2 * 3 * 64**2} and about["frame_stack"] == 2
        assert (about["actions_at_once"], about["actions_to_do"]) == (3, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_without_a_critic_refuses_to_judge_in_one_plain_line(kind, tmp_path):
    policy = robot_lfd.load_policy(checkpoint(tmp_path / "run", kind))
    if kind in ("iq", "several at once", "several seen", "near", "candidates", "discrete"):
        obs = {"target_rel": np.zeros((2, 3)), "eef_pos": np.zeros((2, 3))}
        action = np.zeros(2) if kind == "discrete" else np.zeros((2, 4))
        assert policy.q(obs, action).shape == policy.value(obs).shape == (2,)
        return
    for ask in (
        lambda: policy.q({}, np.zeros(0)),
        lambda: policy.value({}),
        lambda: policy.recovered_reward(*[{}] * 4),
    ):
        with pytest.raises(LfdError, match=r"\(bc\) has no critic, so no Q, V or reward; train one with --algo iq"):
            ask()


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
