"""What of a MuJoCo model is drawn, as flat arrays for the compiled rasteriser."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import weakref

import mujoco
import numpy as np

from robot_lfd.envs import raster_faces as faces
from robot_lfd.envs.raster_shapes import Level, coarser, content_of, mesh, primitive
from robot_lfd.envs.raster_textures import textures_of

_VISIBLE_GROUPS = (1, 2)  # of geoms: 0 is robosuite's for collision, MuJoCo hides those above 2
_SMALL_M = 0.06  # still things below this size are drawn with those that move: Wipe's dirt vanishes
_SEEN_THROUGH = 0.9  # glints of less than this share of a step of 255 are not computed


class Scene:
    """The shapes of a model, geoms and then sites, and everything about them that does not change.

    Attributes:
        kinds: (S,) MuJoCo's types. names: (S,) numbers of geoms or, where `is_site`, sites. materials: (S,) or -1.
        still, moving: which shapes never move in an episode and are large and opaque, and which are the others.
        fixed: by camera, whether it stands still.
        obstacle: why this model cannot be drawn here; "" where it can.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        geoms = np.flatnonzero(np.isin(model.geom_group, _VISIBLE_GROUPS))
        sites = np.flatnonzero(model.site_group <= max(_VISIBLE_GROUPS))
        self.kinds = np.concatenate([model.geom_type[geoms], model.site_type[sites]]).astype(np.int64)
        self.names = np.concatenate([geoms, sites]).astype(np.int64)
        self.is_site = np.arange(len(self.names)) >= len(geoms)
        self.materials = np.concatenate([model.geom_matid[geoms], model.site_matid[sites]]).astype(np.int64)
        self.obstacle = _obstacle(model, self.kinds, geoms)
        if self.obstacle:
            return
        meshes = np.where(self.kinds == faces.MESH, np.append(model.geom_dataid[geoms], [-1] * len(sites)), -1)
        images = np.where(self.materials >= 0, model.mat_texid[self.materials, 1], -1)
        brings = np.array(
            [m >= 0 and t >= 0 and model.mesh_texcoordadr[m] >= 0 for m, t in zip(meshes, images, strict=True)], bool
        )
        self.shapes = _levels_of(model, self.kinds, meshes, {int(m) for m in meshes[brings]})
        keys = [_key(kind, number) for kind, number in zip(self.kinds, meshes, strict=True)]
        self.level_from = np.array([self.shapes.levels[k][0] for k in keys], np.int64)
        self.level_count = np.array([self.shapes.levels[k][1] for k in keys], np.int64)
        self.radii = np.array([self.shapes.radii.get(k, -1.0) for k in keys], np.float32)
        self.boxes = np.array([self.shapes.boxes.get(k, (0.0,) * 6) for k in keys], np.float32)
        self._add_textures(model, meshes, images, brings)
        self._add_materials(model)
        self._sort_out(model, geoms, sites)
        self.near = np.float32(model.vis.map.znear * model.stat.extent)

    def _add_textures(self, model, meshes, images, brings) -> None:
        self.images = textures_of(model)
        self.textures = np.zeros((len(self.kinds), 4), np.int64)
        self.place_from, places, total = np.zeros(len(self.kinds), np.int64), [], 0
        for s in np.flatnonzero(images >= 0):
            flat = bool(self.images.flat[images[s]])
            if brings[s] and not flat:
                continue  # OpenGL finds no picture there
            mode = faces.UV if brings[s] else faces.FLAT if flat else faces.CUBE
            self.textures[s] = mode, *self.images.rows[images[s]]
            if mode == faces.UV:
                first = self.shapes.level_faces[self.level_from[s], 0]
                self.place_from[s] = total - first
                places.append(_places(model, meshes[s]))
                total += len(places[-1])
        self.places = np.concatenate([*places, np.zeros((1, 6))]).astype(np.float32)
        self.sky = np.zeros(4, np.int64)
        if self.images.sky is not None:
            self.sky[:] = faces.CUBE, *self.images.rows[self.images.sky]

    def _add_materials(self, model) -> None:
        count = len(self.kinds)
        shine = np.tile([0.0, 0.5, 64.0], (count, 1))  # emission, specular, shininess of what has no material
        self.repeat, self.uniform = np.zeros((count, 2)), np.zeros(count, np.bool_)
        for s in np.flatnonzero(self.materials >= 0):
            m = self.materials[s]
            shine[s] = model.mat_emission[m], model.mat_specular[m], 128.0 * model.mat_shininess[m]
            self.repeat[s], self.uniform[s] = model.mat_texrepeat[m], model.mat_texuniform[m]
        least = np.where(shine[:, 2] > 0, (_SEEN_THROUGH / 255.0) ** (1.0 / np.maximum(shine[:, 2], 1e-9)), 0.0)
        self.shine = np.concatenate([shine, least[:, None]], 1).astype(np.float32)

    def _sort_out(self, model, geoms, sites) -> None:
        bodies = np.concatenate([model.geom_bodyid[geoms], model.site_bodyid[sites]])
        alphas = np.concatenate([model.geom_rgba[geoms, 3], model.site_rgba[sites, 3]])
        sizes = np.linalg.norm(np.concatenate([model.geom_size[geoms], model.site_size[sites]]), axis=1)
        small = (self.kinds != faces.MESH) & (sizes < _SMALL_M)
        still = _stands(model, bodies) & (alphas >= faces.OPAQUE) & ~small & ~self.is_site
        self.all = np.arange(len(self.kinds))
        self.still, self.moving = np.flatnonzero(still), np.flatnonzero(~still)
        tracks = model.cam_mode != int(mujoco.mjtCamLight.mjCAMLIGHT_FIXED)
        self.fixed = _stands(model, model.cam_bodyid) & ~tracks


