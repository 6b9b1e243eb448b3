"""Fast pictures of the PyBullet arm: fewer triangles, the same physics, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.envs import low_poly
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

MOVES = np.random.default_rng(0).uniform(-1, 1, (25, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory):
    """The same world drawn both ways, after the same actions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        envs = [make_env("pybullet/Lift-v0", pictures=quality) for quality in low_poly.QUALITIES]
        for env in envs:
            env.reset(seed=3)
            for move in MOVES:
                env.step(move)
        yield [arm_of(env) for env in envs]
        for env in envs:
            env.close()


def test_the_physics_is_the_same_bit_for_bit(pair):
    reference, fast = pair
    assert reference.sim_state().tobytes() == fast.sim_state().tobytes()


@pytest.mark.parametrize("camera", ["front", "side", "wrist"])
def test_fast_pictures_differ_little_from_the_reference(pair, camera: str):
    reference, fast = (arm.render_camera(camera, 84, 84).astype(float) for arm in pair)
    error = np.square(reference - fast).mean()
    assert error > 0, "the low-poly arm was not drawn"
    assert 10 * np.log10(255**2 / error) > 26  # dB


def test_the_meshes_are_made_once_and_hold_a_fraction_of_the_triangles(tmp_path: Path, monkeypatch):
    import pybullet_data

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    urdf = Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf"
    made = low_poly.drawn_urdf(urdf, "fast")
    stamp = made.stat().st_mtime_ns
    assert low_poly.drawn_urdf(urdf, "fast") == made and made.stat().st_mtime_ns == stamp
    coarse = sum(line.startswith("f ") for mesh in made.parent.glob("*.obj") for line in mesh.open())
    whole = sum(
        line.startswith("f ") for mesh in (urdf.parent / "meshes" / "visual").glob("*.obj") for line in mesh.open()
    )
    assert 2000 < coarse < whole / 8
    assert len(list(tmp_path.rglob("low-poly-*"))) == 1, "nothing half-made is left"


def test_an_unknown_quality_is_refused_in_one_line(tmp_path: Path, capfd):
    with pytest.raises(LfdError, match="picture quality is 'best'"):
        make_env("pybullet/Lift-v0", pictures="best")
    words = ["--env-kwargs", "pictures=best", "--device", "scripted", "--out", str(tmp_path / "d")]
    assert call(["record", "--env", "pybullet/Lift-v0", *words]) == 1
    assert "picture quality is 'best', expected one of: reference, fast" in capfd.readouterr().err
