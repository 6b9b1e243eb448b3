"""Two workers give what one process gives: seed by seed, episode by episode, byte by byte, whoever is killed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import read_evaluations
from robot_lfd.metrics import read_metrics
from robot_lfd.scale import jobs
from robot_lfd.scale.jobs import Progress, Seen, run_jobs
from robot_lfd.train import trainer
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.seeds import TrainJob

pytestmark = pytest.mark.xdist_group("ray")  # one Ray for all of them, whoever runs beside
FAST = ("--algo", "bc", "--hidden", "16", "--batch-rows", "16", "--checkpoint-every", "50", "--steps", "100")


@pytest.fixture(scope="module")
def serial(reach: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds, trained one after the other in this process."""
    out = tmp_path_factory.mktemp("serial") / "run"
    assert call(["train", "--demos", str(reach), "--out", str(out), *FAST, "--seeds", "2"]) == 0
    return out


def models(run: Path) -> list[bytes]:
    return [(f / "checkpoints" / "00000100" / "model.safetensors").read_bytes() for f in sorted(run.glob("seed-*"))]


def losses(run: Path) -> list[Any]:
    return [[(r["step"], r["bc_loss"]) for r in read_metrics(f)] for f in sorted(run.glob("seed-*"))]


def test_seeds_trained_by_workers_are_those_of_one_process(ray, reach: Path, serial: Path, tmp_path: Path, capfd):
    out = tmp_path / "run"
    words = ["train", "--demos", str(reach), "--out", str(out), *FAST, "--seeds", "2", "--workers", "2", "--json"]
    assert call(words) == 0
    captured = capfd.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert [s["seed"] for s in found["seeds"]] == [0, 1] and found["ok"]
    assert models(out) == models(serial) and losses(out) == losses(serial)
    assert "seed-0: begins" in captured.err and "seed-1: done" in captured.err
    assert call([*words, "--resume"]) == 0
    assert "seed 1: 100 steps were done before" in capfd.readouterr().out
    assert call(["compare", str(out), str(serial), "--json"]) == 0
    (family,) = json.loads(capfd.readouterr().out.splitlines()[-1])["families"]  # where it ran is no setting
    assert family["seeds"] == [0, 1, 0, 1]


def test_a_worker_killed_in_the_middle_of_a_training_changes_no_number(ray, reach: Path, tmp_path: Path):
    config = TrainConfig(
        demos=(reach,),
        out=tmp_path / "killed",
        algo="bc",
        hidden=(16,),
        batch_rows=16,
        steps=3000,
        checkpoint_every=300,
    )
    killed: list[Seen] = []

    def kill(seen: Seen) -> None:
        begun = any((config.out / "checkpoints").glob("[0-9]*/DONE"))
        if begun and not killed:
            killed.append(seen)
            os.kill(seen.pid, signal.SIGKILL)

    (found,) = run_jobs([TrainJob(config)], workers=2, address=None, title="test", on_look=kill)
    assert killed and found["steps"] == 3000
    alone = dataclasses.replace(config, out=tmp_path / "alone")
    trainer.run(alone)
    a, b = (c.out / "checkpoints" / "00003000" / "model.safetensors" for c in (config, alone))
    assert a.read_bytes() == b.read_bytes()
    assert [r["bc_loss"] for r in read_metrics(config.out)] == [r["bc_loss"] for r in read_metrics(alone.out)]


