"""Runs on remote storage: another machine goes on from there, nobody sees half a checkpoint, the cache has a limit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from robot_lfd.checkpoint import finished_checkpoints
from robot_lfd.cli import call
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.remote import USED, RemoteFolder, local_home, make_room
from robot_lfd.remote_runs import fetched, published
from tests.robot_lfd.train.conftest import demos  # noqa: F401

FAST = ("--algo", "bc", "--hidden", "16", "--batch-rows", "16", "--checkpoint-every", "10")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of remote storage lands in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of an empty folder in fsspec's memory."""
    yield "memory://lfd-runs/lift"
    if fsspec.filesystem("memory").exists("/lfd-runs"):
        fsspec.filesystem("memory").rm("/lfd-runs", recursive=True)


def train(demos: Path, out: str, *more: str) -> int:  # noqa: F811
    return call(["train", "--demos", str(demos), "--out", out, *FAST, *more])


def goes_on_elsewhere(demos: Path, url: str, tmp_path: Path, monkeypatch, capfd) -> None:  # noqa: F811
    """Trains to a URL, goes on from there with an empty cache, evaluates there, and compares with a run on the disk."""
    assert train(demos, url, "--steps", "20") == 0, capfd.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert train(demos, url, "--steps", "40", "--resume", "--json") == 0, capfd.readouterr().err
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["run"] == url
    assert train(demos, str(tmp_path / "disk"), "--steps", "40") == 0
    folder, disk = fetched(Path(url)), tmp_path / "disk"
    assert [c.name for c in finished_checkpoints(folder)] == [c.name for c in finished_checkpoints(disk)]
    for here, there in zip(finished_checkpoints(folder), finished_checkpoints(disk), strict=True):
        assert (here / "model.safetensors").read_bytes() == (there / "model.safetensors").read_bytes()
    training = [n for n in RemoteFolder(url).files() if n.endswith("training.safetensors")]
    assert training == ["checkpoints/00000040/training.safetensors"]
    assert call(["eval", url, "--episodes", "2", "--json"]) == 0, capfd.readouterr().err
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["episodes"] == 2
    assert "evaluations/40-1000.json" in RemoteFolder(url).files()


def test_a_run_at_a_url_goes_on_on_another_machine(demos, bucket: str, tmp_path: Path, monkeypatch, capfd):  # noqa: F811
    goes_on_elsewhere(demos, bucket, tmp_path, monkeypatch, capfd)


@pytest.mark.slow
def test_a_run_in_s3_goes_on_on_another_machine(demos, s3: str, tmp_path: Path, monkeypatch, capfd):  # noqa: F811
    goes_on_elsewhere(demos, s3, tmp_path, monkeypatch, capfd)


def test_nobody_sees_half_a_checkpoint(demos, bucket: str, monkeypatch, capfd):  # noqa: F811
    real, written = RemoteFolder.write, []

    def break_off(self: RemoteFolder, name: str, data: bytes) -> None:
        if "checkpoints/" in name and len(written) == 3:
            raise OSError(104, "Connection reset by peer")
        if "checkpoints/" in name:
            written.append(name)
        real(self, name, data)

    monkeypatch.setattr(RemoteFolder, "write", break_off)
    assert train(demos, bucket, "--steps", "20") == 1
    assert "Connection reset by peer; all of it is kept here, and --resume sends it" in capfd.readouterr().err
    assert len(written) == 3 and not finished_checkpoints(fetched(Path(bucket)))
    monkeypatch.setattr(RemoteFolder, "write", real)
    assert train(demos, bucket, "--steps", "20", "--resume") == 0
    assert [c.name for c in finished_checkpoints(fetched(Path(bucket)))] == ["00000010", "00000020"]


def test_demos_are_imported_into_a_bucket_and_not_a_second_time(bucket: str, tmp_path: Path, capfd):
    source, rng = tmp_path / "cart.npz", np.random.default_rng(0)
    np.savez(
        source, obs=rng.normal(size=(14, 4)).astype(np.float32), actions=rng.integers(2, size=12), lengths=[5, 7],
        rewards=np.ones(12, np.float32), terminated=[True, False], env_id="CartPole-v1",
    )  # fmt: skip
    words = ["data", "import", str(source), "--out", f"{bucket}/cart", "--json"]
    for imported, there in ((2, 0), (0, 2)):
        assert call(words) == 0, capfd.readouterr().err
        found = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert (found["imported"], found["already_there"], found["out"]) == (imported, there, f"{bucket}/cart")
    store = DemoStore.open(Path(f"{bucket}/cart"))
    assert [len(store[i].action) for i in store.ids()] == [5, 7]


