"""Foreign episodes into a dataset: a source that reads otherwise the second time leaves nothing half-written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.convert.rest import bare_episode, store_all
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError

Read = Callable[[], Iterator[tuple[str | None, Episode]]]


def reading(spoilt_at: int | None, error: type[BaseException] | None = None, first: float = 0.0) -> Read:
    """Two episodes; the second one is spoilt from the reading `spoilt_at` on, counted from 0."""
    readings = iter(range(100))

    def read() -> Iterator[tuple[str | None, Episode]]:
        spoilt = spoilt_at is not None and next(readings) >= spoilt_at
        for number in range(2):
            action = np.full((4, 1), first + 0.1 * number, np.float32)
            if spoilt and number:
                if error is not None:
                    raise error
                action[3] = np.nan
            obs = {"obs": np.zeros((4, 3), np.float32)}
            yield None, bare_episode(obs, action, None, 20.0, meta={"source": {"demo": number + 10 * first}})

    return read


def store(read: Read, out: Path) -> None:
    store_all(Path("buffer"), out, read, None, "Pendulum-v1", 20.0, ImportOptions())


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_what_reads_otherwise_the_second_time_leaves_no_new_dataset(tmp_path: Path, error: type[Exception] | None):
    with pytest.raises(error or LfdError):
        store(reading(1, error), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_that_was_there_and_an_interrupted_import_keep_what_they_have(tmp_path: Path):
    store(reading(None), tmp_path / "there")
    with pytest.raises(LfdError):
        store(reading(1, first=0.5), tmp_path / "there")
    assert len(DemoStore.open(tmp_path / "there").ids()) >= 2
    with pytest.raises(KeyboardInterrupt):
        store(reading(1, KeyboardInterrupt), tmp_path / "stopped")
    assert len(DemoStore.open(tmp_path / "stopped").ids()) == 1
    store(reading(None), tmp_path / "stopped")
    assert len(DemoStore.open(tmp_path / "stopped").ids()) == 2
