"""Expert trajectories from .npz files: what comes in is what was there; what cannot come in is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.convert.trajectories_npz import import_trajectories
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    whole = {
        "obs": rng.normal(size=(9, 4)).astype(np.float32),
        "actions": np.array([0, 1, 1, 0, 1, 0, 0]),
        "rewards": np.arange(7, dtype=np.float32),
        "lengths": np.array([3, 4]),
        "terminated": np.array([False, True]),
        "env_id": np.array("CartPole-v1"),
    }
    return {k: v for k, v in {**whole, **changes}.items() if v is not None}


def write(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "expert.npz", **arrays(**changes))
    return folder / "expert.npz"


def test_trajectories_come_in_whole_and_only_once(tmp_path: Path):
    source, out = write(tmp_path), tmp_path / "d"
    assert import_trajectories(source, out)["imported"] == 2
    assert import_trajectories(source, out)["imported"] == 0
    store = DemoStore.open(out)
    first, second = (store[i] for i in store.ids())
    np.testing.assert_array_equal(first.obs["state"], arrays()["obs"][:4])
    np.testing.assert_array_equal(second.obs["state"], arrays()["obs"][4:])
    assert second.action.tolist() == [0, 1, 0, 0] and second.action.dtype == np.int64
    assert second.reward.tolist() == [3.0, 4.0, 5.0, 6.0]
    assert (first.terminated, first.truncated, second.terminated, second.truncated) == (False, True, True, False)


def test_only_the_first_so_many_come_in_when_asked(tmp_path: Path):
    assert import_trajectories(write(tmp_path), tmp_path / "d", ImportOptions(max_demos=1))["imported"] == 1


def test_continuous_actions_are_brought_into_the_range_that_policies_use(tmp_path: Path):
    source = write(
        tmp_path, env_id=np.array("Pendulum-v1"), obs=np.zeros((3, 3), np.float32), actions=np.array([[2.0], [-1.0]]),
        rewards=None, lengths=np.array([2]), terminated=None,
    )  # fmt: skip
    import_trajectories(source, tmp_path / "d")
    store = DemoStore.open(tmp_path / "d")
    np.testing.assert_allclose(store[store.ids()[0]].action, [[1.0], [-0.5]])


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"lengths": None}, "has no lengths"),
        ({"lengths": np.array([3, 5])}, "do not fit"),
        ({"lengths": np.array([0, 7])}, "whole numbers"),
        ({"actions": np.zeros(7)}, "does not take"),
        ({"rewards": np.zeros(3)}, "rewards has shape"),
        ({"env_id": None}, "--env"),
        ({"env_id": np.array("NoSuch-v0")}, "NoSuch-v0"),
        ({"obs": np.array([object()] * 9)}, "cannot be read"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(tmp_path: Path, changes: dict, message: str):
    with pytest.raises(LfdError, match=message):
        import_trajectories(write(tmp_path, **changes), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_a_truncated_file_is_refused(tmp_path: Path):
    source = write(tmp_path)
    source.write_bytes(source.read_bytes()[:-40])
    with pytest.raises(LfdError, match="cannot be read"):
        import_trajectories(source, tmp_path / "d")