class _Shapes:
    """Every level of every different shape, in single arrays."""

    def __init__(self, levels_of: dict[tuple[int, int], list[Level]]) -> None:
        flat = [level for levels in levels_of.values() for level in levels]
        at, self.levels, self.radii, self.boxes = 0, {}, {}, {}
        for key, levels in levels_of.items():
            self.levels[key] = (at, len(levels))
            at += len(levels)
            if key[0] == faces.MESH:
                points = levels[0].vertices[:, :3]
                low, high = points.min(0), points.max(0)
                self.radii[key] = float(np.linalg.norm(points, axis=1).max())
                self.boxes[key] = (*(low + high) / 2, *(high - low) / 2 + 1e-3)
        vertex_from = np.cumsum([0, *(len(level.vertices) for level in flat)])
        face_from = np.cumsum([0, *(len(level.triangles) for level in flat)])
        self.vertices = np.concatenate([level.vertices for level in flat])
        self.triangles = np.concatenate([t.triangles + v for t, v in zip(flat, vertex_from[:-1], strict=True)]).astype(
            np.int32
        )
        self.normals = np.concatenate([level.normals for level in flat])
        self.level_errors = np.array([level.error for level in flat], np.float32)
        self.level_vertices = np.stack([vertex_from[:-1], np.diff(vertex_from)], 1)
        self.level_faces = np.stack([face_from[:-1], np.diff(face_from)], 1)
        self.most_vertices = int(self.level_vertices[:, 1].max())


_SHARED: weakref.WeakValueDictionary[tuple, _Shapes] = weakref.WeakValueDictionary()


def _levels_of(model, kinds: np.ndarray, meshes: np.ndarray, textured: set[int]) -> _Shapes:
    """Returns the packed shapes of a model; models with the same meshes share them."""
    fine = {int(m): mesh(model, int(m)) for m in np.unique(meshes[meshes >= 0])}
    quality = (model.vis.quality.numslices, model.vis.quality.numstacks)
    order = tuple(dict.fromkeys(_key(kind, number) for kind, number in zip(kinds, meshes, strict=True)))
    content = (order, quality, tuple(sorted(textured)), tuple(content_of(fine[m]) for m in sorted(fine)))
    if (known := _SHARED.get(content)) is None:
        levels: dict[tuple[int, int], list[Level]] = {}
        for kind, number in order:
            if number < 0:
                levels[kind, number] = primitive(kind, *quality)
            else:
                levels[kind, number] = [fine[number], *(() if number in textured else coarser(fine[number]))]
        _SHARED[content] = known = _Shapes(levels)
    return known


def _key(kind: int, number: int) -> tuple[int, int]:
    return int(kind), int(number) if kind == faces.MESH else -1


def _places(model, number: int) -> np.ndarray:
    """Returns the places on a texture of a mesh's corners, (F, 6)."""
    rows = slice(model.mesh_faceadr[number], model.mesh_faceadr[number] + model.mesh_facenum[number])
    return model.mesh_texcoord[model.mesh_texcoordadr[number] + model.mesh_facetexcoord[rows]].reshape(-1, 6)


def _stands(model, bodies: np.ndarray) -> np.ndarray:
    """Returns which bodies neither move by themselves nor are moved from outside."""
    return (model.body_weldid[bodies] == 0) & (model.body_mocapid[model.body_rootid[bodies]] < 0)


def _obstacle(model, kinds: np.ndarray, geoms: np.ndarray) -> str:
    known = (faces.PLANE, faces.SPHERE, faces.CAPSULE, faces.ELLIPSOID, faces.CYLINDER, faces.BOX, faces.MESH)
    others = sorted({mujoco.mjtGeom(int(k)).name for k in kinds if k not in known})
    if others:
        return f"it has a {others[0].removeprefix('mjGEOM_').lower()}"
    if model.nskin or model.nflex or model.ntendon:
        return "it has skins, flexes or tendons"
    planes = [g for g in geoms if model.geom_type[g] == faces.PLANE and not model.geom_size[g, :2].all()]
    if planes:
        return "it has an infinite plane"
    special = [getattr(model, name, None) for name in ("cam_orthographic", "cam_projection")]
    if model.cam_sensorsize.any() or any(s is not None and s.any() for s in special):
        return "a camera has a lens of its own"
    if len(kinds) >= 1 << (31 - faces.FACE_BITS):
        return f"it has {len(kinds)} shapes"
    return ""