def test_demos_are_rendered_into_a_bucket(demos, bucket: str, capfd):  # noqa: F811
    words = ["data", "render", str(demos), "--cameras", "front", "--size-px", "16", "--out", bucket, "--json"]
    assert call(words) == 0, capfd.readouterr().err
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert found["rendered"] == 3 and found["out"] == bucket
    assert call(["data", "info", bucket, "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out.splitlines()[-1])["demos"]) == 3


def test_runs_and_demos_at_urls_are_compared_and_reviewed(demos, bucket: str, tmp_path: Path, capfd):  # noqa: F811
    assert call(["data", "copy", str(demos), f"{bucket}/demos"]) == 0, capfd.readouterr().err
    for name, seeds in (("one", ()), ("two", ("--seeds", "2", "--hidden", "8"))):
        assert train(demos, f"{bucket}/{name}", "--steps", "20", *seeds) == 0
        assert call(["eval", f"{bucket}/{name}", "--episodes", "2"]) == 0
    capfd.readouterr()
    page = tmp_path / "c.html"
    assert call(["compare", f"{bucket}/one", f"{bucket}/two", "--out", str(page), "--json"]) == 0, (
        capfd.readouterr().err
    )
    rows = json.loads(capfd.readouterr().out.splitlines()[-1])["families"]
    assert [(r["name"], r["seeds"], r["final"]["episodes"]) for r in rows] == [("one", [0], 2), ("two", [0, 1], 4)]
    assert "<svg" in page.read_text()
    review = [
        "review",
        f"{bucket}/demos",
        "--policy",
        f"{bucket}/one",
        "--runs",
        f"{bucket}/two",
        "--max-episodes",
        "1",
    ]
    assert call([*review, "--size-px", "64", "--export", str(tmp_path / "r.html"), "--json"]) == 0, (
        capfd.readouterr().err
    )
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["episodes"] == 1
    assert call(["compare", f"{bucket}/none"]) == 1
    error = capfd.readouterr().err
    assert "no such run: 'memory://lfd-runs/lift/none'" in error and error.count("\n") == 1


def test_two_processes_do_not_work_on_one_run(bucket: str):
    with published(Path(bucket)), pytest.raises(LfdError, match="another process works on"), published(Path(bucket)):
        pass


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path):
    for k, name in enumerate(("old", "middle", "new")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data").write_bytes(bytes(1000))
        (folder / USED).touch()
        os.utime(folder / USED, (k, k))
    assert make_room(tmp_path, 5000, keep=tmp_path / "new") == []
    assert make_room(tmp_path, 2500, keep=tmp_path / "old") == [tmp_path / "middle"]
    assert make_room(tmp_path, 0, keep=tmp_path / "old") == [tmp_path / "new"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]


def test_the_cache_keeps_to_its_limit(bucket: str, monkeypatch):
    for name, limit in (("a", "1"), ("b", "1"), ("c", "0")):
        monkeypatch.setenv("LFD_CACHE_GB", limit)
        with published(Path(f"{bucket}/{name}")) as folder:
            folder.mkdir(exist_ok=True)
            (folder / "metrics.jsonl").write_text("{}\n")
    assert not local_home(f"{bucket}/a").exists() and local_home(f"{bucket}/c").exists()


def test_wrong_keys_are_one_plain_line_whatever_the_command(
    demos,  # noqa: F811
    locked_s3_address: str, tmp_path: Path, monkeypatch, capfd,
):  # fmt: skip
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    for key, value in {"ENDPOINT_URL": locked_s3_address, "ACCESS_KEY_ID": "wrong", "SECRET_ACCESS_KEY": "y"}.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    url, out = "s3://lab/thing", str(tmp_path / "out")
    npz = tmp_path / "a.npz"
    npz.write_bytes(b"")
    for words in (
        ["train", "--demos", str(demos), "--out", url, *FAST, "--steps", "10"],
        ["train", "--demos", url, "--out", out, *FAST, "--steps", "10"],
        ["train", "--demos", str(demos), "--out", url, *FAST, "--steps", "10", "--seeds", "2", "--workers", "2"],
        ["sweep", "--demos", str(demos), "--out", url, "--set", "gamma=0.9"],
        ["eval", url], ["compare", url], ["data", "info", url], ["review", url], ["data", "copy", str(demos), url],
        ["data", "render", str(demos), "--cameras", "front", "--out", url], ["data", "import", str(npz), "--out", url],
    ):  # fmt: skip
        assert call(words) == 1, words
        error = capfd.readouterr().err
        assert error.startswith("lfd: error: ") and error.count("\n") == 1, (words, error)
        assert f"are the keys for {url} right (AWS_ACCESS_KEY_ID" in error, (words, error)


@pytest.mark.slow
def test_storage_that_refuses_is_one_plain_line(demos, s3: str, monkeypatch, capfd):  # noqa: F811
    missing = "s3://there-is-no-such-bucket/run"
    for words, expected in (
        (["train", "--demos", str(demos), "--out", missing, *FAST, "--steps", "10"], "no bucket 'there-is-no-such-"),
        (["eval", missing], "no bucket 'there-is-no-such-bucket'"),
        (["eval", s3.replace("demos", "nothing")], "no such run"),
        (["data", "info", missing], "no such dataset"),
    ):
        assert call(words) == 1
        error = capfd.readouterr().err
        assert expected in error and error.count("\n") == 1, error
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert call(["eval", s3]) == 1
    error = capfd.readouterr().err
    assert "cannot be read" in error and error.count("\n") == 1, error
