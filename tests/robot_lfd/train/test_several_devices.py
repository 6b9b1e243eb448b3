"""Two processes of torchrun, each with half of every batch, train what one process does with the whole batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from policies.augment import colour_jitter, random_shift
from policies.sharing import Share
from robot_lfd.cli import call
from robot_lfd.metrics import read_metrics
from robot_lfd.train import loop, pixels

SCRIPT = Path(__file__).with_name("logging_every_step.py")
FAST = ["--obs", "pixels", "--hidden", "16", "--shift-px", "2", "--colour-jitter", "0.1", "--train-on", "cpu"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two demos with pictures."""
    path = tmp_path_factory.mktemp("seen") / "reach"
    words = ["--episodes", "2", "--cameras", "front", "--size-px", "32", "--device", "scripted"]
    assert call(["record", "--env", "pybullet/Reach-v0", "--out", str(path), *words]) == 0
    return path


def train(seen: Path, out: Path, *more: str) -> list[str]:
    return ["train", "--demos", str(seen), "--out", str(out), *FAST, "--batch-rows", "8", *more]


def torchrun(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command in two processes."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run([*start, *words], capture_output=True, text=True, env=environment, check=False, timeout=540)


def losses(run: Path) -> dict[str, list[float]]:
    """Returns what was logged of the losses, by name."""
    records = read_metrics(run)
    names = sorted(k for k in records[-1] if k not in ("step", "steps_per_s", "train_s"))
    return {k: [r[k] for r in records if k in r] for k in names}


KINDS = {
    "cloning": ["--algo", "bc", "--steps", "12"],
    "online": [
        "--algo",
        "iq",
        "--pretrain-steps",
        "3",
        "--practice-limit",
        "12",
        "--learn-temperature",
        "--steps",
        "30",
    ],
}


@pytest.mark.parametrize("kind", ["cloning", pytest.param("online", marks=pytest.mark.slow)])
def test_two_processes_train_as_one_with_the_doubled_batch(
    seen: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
):
    """Each of the two sees 4 rows of the 8. What they did is gone on with by one, exactly."""
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(pixels, "WARM_UP_ROWS", 10)
    said = KINDS[kind]
    assert call(train(seen, tmp_path / "one", *said)) == 0
    done = torchrun([*train(seen, tmp_path / "two", *said), "--json"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done in") == 1 and "2 processes share each batch" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["steps"] == int(said[-1])
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() and len(one) >= (1 if kind == "cloning" else 8)
    for name, values in one.items():
        assert (len(values) >= 12 and len(set(values)) > 1) or not name.endswith("loss")
        np.testing.assert_allclose(two[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    states = [
        safetensors.torch.load_file(next(tmp_path.glob(f"{k}/checkpoints/*/training.safetensors")))
        for k in ("one", "two")
    ]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        if "generator" in name or name == "practice.counts":  # actions follow from weights, equal to rounding
            assert torch.equal(tensor, states[1][name]), name
    files = [{p.name for p in (tmp_path / k).rglob("*") if "tfevents" not in p.name} for k in ("one", "two")]
    assert files[0] == files[1] and len(list((tmp_path / "two").rglob("*tfevents*"))) == 1


def test_each_process_draws_for_all_rows_and_keeps_its_own():
    pictures = torch.randint(0, 256, (6, 2, 1, 16, 16, 3), dtype=torch.uint8)
    for change, seen in ((random_shift, pictures), (colour_jitter, pictures / 255 - 0.5)):
        whole = change(seen, 3 if change is random_shift else 0.2, torch.Generator().manual_seed(5))
        for rank in range(3):
            share, generator = Share(rank, 3), torch.Generator().manual_seed(5)
            own = change(share.of(seen), 3 if change is random_shift else 0.2, generator, share)
            assert torch.equal(own, whole[rank::3])
    assert np.array_equal(Share(1, 2).of(np.arange(6)), [1, 3, 5])
    assert Share().of(pictures) is pictures and Share().mean(pictures) is pictures


def test_what_processes_cannot_share_is_one_plain_line(seen: Path, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "3")
    state = ["train", "--demos", str(seen), "--out", str(tmp_path / "r"), "--algo", "bc"]
    for words, expected in (
        (state, "torchrun shares trainings from pixels out"),
        (train(seen, tmp_path / "r"), "--batch-rows is 8, expected a multiple of 3"),
        ([*train(seen, tmp_path / "r"), "--seeds", "2"], "torchrun shares one training out"),
        (train(seen, Path("memory://lfd/r")), "a folder that all of them see"),
    ):
        assert call(words) == 1
        error = capfd.readouterr().err
        assert expected in error and error.count("\n") == 1
    assert not (tmp_path / "r").exists()
