"""A sweep: what it tries, what it stops early, and that it goes on where it was, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from robot_lfd.cli import call
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import read_evaluations
from robot_lfd.metrics import read_metrics
from robot_lfd.remote import RemoteFolder
from robot_lfd.remote_runs import fetched
from robot_lfd.train.config import SweepConfig
from robot_lfd.train.sweep_space import rungs_of, trials_of
from robot_lfd.train.sweep_trials import Trial

pytestmark = pytest.mark.xdist_group("ray")
FAST = ("algo=bc", "hidden=64", "batch_rows=64", "checkpoint_every=100", "steps=900")
ALONE = ("--algo", "bc", "--hidden", "64", "--batch-rows", "64", "--checkpoint-every", "100", "--steps", "900")


def config(*said: str, **more: Any) -> SweepConfig:
    return SweepConfig(demos=(Path("d"),), out=Path("s"), set=said, **more)


def test_all_combinations_are_tried_or_as_many_as_asked_for():
    trials = trials_of(config("gamma=0.95,0.97", "hidden=16+8,32", "q_filter=yes", "bc_weight=default,5"))
    assert [(t.gamma, t.hidden, t.bc_weight) for t in trials[:3]] == [
        (0.95, (16, 8), None), (0.95, (16, 8), 5.0), (0.95, (32,), None),
    ]  # fmt: skip
    assert len(trials) == 8 and all(t.q_filter for t in trials)
    assert trials[0].out == Path("s/gamma=0.95,hidden=16+8,bc_weight=default")
    some = trials_of(config("gamma=0.9,0.95,0.97,0.99", random=2))
    assert len({t.gamma for t in some}) == 2 and some == trials_of(config("gamma=0.9,0.95,0.97,0.99", random=2))


def test_ranges_are_drawn_from_evenly_on_a_logarithmic_scale():
    trials = trials_of(config("temperature=0.001..0.1", "batch_rows=8..64", random=200))
    drawn = [t.temperature for t in trials if t.temperature is not None]
    assert len(drawn) == 200 == len({t.out for t in trials}) and 0.001 <= min(drawn) < max(drawn) <= 0.1
    assert 80 < sum(t < 0.01 for t in drawn) < 120  # 0.01 is the middle
    assert all(isinstance(t.batch_rows, int) and 8 <= t.batch_rows <= 64 for t in trials)
    with pytest.raises(LfdError, match="hold only 3 settings"):
        trials_of(config("batch_rows=8..10", random=4))


def test_a_rung_is_a_third_of_the_next_one():
    assert rungs_of(trials_of(config("steps=90", "algo=bc")), full=False) == [[10, 30, 90]]
    assert rungs_of(trials_of(config("steps=100,30", "algo=bc")), full=False) == [[12, 36, 100], [12, 30]]
    assert rungs_of(trials_of(config("steps=100,30", "algo=bc")), full=True) == [[100], [30]]


def test_what_cannot_be_tried_is_named():
    for said, words in (
        ("nothing=1", "no setting 'nothing' to try"), ("out=x", "no setting 'out'"), ("gamma", "expected NAME=VALUE"),
        ("gamma=much", "expected a number"), ("gamma=nan", "expected a number"), ("gamma=0.9,0.90", "comes twice"),
        ("algo=magic", "expected one of: iq, bc"), ("critics=1.5", "a whole number"), ("q_filter=2", "yes or no"),
        ("gamma=0.9..0.8", "LOW below HIGH"), ("gamma=0.8..0.9", "say how many trials to draw with --random"),
    ):  # fmt: skip
        with pytest.raises(LfdError, match=words):
            trials_of(config(said))
    for said, more, words in (
        ((), {}, "nothing to try"), (("gamma=0.9", "gamma=0.8"), {}, "names gamma twice"),
        (("gamma=0.9,0.8",), {"random": 3}, "--random is 3, expected 1 to 2"),
    ):  # fmt: skip
        with pytest.raises(LfdError, match=words):
            trials_of(config(*said, **more))


def sweep(reach: Path, out: Path | str, *said: str) -> list[str]:
    words = ["sweep", "--demos", str(reach), "--out", str(out), "--eval-episodes", "3", "--workers", "2", "--json"]
    return [*words, "--set", *FAST, *said]


def result(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capfd.readouterr().out.splitlines()[-1])


def model(run: Path, step: int = 900) -> bytes:
    return (run / "checkpoints" / f"{step:08d}" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def alone(reach: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed 0, trained by lfd train in one go."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert call(["train", "--demos", str(reach), "--out", str(out), *ALONE]) == 0
    return out


def test_a_sweep_stops_what_falls_behind_and_trains_as_lfd_train_does(
    ray, reach: Path, alone: Path, tmp_path: Path, capfd
):
    """Who sees only how wide the gripper is cannot reach anything: both seeds of that stop at the first rung."""
    out, said = tmp_path / "sweep", ("features=default,gripper_width", "seed=0,1")
    names = [f"features={k},seed={n}" for k in ("default", "gripper_width") for n in (0, 1)]
    assert call(sweep(reach, out, *said)) == 0, capfd.readouterr().err
    captured = capfd.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert "chosen by these very episodes" in captured.out and f"{names[3]}: stopped early" in captured.err
    at = {Path(t["run"]).name: t for t in found["trials"]}
    assert set(at) == set(names) and [at[n]["step"] for n in names[2:]] == [100, 100]
    best = Path(found["trials"][0]["run"])
    assert found["trials"][0]["step"] == 900 and best.name in names[:2]
    stopped = [n for n in names if at[n]["stopped_early"]]
    assert (
        sorted(json.loads((out / "sweep.json").read_text())["stopped"]) == sorted(stopped) and stopped[-2:] == names[2:]
    )
    assert "<svg" in (out / "compare.html").read_text()
    assert {p.name for p in out.iterdir()} == {"sweep.json", "compare.html", *names}
    assert json.loads((best / "config.json").read_text())["steps"] == 900
    if best.name.endswith("0"):
        assert model(best) == model(alone)
    step = at[names[0]]["step"]  # seed 0, whether it went to the end or not
    assert model(out / names[0], 100) == model(alone, 100) and model(out / names[0], step) == model(alone, step)

    assert call(sweep(reach, out, *said)) == 1
    assert "already holds a sweep; go on with --resume" in capfd.readouterr().err
    assert call([*sweep(reach, out, *said, "gamma=0.9"), "--resume"]) == 1
    assert "holds a sweep of other settings" in capfd.readouterr().err
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("model.safetensors")}
    assert call([*sweep(reach, out, *said), "--resume"]) == 0
    again = result(capfd)["trials"]
    assert {p: p.stat().st_mtime_ns for p in out.rglob("model.safetensors")} == stamps  # nothing was trained again
    assert again == found["trials"]


def trainables() -> list[int]:
    """Returns the processes of Tune's trials below this one."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::ImplicitFunc"):
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if os.getpid() in _ancestors(pid, parents)]


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


