"""Fast pictures of PyBullet: drawn by our own compiled code, compared with TinyRenderer's."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.mesh_files import levels_of_file
from robot_lfd.envs.pybullet_pictures import QUALITIES
from robot_lfd.envs.registry import PYBULLET_TASKS, make_env
from robot_lfd.errors import LfdError

CAMERAS = ("front", "side", "wrist")


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio of two pictures; infinite for equal ones."""
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else np.inf


def pair(task: str, **keywords):
    """Returns the same world drawn both ways."""
    return [arm_of(make_env(f"pybullet/{task}-v0", pictures=quality, **keywords)) for quality in QUALITIES]


def moved(arm, seed: int, steps: int = 20) -> None:
    """Plays some steps of one long motion, so that the arm is somewhere else."""
    arm.reset(seed=seed)
    action = np.random.default_rng(seed).uniform(-1, 1, arm.action_space.shape).astype(np.float32)
    for _ in range(steps):
        arm.step(action)


@pytest.mark.parametrize("robot", ["panda", "kuka"])
@pytest.mark.parametrize("task", PYBULLET_TASKS)
def test_every_camera_of_every_task_and_arm_looks_as_tinyrenderer_draws_it(task: str, robot: str):
    arms = pair(task, robot=robot)
    for seed in (0, 1, 2):
        for arm in arms:
            moved(arm, seed)
        assert arms[0].sim_state().tobytes() == arms[1].sim_state().tobytes()
        for camera in CAMERAS:
            reference, fast = (arm.render_camera(camera, 84, 84) for arm in arms)
            assert decibels(reference, fast) > 26, (seed, camera)
    for arm in arms:
        arm.close()


def test_other_sizes_and_what_lies_beyond_the_table_look_the_same_too():
    arms = pair("Stack")
    for size in ((60, 110), (128, 90)):
        for camera in CAMERAS:
            assert decibels(*(arm.render_camera(camera, *size) for arm in arms)) > 26, (size, camera)
    sky = [arm.render_camera("front", 84, 84)[0, 0] for arm in arms]
    assert (sky[0] == 255).all() and (sky[1] == 255).all()
    for arm in arms:
        arm.close()


def test_table_floor_and_cubes_have_tinyrenderers_colours_to_the_last_bit():
    arms = pair("Stack")
    pictures = [arm.render_camera("front", 84, 84) for arm in arms]
    same = (pictures[0] == pictures[1]).all(2)
    assert same[60:].mean() > 0.99, "the table"
    for colour in ("vermillion", "blue"):
        channel = 0 if colour == "vermillion" else 2
        cube = pictures[0][40:, :, channel].astype(int) - pictures[0][40:, :, 2 - channel] > 60
        assert cube.sum() > 8 and same[40:][cube].mean() > 0.8, colour
    for arm in arms:
        arm.close()


def test_a_picture_depends_on_the_state_alone_not_on_what_was_drawn_before():
    (arm,) = pair("PickPlace")[1:]
    moved(arm, 4)
    first = [arm.render_camera(camera, 84, 84) for camera in CAMERAS]
    moved(arm, 5)  # other bodies, another place of the tray, which is part of the backdrop
    others = [arm.render_camera(camera, 84, 84) for camera in CAMERAS]
    assert all(decibels(a, b) < 26 for a, b in zip(first, others, strict=True))
    arm.render_camera("front", 40, 60)
    moved(arm, 4)
    assert all(np.array_equal(arm.render_camera(c, 84, 84), p) for c, p in zip(CAMERAS, first, strict=True))
    again = pair("PickPlace")[1]  # another environment of the same process
    moved(again, 4)
    assert all(np.array_equal(again.render_camera(c, 84, 84), p) for c, p in zip(CAMERAS, first, strict=True))
    arm.close()
    again.close()


def test_the_picture_after_a_reset_shows_the_new_start_at_once():
    arms = pair("Push")
    for seed in (7, 8):
        for arm in arms:
            arm.reset(seed=seed)
        for camera in CAMERAS:
            assert decibels(*(arm.render_camera(camera, 84, 84) for arm in arms)) > 26, (seed, camera)
    for arm in arms:
        arm.close()


