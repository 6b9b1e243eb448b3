"""Fast pictures of MuJoCo: drawn by our own compiled code, compared with OpenGL's."""

from __future__ import annotations

import threading

import mujoco
import numpy as np
import pytest

from robot_lfd.envs import mujoco_scene, raster_shapes
from robot_lfd.envs.mujoco_pictures import Pictures
from robot_lfd.envs.mujoco_scene import Scene
from robot_lfd.envs.raster import Raster
from robot_lfd.envs.raster_shapes import Level, coarser
from robot_lfd.envs.registry import make_env

CAMERAS = ("agentview", "frontview", "robot0_eye_in_hand")
SHAPES = """<mujoco>
  <visual><headlight ambient=".2 .2 .2" diffuse=".5 .5 .5" specular=".3 .3 .3"/></visual>
  <asset>
    <texture name="sky" type="skybox" builtin="gradient" rgb1=".3 .5 .7" rgb2="0 0 0" width="64" height="384"/>
    <texture name="check" type="2d" builtin="checker" rgb1=".8 .7 .2" rgb2=".1 .2 .3" width="60" height="60"/>
    <texture name="cube" type="cube" builtin="gradient" rgb1="1 0 0" rgb2="0 0 1" width="32" height="192"/>
    <material name="floor" texture="check" texrepeat="1 1" texuniform="true" reflectance="0"/>
    <material name="cube" texture="cube" specular=".2" shininess=".3"/>
    <mesh name="wedge" vertex="0 0 0  .4 0 0  0 .4 0  .4 .4 0  0 0 .4  .4 0 .4"/>
  </asset>
  <worldbody>
    <light pos="1 -1 3" dir="-.3 .3 -1" type="directional" diffuse=".6 .6 .6" castshadow="false"/>
    <light pos="-1 1 2" dir=".3 -.3 -1" type="spot" cutoff="40" exponent="3" diffuse=".5 .2 .2" castshadow="false"/>
    <camera name="still" pos="2.2 -1.5 1.6" xyaxes=".56 .83 0 -.4 .27 .88" fovy="50"/>
    <geom type="plane" size="3 2 .1" material="floor" group="1"/>
    <geom type="box" size=".3 .2 .25" pos="-.8 .6 .25" material="cube" group="1"/>
    <geom type="box" size=".5 .5 .5" pos="0 0 .5" group="0"/>
    <body mocap="true" pos="0 -.7 .4"><geom type="box" size=".15 .15 .15" rgba="0 1 0 .4" group="2"/></body>
    <body pos=".2 .2 .5" euler="20 30 40"><freejoint/>
      <geom type="capsule" size=".12 .2" group="1" rgba=".2 .4 .9 1"/></body>
    <body pos="-.4 -.3 .35"><freejoint/><geom type="sphere" size=".25" group="1" rgba=".9 .5 .3 1"/></body>
    <body pos=".7 -.4 .3" euler="0 70 0"><freejoint/>
      <geom type="ellipsoid" size=".3 .1 .2" group="1" material="cube"/></body>
    <body pos=".5 .9 .4" euler="50 0 0"><freejoint/>
      <geom type="cylinder" size=".15 .3" group="1" rgba=".7 .7 .7 1"/></body>
    <body pos="-1 -.6 .3" euler="0 0 30"><freejoint/><geom type="mesh" mesh="wedge" group="1" rgba=".5 .8 .3 1"/></body>
    <body pos="0 0 1.1"><joint axis="0 0 1"/><geom size=".02" group="0" mass="1"/>
      <camera name="carried" pos="-.1 0 0" xyaxes="0 -1 0 .8 0 .6" fovy="75"/></body>
  </worldbody>
</mujoco>"""


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio of two pictures."""
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def simulated(xml: str = SHAPES) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """Returns a model and its first state."""
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.fixture(scope="module")
def lift():
    """Robosuite's Lift, half-way through an episode; its reference pictures come from its own Pictures."""
    env = make_env("robosuite/Lift-v0", pictures="fast").unwrapped
    yield env
    env.close()


def moved(env, seed: int, steps: int = 25) -> None:
    """Plays some steps of one long motion, so that the arm is somewhere else."""
    env.reset(seed=seed)
    action = np.random.default_rng(seed).uniform(-1, 1, env.action_space.shape).astype(np.float32)
    for _ in range(steps):
        env.step(action)


