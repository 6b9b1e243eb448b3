"""Rendering: other cameras see the same demos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.demos.verify import verify
from robot_lfd.envs.registry import make_env
from tests.robot_lfd.demos.conftest import same


@pytest.fixture(scope="module")
def reach(tmp_path_factory: pytest.TempPathFactory) -> DemoStore:
    """Two short PyBullet demos without pictures, the second one's states declared to come from elsewhere."""
    env = make_env("pybullet/Reach-v0")
    store = DemoStore.create(tmp_path_factory.mktemp("reach") / "demos", make_spec("pybullet/Reach-v0", env, {}))
    for seed in range(2):
        rng, tape = np.random.default_rng(seed), Tape(env)
        tape.reset(seed=seed)
        for _ in range(4):
            tape.step(rng.uniform(-1, 1, 4).astype(np.float32))
        store.append(tape.episode(meta={"resimulates": False} if seed else {}))
    env.close()
    store.label(store.ids()[0], note="first", split="train")
    return store


def test_new_cameras_see_what_the_environment_shows(reach: DemoStore, tmp_path: Path, capsys):
    env = make_env("pybullet/Reach-v0")
    camera = env.unwrapped.camera_names[0]
    words = ["data", "render", str(reach.path), "--out", str(tmp_path / "out"), "--cameras", camera, "--size-px", "24"]
    assert call([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    first, second = reach.ids()
    assert (report["rendered"], report["from_states"]) == (2, [second])
    out = DemoStore.open(tmp_path / "out")
    assert out.ids() == reach.ids() and out.info(first).note == "first" and out.spec.cameras == (camera,)
    for episode_id in out.ids():
        episode, before = out[episode_id], reach[episode_id]
        pictures = episode.obs[f"images/{camera}"]
        assert pictures.shape == (5, 24, 24, 3) and pictures.std() > 5
        low = episode.replace(obs={k: v for k, v in episode.obs.items() if not k.startswith("images/")})
        assert same(low, before, ignore=())
    episode = out[first]
    env.reset(seed=0, options={"model": episode.model, "sim_state": episode.sim_state[0]})
    for action in episode.action:
        env.step(action)
    np.testing.assert_array_equal(env.unwrapped.render_camera(camera, 24, 24), episode.obs[f"images/{camera}"][-1])
    env.close()
    assert verify(out).problems == []
    assert call([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["already_there"] == 2


def test_fast_pictures_are_named_in_the_dataset_so_that_a_policy_is_shown_the_same(reach: DemoStore, tmp_path: Path):
    words = ["data", "render", str(reach.path), "--cameras", "front", "--size-px", "24"]
    assert call([*words, "--out", str(tmp_path / "fast"), "--pictures", "fast"]) == 0
    assert call([*words, "--out", str(tmp_path / "usual")]) == 0
    fast, usual = (DemoStore.open(tmp_path / name) for name in ("fast", "usual"))
    assert fast.spec.env_kwargs == {"pictures": "fast"} and usual.spec.env_kwargs == {}
    first = reach.ids()[0]
    one, other = (store[first].obs["images/front"] for store in (fast, usual))
    assert one.shape == other.shape and (one != other).any()
    assert verify(fast, replay=True).problems == []


def test_an_unknown_camera_is_named(reach: DemoStore, tmp_path: Path, capsys):
    words = ["data", "render", str(reach.path), "--out", str(tmp_path / "out"), "--cameras", "nowhere"]
    assert call(words) == 1
    assert "unknown camera 'nowhere'" in capsys.readouterr().err and not (tmp_path / "out").exists()