def test_episodes_evaluated_by_workers_are_those_of_one_process(ray, serial: Path, tmp_path: Path, capfd):
    words = ["eval", str(serial / "seed-0"), "--episodes", "7", "--json"]
    assert call(words) == 0
    alone = json.loads(capfd.readouterr().out.splitlines()[-1])
    (rows,) = (e["rows"] for e in read_evaluations(serial / "seed-0"))
    film = tmp_path / "film.gif"
    assert call([*words, "--workers", "2", "--video", str(film), "--video-episodes", "1"]) == 0
    shared = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert {k: v for k, v in shared.items() if k not in ("seconds", "video")} == {
        k: v for k, v in alone.items() if k != "seconds"
    }
    assert [e["rows"] for e in read_evaluations(serial / "seed-0")] == [rows] and film.stat().st_size > 1000
    assert call(["eval", str(serial), "--episodes", "3", "--workers", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["episodes"] == 6


def files(dataset: Path) -> dict[str, bytes]:
    """Returns every file of the episodes by place in the dataset; ids and the time of writing are none of it."""
    store, found = DemoStore.open(dataset), {}
    for number, episode_id in enumerate(store.ids()):
        for path in sorted((dataset / "episodes.zarr" / episode_id).rglob("*")):
            if path.is_file():
                found[f"{number}/{path.relative_to(dataset / 'episodes.zarr' / episode_id)}"] = path.read_bytes()
        attributes = json.loads(found.pop(f"{number}/zarr.json"))["attributes"]
        kept = {k: v for k, v in attributes.items() if k not in ("recorded_at", "checksum")}
        found[f"{number}/attributes"] = json.dumps(kept, sort_keys=True).encode()
    return found


def test_demos_rendered_by_workers_are_those_of_one_process(ray, reach: Path, tmp_path: Path):
    words = ["data", "render", str(reach), "--cameras", "front", "--size-px", "16", "--out"]
    assert call([*words, str(tmp_path / "alone")]) == 0
    assert call([*words, str(tmp_path / "shared"), "--workers", "2"]) == 0
    assert DemoStore.open(tmp_path / "shared").ids() == DemoStore.open(reach).ids()
    alone, shared = files(tmp_path / "alone"), files(tmp_path / "shared")
    assert alone == shared and any("images/front" in name for name in shared)


def trajectories(path: Path, seed: int) -> Path:
    """Writes demos of CartPole as arrays."""
    rng, lengths = np.random.default_rng(seed), [5, 9, 7]
    obs = rng.normal(size=(sum(lengths) + len(lengths), 4)).astype(np.float32)
    np.savez(
        path, obs=obs, actions=rng.integers(2, size=sum(lengths)), rewards=np.ones(sum(lengths), np.float32),
        lengths=lengths, terminated=[True, True, False], env_id="CartPole-v1",
    )  # fmt: skip
    return path


def test_files_imported_by_workers_are_those_of_one_process(ray, reach: Path, tmp_path: Path, capfd):
    sources = [str(trajectories(tmp_path / f"{k}.npz", k)) for k in range(4)]
    assert call(["data", "import", *sources, "--out", str(tmp_path / "alone"), "--json"]) == 0
    alone = json.loads(capfd.readouterr().out.splitlines()[-1])
    words = ["data", "import", *sources, "--out", str(tmp_path / "shared"), "--workers", "2", "--json"]
    assert call(words) == 0
    shared = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert shared["imported"] == alone["imported"] == 12 and len(shared["files"]) == 4
    assert files(tmp_path / "alone") == files(tmp_path / "shared")
    assert call(words) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["already_there"] == 12


@pytest.mark.slow
def test_the_demos_of_one_file_that_are_simulated_are_shared_out_too(ray, tmp_path: Path, capfd):
    """robosuite's layout, made of scripted demos: three of them, each simulated again while it is imported."""
    demos, source = tmp_path / "lift", tmp_path / "lift.hdf5"
    record = ["record", "--env", "robosuite/Lift-v0", "--device", "scripted", "--episodes", "3", "--out", str(demos)]
    assert call(record) == 0
    assert call(["data", "export", str(demos), "--out", str(source), "--format", "robosuite"]) == 0
    with h5py.File(source) as file:
        assert len(file["data"]) == 3  # type: ignore[arg-type]
    for out, more in (("alone", ()), ("shared", ("--workers", "2"))):
        assert call(["data", "import", str(source), "--out", str(tmp_path / out), *more, "--json"]) == 0
        report = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert [d["demo"] for d in report["demos"]] == ["demo_1", "demo_2", "demo_3"]
    assert files(tmp_path / "alone") == files(tmp_path / "shared")


@dataclasses.dataclass(frozen=True)
class Deadly:
    """A job that kills its own worker in its first `deaths` attempts."""

    deaths: int
    attempt: int = 1
    name: str = "deadly"

    def run(self, desk: dict[str, Any]) -> int:
        if self.attempt <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.attempt

    def progress(self) -> Progress:
        return Progress(0, 1)

    def again(self) -> Deadly:
        return dataclasses.replace(self, attempt=self.attempt + 1)


@pytest.mark.slow
def test_a_job_whose_worker_dies_is_tried_again_but_not_for_ever(ray, monkeypatch):
    assert jobs.ATTEMPTS == 4
    monkeypatch.setattr(jobs, "ATTEMPTS", 2)  # each death costs the start of a process
    assert run_jobs([Deadly(1), Deadly(0)], workers=2, address=None, title="test") == [2, 1]
    with pytest.raises(LfdError, match="deadly: its worker died 2 times"):
        run_jobs([Deadly(9)], workers=2, address=None, title="test")


def test_pieces_are_all_there_in_order_and_ever_smaller():
    assert [len(p) for p in jobs.pieces(40, 2)] == [10, 8, 6, 4, 3, 3, 2, 1, 1, 1, 1]
    for count, workers in ((1, 1), (7, 2), (600, 2), (1000, 16), (3, 8)):
        found = jobs.pieces(count, workers)
        assert [i for p in found for i in p] == list(range(count))
        assert len(found[-1]) == 1 and len(found) <= 2 * workers * (1 + len(bin(count)))
    assert jobs.pieces(0, 2) == []


def test_what_a_worker_refuses_is_the_same_plain_line(ray, reach: Path, tmp_path: Path, capfd):
    words = ["train", "--demos", str(reach), "--out", str(tmp_path / "r"), "--algo", "dac", "--features", "nothing"]
    assert call([*words, "--seeds", "2", "--workers", "2"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert call([*words, "--seeds", "1"]) == 1
    assert error == capfd.readouterr().err.splitlines()[-1] and "nothing" in error


def test_what_cannot_work_is_one_plain_line(reach: Path, serial: Path, tmp_path: Path, capfd):
    train = ["train", "--demos", str(reach), "--out", str(tmp_path / "r"), *FAST]
    for words, expected in (
        ([*train, "--workers", "2"], "say how many with --seeds"),
        ([*train, "--seeds", "2", "--workers", "0"], "--workers is 0, expected at least 1"),
        (["eval", str(serial), "--address", "somewhere"], "expected HOST:PORT"),
        (["eval", str(serial / "seed-0"), "--address", "127.0.0.1:1"], "nothing answers at 127.0.0.1:1"),
    ):
        assert call(words) == 1
        error = capfd.readouterr().err
        assert expected in error and error.count("\n") == 1


def test_without_ray_it_is_one_plain_line(serial: Path):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        f"from robot_lfd.cli import main; main(['eval', {str(serial / 'seed-0')!r}, '--workers', '2'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "pip install 'robot-lfd[ray]'" in done.stderr