def reference(env, pictures: Pictures, camera: str, height_px: int = 84, width_px: int = 84) -> np.ndarray:
    """Returns the picture as robosuite itself draws it."""
    return pictures.draw(env._env.sim.model._model, env._env.sim.data._data, camera, height_px, width_px)


@pytest.mark.parametrize("camera", ["still", "carried"])
@pytest.mark.parametrize("size", [(84, 84), (60, 110)])
def test_every_kind_of_shape_light_and_texture_looks_as_opengl_draws_it(camera, size):
    model, data = simulated()
    usual, fast = (Pictures(quality) for quality in ("reference", "fast"))
    assert decibels(usual.draw(model, data, camera, *size), fast.draw(model, data, camera, *size)) > 30
    assert fast.name == "compiled"
    usual.close()


def test_the_arm_the_table_and_the_cube_look_as_robosuite_draws_them_in_any_state(lift):
    usual = Pictures("reference")
    for seed in (0, 1, 2):  # each with another size of the cube
        moved(lift, seed)
        for camera in CAMERAS:
            assert decibels(reference(lift, usual, camera), lift.render_camera(camera, 84, 84)) > 28, (seed, camera)
    assert decibels(reference(lift, usual, "agentview", 120, 160), lift.render_camera("agentview", 120, 160)) > 28
    assert lift.pictures_name == "compiled"
    usual.close()


def test_drawing_changes_no_bit_of_the_simulation(lift):
    moved(lift, 3)
    data = lift._env.sim.data._data
    names = ("qpos", "qvel", "qacc", "qacc_warmstart", "ctrl", "qfrc_applied", "xpos", "geom_xpos", "cam_xpos", "time")
    before = {name: np.array(getattr(data, name)) for name in names}
    for camera in CAMERAS:
        lift.render_camera(camera, 84, 84)
    assert all(before[name].tobytes() == np.array(getattr(data, name)).tobytes() for name in names)


def test_a_picture_depends_on_the_state_alone_not_on_what_was_drawn_or_closed_before(lift):
    moved(lift, 4)
    first = [lift.render_camera(camera, 84, 84) for camera in CAMERAS]
    others = [Pictures("reference") for _ in range(2)]
    for pictures in others:
        reference(lift, pictures, "frontview")
    others[0].close()
    moved(lift, 5)
    for camera in CAMERAS:
        lift.render_camera(camera, 40, 60)
    others[1].close()
    moved(lift, 4)
    for camera, picture in zip(CAMERAS, first, strict=True):
        assert np.array_equal(lift.render_camera(camera, 84, 84), picture)


def test_what_stands_still_is_drawn_anew_when_it_or_a_light_changes(lift):
    moved(lift, 6, steps=3)
    model, usual = lift._env.sim.model._model, Pictures("reference")
    before = lift.render_camera("frontview", 84, 84)
    light, table = model.light_diffuse.copy(), model.geom("table_visual").id
    size = model.geom_size[table].copy()
    try:
        model.light_diffuse[:] *= 0.3
        model.geom_size[table, :2] *= 0.7
        after = lift.render_camera("frontview", 84, 84)
        assert decibels(before, after) < 20
        assert decibels(reference(lift, usual, "frontview"), after) > 28
    finally:
        model.light_diffuse[:], model.geom_size[table] = light, size
    assert np.array_equal(lift.render_camera("frontview", 84, 84), before)
    usual.close()


def test_wiped_dirt_is_gone_from_the_picture_at_once():
    env = make_env("robosuite/Wipe-v0", pictures="fast").unwrapped
    env.reset(seed=0)
    model, usual = env._env.sim.model._model, Pictures("reference")
    dirt = [g for g in range(model.ngeom) if (model.geom(g).name or "").startswith("contact") and model.geom_group[g]]
    pictures = []
    for alpha in (1.0, 0.0):
        model.geom_rgba[dirt, 3] = alpha
        pictures.append(env.render_camera("agentview", 84, 84))
        assert decibels(reference(env, usual, "agentview"), pictures[-1]) > 28
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 60
    usual.close()
    env.close()