def when_begun(out: Path, then: Callable[[], Any]) -> threading.Thread:
    """Calls `then` once a training in `out` has its first checkpoint, and again while it returns nothing."""

    def watch() -> None:
        for _ in range(3000):
            if any(out.glob("*/checkpoints/*/DONE")) and then():
                return
            time.sleep(0.05)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_worker_killed_in_the_middle_of_a_trial_changes_no_number(
    ray, reach: Path, alone: Path, tmp_path: Path, capfd
):
    out, killed = tmp_path / "sweep", list[int]()

    def kill() -> bool:
        killed.extend(trainables())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        return bool(killed)

    thread = when_begun(out, kill)
    assert call([*sweep(reach, out, "seed=0"), "--full"]) == 0, capfd.readouterr().err
    thread.join()
    captured = capfd.readouterr()
    assert len(killed) == 1 and "only: its worker died" in captured.err and "begins again, attempt 2" in captured.err
    (trial,) = json.loads(captured.out.splitlines()[-1])["trials"]
    assert trial["step"] == 900 and trial["error"] is None
    assert model(out / "only") == model(alone)
    ours, theirs = ([(r["step"], r["bc_loss"]) for r in read_metrics(f)] for f in (out / "only", alone))
    assert ours == theirs


@pytest.mark.slow
def test_a_sweep_whose_command_was_killed_goes_on(ray, reach: Path, alone: Path, tmp_path: Path, capfd):
    out = tmp_path / "sweep"
    words = [sys.executable, "-m", "robot_lfd.cli", *sweep(reach, out, "seed=0,1")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill() -> bool:
        process.kill()
        return True

    when_begun(out, kill).join()
    assert process.wait() == -signal.SIGKILL and not (out / "compare.html").exists()
    assert call([*sweep(reach, out, "seed=0,1"), "--resume"]) == 0, capfd.readouterr().err
    found = result(capfd)
    assert found["ok"] and (out / "compare.html").exists()
    step = next(t["step"] for t in found["trials"] if t["run"].endswith("seed=0"))
    assert model(out / "seed=0", step) == model(alone, step)


def test_a_trial_that_is_refused_is_named_and_the_others_go_on(ray, reach: Path, tmp_path: Path, capfd):
    assert call(sweep(reach, tmp_path / "one", "features=nothing,target_rel", "eval_episodes=1")) == 1
    captured = capfd.readouterr()
    good, bad = json.loads(captured.out.splitlines()[-1])["trials"]
    assert good["step"] == 900 and good["error"] is None
    assert bad["error"] == "unknown observation 'nothing'; pybullet/Reach-v0 has: " + bad["error"].split("has: ")[1]
    assert "features=nothing: unknown observation" in captured.out and "died" not in captured.err
    assert call(sweep(reach, tmp_path / "none", "features=nothing")) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("lfd: error: no trial came through: unknown observation 'nothing'")


def test_a_trial_in_a_bucket_goes_on_there_and_one_that_was_stopped_does_not(
    reach: Path, alone: Path, tmp_path: Path, monkeypatch
):
    url = "memory://lfd-sweep/s"
    try:
        settings = trials_of(SweepConfig(demos=(reach,), out=Path(url), set=(*FAST, "seed=0")))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        begun = Trial(settings[0], (100,), 3, was_stopped=False)
        (first,) = begun.reports()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
        stopped = Trial(settings[0], (100, 300, 900), 3, was_stopped=True)
        assert list(stopped.reports()) == [first]
        found = list(Trial(settings[0], (100, 900), 3, was_stopped=False).reports())
        assert found[0] == first and [r["step"] for r in found] == [100, 900]
        there = fetched(Path(f"{url}/only"))
        assert model(there) == model(alone) and len(read_evaluations(there)) == 2
    finally:
        fsspec.filesystem("memory").rm("/lfd-sweep", recursive=True)


@pytest.mark.slow
def test_a_sweep_into_s3_leaves_its_runs_and_its_page_there(reach: Path, alone: Path, s3: str):
    def command(*more: str) -> dict[str, Any]:  # workers find the bucket by the environment that Ray was started in
        words = [sys.executable, "-m", "robot_lfd.cli", *sweep(reach, s3, "seed=0"), "--full", *more]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    found = command()
    names = RemoteFolder(s3).files()
    assert found["page"] == f"{s3}/compare.html" and {"sweep.json", "compare.html"} <= set(names)
    assert {n.split("/")[0] for n in names} == {"sweep.json", "compare.html", "only"}
    assert model(fetched(Path(s3) / "only")) == model(alone)
    assert command("--resume")["trials"] == found["trials"]