def test_changed_colours_and_added_bodies_are_seen_at_once():
    arms = pair("Lift")
    before = [arm.render_camera("front", 84, 84) for arm in arms]
    for arm in arms:
        table = arm._bullet.getBodyUniqueId(1)
        arm._bullet.changeVisualShape(table, -1, rgbaColor=[0.1, 0.2, 0.6, 1.0])
        arm._bullet.changeVisualShape(arm._objects[0], -1, rgbaColor=[0.9, 0.9, 0.1, 1.0])
    pictures = [arm.render_camera("front", 84, 84) for arm in arms]
    assert decibels(*pictures) > 26 and decibels(before[1], pictures[1]) < 15
    for arm in arms:
        b = arm._bullet
        ball = b.createVisualShape(b.GEOM_SPHERE, radius=0.06, rgbaColor=[1, 0, 0, 1])
        can = b.createVisualShape(b.GEOM_CYLINDER, radius=0.05, length=0.2, rgbaColor=[0, 1, 0, 1])
        b.createMultiBody(0, -1, ball, [0.5, 0.2, 0.1])
        b.createMultiBody(0, -1, can, [0.55, -0.2, 0.1], [0.3, 0.1, 0.2, 0.9])
    pictures = [arm.render_camera("front", 84, 84) for arm in arms]
    assert decibels(*pictures) > 26
    for channel, other in ((0, 1), (1, 0)):  # the red ball, the green can
        seen = [int((p[..., channel].astype(int) - p[..., other] > 90).sum()) for p in pictures]
        assert seen[0] > 50 and abs(seen[0] - seen[1]) < 0.1 * seen[0], channel
    for arm in arms:
        arm.close()


def test_meshes_become_coarser_are_kept_on_the_disk_and_keep_their_colours(tmp_path: Path, monkeypatch):
    import pybullet_data

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("robot_lfd.envs.raster_shapes._KNOWN", {})
    hand = Path(pybullet_data.getDataPath()) / "franka_panda" / "meshes" / "visual" / "hand.obj"
    levels = levels_of_file(hand, (1.0, 1.0, 1.0))
    counts = [len(level.triangles) for level in levels]
    assert counts[0] > 7000 and counts[-1] < counts[0] / 20 and counts == sorted(counts, reverse=True)
    for level in levels:  # white and dark parts
        assert {round(float(c), 1) for c in level.paint[:, 0]} >= {0.5, 1.0}, len(level.triangles)
    (file,) = tmp_path.rglob("levels.npz")
    stamp = file.stat().st_mtime_ns
    monkeypatch.setattr("robot_lfd.envs.raster_shapes._KNOWN", {})
    again = levels_of_file(hand, (1.0, 1.0, 1.0))
    assert all(np.array_equal(a.paint, b.paint) for a, b in zip(levels, again, strict=True))
    assert file.stat().st_mtime_ns == stamp


def test_an_stl_file_is_read_with_its_scale_and_flat_normals(tmp_path: Path):
    corners = np.array([[[0, 0, 0], [2, 0, 0], [0, 3, 0]], [[0, 0, 0], [0, 3, 0], [0, 0, 4]]], "<f4")
    rows = b"".join(bytes(12) + triangle.tobytes() + bytes(2) for triangle in corners)
    file = tmp_path / "wedge.stl"
    file.write_bytes(bytes(80) + struct.pack("<I", 2) + rows)
    (level,) = levels_of_file(file, (0.001, 0.001, 0.001))
    assert np.allclose(np.sort(level.vertices[:, :3].max(0)), [0.002, 0.003, 0.004]) and len(level.vertices) == 4
    assert np.allclose(level.normals[0].reshape(3, 3), [0, 0, 1]) and np.allclose(level.normals[1, :3], [1, 0, 0])


@pytest.mark.parametrize("name, text", [("a.dae", "<x/>"), ("a.obj", "v 0 0 0\nf 1 2 3\n"), ("a.stl", "solid")])
def test_a_mesh_that_cannot_be_read_is_named_in_one_line(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(LfdError, match=rf"{name}: .*(expected .obj or .stl|cannot be read)"):
        levels_of_file(tmp_path / name, (1.0, 1.0, 1.0))


def test_an_unknown_quality_is_refused_in_one_line(tmp_path: Path, capfd):
    with pytest.raises(LfdError, match="picture quality is 'best'"):
        make_env("pybullet/Lift-v0", pictures="best")
    words = ["--env-kwargs", "pictures=best", "--device", "scripted", "--out", str(tmp_path / "d")]
    assert call(["record", "--env", "pybullet/Lift-v0", *words]) == 1
    assert "picture quality is 'best', expected one of: reference, fast" in capfd.readouterr().err
