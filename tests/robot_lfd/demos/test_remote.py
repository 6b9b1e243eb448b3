"""Remote datasets: fsspec's memory storage in every run, a real S3 API (moto's server) in slow ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from robot_lfd.checkpoint import load_policy
from robot_lfd.cli import call
from robot_lfd.demos.cache import load_flat
from robot_lfd.demos.repair import repair
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.verify import verify
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec, same


@pytest.fixture
def filled(store: DemoStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoStore:
    """Three demos with labels; what is derived from remote ones lands in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    for k in range(3):
        store.append(made_up_episode(k, 4 + k))
    store.label(store.ids()[0], note="first", trim=(0, 3))
    return store


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of an empty folder in fsspec's memory."""
    url = "memory://lfd-bucket/demos"
    yield url
    fsspec.filesystem("memory").rm("/lfd-bucket", recursive=True)


def there_and_back(filled: DemoStore, url: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Copies a dataset to a URL, reads it there, trains from it as far as the cache goes, and copies it back."""
    assert call(["data", "copy", str(filled.path), url, "--json"]) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["copied"] == 3
    remote = DemoStore.open(Path(url))  # as the command line hands it on: with one slash
    assert remote.remote and remote.spec == filled.spec and remote.ids() == filled.ids()
    assert all(same(remote[i], filled[i], ignore=()) for i in filled)
    flat, before = load_flat([url]), load_flat(filled)
    for key, rows in before.obs.items():
        np.testing.assert_array_equal(flat.obs[key], rows)
    assert list((tmp_path / "home" / "robot-lfd").glob("*/cache/flat/*"))
    filled.append(made_up_episode(9))
    assert call(["data", "copy", str(filled.path), url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["already_there"] == 3
    assert call(["data", "copy", url, str(tmp_path / "back"), "--json"]) == 0
    back = DemoStore.open(tmp_path / "back")
    assert back.ids() == filled.ids() and all(same(back[i], filled[i], ignore=()) for i in filled)


def test_a_dataset_goes_to_remote_storage_and_is_read_there(filled: DemoStore, bucket: str, tmp_path: Path, capsys):
    there_and_back(filled, bucket, tmp_path, capsys)


@pytest.mark.slow
def test_a_dataset_goes_to_s3_and_is_read_there(filled: DemoStore, s3: str, tmp_path: Path, capsys):
    there_and_back(filled, s3, tmp_path, capsys)


@pytest.mark.slow
def test_a_policy_is_trained_straight_from_s3(s3: str, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert call(["data", "copy", "sample:lift-demos", s3, "--json"]) == 0, capsys.readouterr().err
    for demos, out in ((s3, "remote"), ("sample:lift-demos", "local")):
        words = ["train", "--demos", demos, "--out", str(tmp_path / out), "--algo", "bc", "--mode", "offline"]
        assert call([*words, "--steps", "20", "--json"]) == 0, capsys.readouterr().err
    remote, local = (load_policy(tmp_path / out) for out in ("remote", "local"))
    assert remote.spec.env_id == "pybullet/Lift-v0"
    for mine, theirs in zip(remote.actor.parameters(), local.actor.parameters(), strict=True):
        assert bool((mine == theirs).all())  # the very same numbers were read


def test_an_episode_is_there_only_when_all_of_it_is(filled: DemoStore, bucket: str, monkeypatch, capsys):
    from robot_lfd.remote import RemoteFolder

    real, count = RemoteFolder.write, iter(range(10**6))

    def break_off(self: RemoteFolder, name: str, data: bytes) -> None:
        if next(count) == 40:
            raise OSError(104, "Connection reset by peer")
        real(self, name, data)

    monkeypatch.setattr(RemoteFolder, "write", break_off)
    assert call(["data", "copy", str(filled.path), bucket]) == 1
    assert "Connection reset by peer" in capsys.readouterr().err
    remote = DemoStore.open(bucket)
    assert len(remote) == 1 and same(remote[remote.ids()[0]], made_up_episode(0, 4))
    assert call(["data", "copy", str(filled.path), bucket]) == 0
    assert len(DemoStore.open(bucket)) == 3


def test_remote_datasets_are_only_read(filled: DemoStore, bucket: str, capsys, tmp_path: Path):
    assert call(["data", "copy", str(filled.path), bucket]) == 0
    remote = DemoStore.open(bucket)
    for write in (
        lambda: remote.append(made_up_episode()),
        lambda: remote.label(remote.ids()[0], note="x"),
        lambda: remote.journal(),
        lambda: verify(remote),
        lambda: repair(remote),
        lambda: DemoStore.open_or_create(bucket, filled.spec),
    ):
        with pytest.raises(LfdError, match="can only be read"):
            write()
    other = DemoStore.create(tmp_path / "other", made_up_spec(cameras=()))
    assert call(["data", "copy", str(other.path), bucket]) == 1
    assert "holds another dataset" in capsys.readouterr().err


def test_remote_mistakes_are_named(capsys):
    for url, words in (
        ("memory://lfd-bucket/nothing", "no such dataset"),
        ("nowhere://bucket/x", "cannot be opened"),
    ):
        assert call(["data", "info", url]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