def test_two_threads_draw_what_one_draws():
    model, data = simulated()
    rasters = [Raster(Scene(model, data)) for _ in range(2)]
    alone = rasters[0].draw(1, 84, 84)
    drawn: list[list[np.ndarray]] = [[], []]
    work = [
        threading.Thread(target=lambda k=k: drawn[k].extend(rasters[k].draw(1, 84, 84) for _ in range(20)))
        for k in (0, 1)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(np.array_equal(alone, picture) for pictures in drawn for picture in pictures)


def test_what_cannot_be_drawn_so_goes_through_opengl_and_says_why():
    xml = SHAPES.replace("<asset>", '<asset><hfield name="hills" nrow="3" ncol="3" size="1 1 .2 .1"/>')
    xml = xml.replace("<worldbody>", '<worldbody><geom type="hfield" hfield="hills" group="1"/>')
    model, data = simulated(xml)
    fast = Pictures("fast")
    assert fast.draw(model, data, "still", 84, 84).std() > 10
    assert fast.name == "OpenGL, fast (it has a hfield)"
    fast.close()


def bumpy() -> Level:
    """Returns a ball of 1,520 triangles."""
    from robot_lfd.envs.raster_shapes import _ball

    return _ball(40, 20, False)


def test_coarser_meshes_are_kept_on_the_disk_and_made_again_where_that_is_spoilt(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("robot_lfd.envs.raster_shapes._KNOWN", known := {})
    made = coarser(bumpy())
    assert [len(level.triangles) for level in made] == sorted({len(level.triangles) for level in made}, reverse=True)
    assert len(made[-1].triangles) < 60
    for level in made[:3]:  # what is left is still a ball whose normals point outwards
        assert np.abs(np.linalg.norm(level.vertices[:, :3], axis=1) - 1).max() < 0.1
        corners = level.vertices[level.triangles, :3].reshape(-1, 3)
        assert (np.einsum("nx,nx->n", corners, level.normals.reshape(-1, 3)) > 0.5).mean() > 0.95
    (file,) = tmp_path.rglob("levels.npz")
    stamp = file.stat().st_mtime_ns
    for spoil, again in ((None, False), (b"", True), (file.read_bytes()[:-1] + b"\0", True)):
        known.clear()
        if spoil is not None:
            file.write_bytes(spoil)
        found = coarser(bumpy())
        assert all(
            np.array_equal(a, b) for x, y in zip(made, found, strict=True) for a, b in zip(x[:3], y[:3], strict=True)
        )
        assert (file.stat().st_mtime_ns != stamp) == again
        stamp = file.stat().st_mtime_ns


def test_a_cache_folder_that_takes_no_files_is_no_obstacle(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr("robot_lfd.envs.raster_shapes._KNOWN", {})
    assert len(coarser(bumpy())) > 2


def ball(count: int) -> Level:
    """Returns triangles at random on a ball."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vertices = np.concatenate([points, np.zeros((count, 1), np.float32)], 1)
    triangles = rng.integers(count, size=(4 * count, 3)).astype(np.int32)
    return Level(vertices, triangles, rng.normal(size=(4 * count, 9)).astype(np.float32), 0.1)


def test_a_mesh_in_pieces_has_the_same_triangles():
    whole = ball(500)
    cut, sizes = raster_shapes._in_pieces(whole)
    assert sizes[:, 1].max() <= raster_shapes.PIECE and sizes.sum(0).tolist() == [len(cut.vertices), 2000]
    rows = [
        np.concatenate([level.vertices[level.triangles, :3].reshape(-1, 9), level.normals], 1) for level in (whole, cut)
    ]
    assert sorted(map(tuple, rows[0])) == sorted(map(tuple, rows[1]))
    for end, (vertices, faces) in zip(np.cumsum(sizes, 0), sizes, strict=True):
        used = cut.triangles[end[1] - faces : end[1]]
        assert used.min() >= end[0] - vertices and used.max() < end[0]


def test_pieces_that_are_not_drawn_are_not_seen(lift, monkeypatch):
    data, model = lift._env.sim.data._data, lift._env.sim.model._model
    moved(lift, 2)
    lift.render_camera("agentview", 84, 84)
    cut = lift._pictures._raster
    monkeypatch.setattr(raster_shapes, "PIECE", 10**9)
    monkeypatch.setattr(mujoco_scene, "_SHARED", {})
    whole = Raster(Scene(model, data))
    for number in range(model.ncam):
        differs = cut.draw(number, 84, 84) != whole.draw(number, 84, 84)
        assert differs.mean() < 1e-3, "where two triangles are equally near, the first one stays"
        assert cut.triangles <= whole.triangles
    hand = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "robot0_eye_in_hand")
    for each in (cut, whole):
        each.draw(hand, 84, 84)
    assert 2 * cut.triangles < whole.triangles, "most of the hand is beside the picture"
