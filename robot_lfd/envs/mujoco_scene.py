"""A MuJoCo simulation as a scene of the rasteriser: what of its model is drawn, and how it looks now."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import weakref

import mujoco
import numpy as np

from robot_lfd.envs import raster_faces as faces
from robot_lfd.envs.mujoco_look import arrange
from robot_lfd.envs.mujoco_textures import textures_of
from robot_lfd.envs.raster import Drawn, Eye, Lens, Seen
from robot_lfd.envs.raster_light import resolve
from robot_lfd.envs.raster_shapes import Key, Level, Shapes, coarser, content_of, flat_normals, primitive

_VISIBLE_GROUPS = (1, 2)  # of geoms: 0 is robosuite's for collision, MuJoCo hides those above 2
_SMALL_M = 0.06  # still things below this size are drawn with those that move: Wipe's dirt vanishes
_DETAIL_PX = np.float32(0.45)  # by 0.6 the worst states lose another 0.5 dB (LOG.md, 2026-11-30)
_NOTHING, _NO_SAMPLES = np.zeros((1, 1, 3), np.uint8), np.zeros((0, 0, 3), np.uint8)
_FAR = np.float32(1e30)  # metres; robosuite is nowhere so large that its far plane were seen
_SEEN_THROUGH = 0.9  # glints of less than this share of a step of 255 are not computed


class Scene:
    """The shapes of a model, geoms and then sites; a Scene of raster.py.

    Attributes:
        names: (S,) numbers of geoms or, where `is_site`, sites. materials: (S,) or -1.
        moving: what moves in an episode, or is small or transparent.
        obstacle: why this model cannot be drawn here; "" where it can.
    """

    samples, stagger = 2, np.float32(-0.25)  # where Mesa has four samples of a pixel
    aside = np.zeros(2, np.float32)

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
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
        self._model, self._data, self._near = model, data, np.float32(model.vis.map.znear * model.stat.extent)
        self._head, self._view = np.zeros(10), np.zeros(12)
        geoms_now = (data.geom_xpos, data.geom_xmat, model.geom_size, model.geom_rgba)
        sites_now = (data.site_xpos, data.site_xmat, model.site_size, model.site_rgba)
        suns = (
            data.light_xpos, data.light_xdir, model.light_active, model.light_ambient, model.light_diffuse,
            model.light_specular, model.light_type.astype(np.int64), model.light_attenuation, model.light_cutoff,
            model.light_exponent,
        )  # fmt: skip
        self._arranging = (
            suns, geoms_now, sites_now, model.mat_rgba, self.kinds, self.names, self.is_site, self.materials,
            self.repeat, self.uniform, self.textures,
        )  # fmt: skip

    def look(self, camera: int, seen: Seen) -> Eye:
        """Fills `seen` from the simulation's arrays, and returns the camera of that number."""
        head, view = self._model.vis.headlight, self._view
        view[:3], view[3:] = self._data.cam_xpos[camera], self._data.cam_xmat[camera]
        self._head[0], self._head[1:4] = head.active, head.ambient
        self._head[4:7], self._head[7:] = head.diffuse, head.specular
        lights = arrange(view, self._head, *self._arranging, *seen)
        tangent = float(np.tan(np.radians(self._model.cam_fovy[camera]) / 2.0))
        return Eye(view, tangent, self._near, _FAR, bool(self._fixed[camera]), lights, _DETAIL_PX)

    def paint(
        self, seen: Seen, lens: Lens, drawn: Drawn, behind: np.ndarray | None, picture: np.ndarray,
        is_veil: bool = False, samples: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Writes pixels as OpenGL's fixed pipeline has them; see Scene in raster.py."""
        shapes, (nearest, owner, bounds, _) = self.shapes, drawn
        resolve(
            nearest, owner, bounds, lens.focal, np.float32(lens.grid), lens.eye.view,
            _NOTHING if behind is None else behind, behind is not None, is_veil, self.sky, shapes.vertices,
            shapes.triangles, shapes.normals, shapes.facets, self.places, self.place_from, seen.scales, seen.colours,
            seen.poses, seen.lights[: lens.eye.lights], self.shine, self.textures, seen.repeats, self.images.pixels,
            self.images.table, self.stagger, picture, _NO_SAMPLES if samples is None else samples,
        )  # fmt: skip

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
        self._fixed = _stands(model, model.cam_bodyid) & ~tracks


_SHARED: weakref.WeakValueDictionary[tuple, Shapes] = weakref.WeakValueDictionary()
_LAST: list[Shapes] = []  # the last one: Wipe compiles its world at each reset, with the same meshes


def _levels_of(model, kinds: np.ndarray, meshes: np.ndarray, textured: set[int]) -> Shapes:
    """Returns the packed shapes of a model; models with the same meshes share them."""
    fine = {int(m): _mesh(model, int(m)) for m in np.unique(meshes[meshes >= 0])}
    quality = (model.vis.quality.numslices, model.vis.quality.numstacks)
    order = tuple(dict.fromkeys(_key(kind, number) for kind, number in zip(kinds, meshes, strict=True)))
    content = (order, quality, tuple(sorted(textured)), tuple(content_of(fine[m]) for m in sorted(fine)))
    if (known := _SHARED.get(content)) is None:
        levels: dict[Key, list[Level]] = {}
        for kind, number in order:
            if number < 0:
                levels[kind, number] = primitive(kind, *quality)
            else:
                levels[kind, number] = [fine[number], *(() if number in textured else coarser(fine[number]))]
        _SHARED[content] = known = Shapes(levels, {key for key in order if key[1] in textured})
    _LAST[:] = [known]
    return known


def _key(kind: int, number: int) -> Key:
    return int(kind), int(number) if kind == faces.MESH else -1


def _mesh(model: mujoco.MjModel, number: int) -> Level:
    """Returns a mesh as it is compiled."""
    first, count = model.mesh_vertadr[number], model.mesh_vertnum[number]
    vertices = np.zeros((count, 4), np.float32)
    vertices[:, :3] = model.mesh_vert[first : first + count]
    faces = slice(model.mesh_faceadr[number], model.mesh_faceadr[number] + model.mesh_facenum[number])
    triangles = model.mesh_face[faces].astype(np.int32)
    normals = model.mesh_normal[model.mesh_normaladr[number] + model.mesh_facenormal[faces]]  # (F, 3, 3)
    if model.mesh_texcoordadr[number] < 0:  # as MuJoCo has it: a smooth normal that leans too far is not taken
        flat = flat_normals(vertices[triangles, :3])[:, None]
        normals = np.where((normals * flat).sum(2, keepdims=True) < 0.8, flat, normals)
    return Level(vertices, triangles, normals.reshape(-1, 9).astype(np.float32), 0.0)


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
