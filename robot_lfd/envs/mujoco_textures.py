"""A MuJoCo model's textures as one array of pixels, each in ever smaller sizes."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import hashlib
import weakref

import cv2
import mujoco
import numpy as np

LARGEST_PX = 512  # small pictures never show more
_SRGB = 2  # OpenGL reads such a texture as linear light, and MuJoCo shows that as it is
_STEPS = np.arange(256) / 255.0
_LINEAR = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4)
_LINEAR = np.rint(255.0 * _LINEAR).astype(np.uint8)


class Textures:
    """The textures of one model.

    Attributes:
        pixels: (N,) uint8, red green blue of every texel of every size.
        table: (M, 3) int64: where a size begins in `pixels`, its width, its height; the largest first.
        rows: by texture: its first row in `table`, how many sizes a side has, whether it has six sides.
        flat: by texture, whether it is one picture, not the inside of a cube. sky: the first row of `rows` that is one.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.rows = np.zeros((model.ntex, 3), np.int64)
        self.flat = model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_2D)
        skies = np.flatnonzero(model.tex_type == int(mujoco.mjtTexture.mjTEXTURE_SKYBOX))
        self.sky = int(skies[0]) if len(skies) else None
        table: list[tuple[int, int, int]] = []
        pixels: list[np.ndarray] = []
        used = {int(t) for t in model.mat_texid[:, _rgb_role()]} | set(skies[:1].tolist())
        for number in sorted(used - {-1}):
            sides = _sides(model, number)
            self.rows[number] = len(table), len(_sizes(sides[0])), len(sides) == 6
            for size in (size for side in sides for size in _sizes(side)):
                table.append((sum(p.size for p in pixels), size.shape[1], size.shape[0]))
                pixels.append(size.ravel())
        self.table = np.array(table or [(0, 1, 1)], np.int64)
        self.pixels = np.concatenate(pixels or [np.zeros(3, np.uint8)])


_SHARED: weakref.WeakValueDictionary[str, Textures] = weakref.WeakValueDictionary()


def textures_of(model: mujoco.MjModel) -> Textures:
    """Returns the textures of a model, the same object for models that have the same."""
    parts = (model.tex_data, model.tex_type, model.tex_width, model.tex_height, model.tex_nchannel, model.mat_texid)
    content = hashlib.sha256(b"".join(part.tobytes() for part in (*parts, _colour_spaces(model)))).hexdigest()
    if (known := _SHARED.get(content)) is None:
        _SHARED[content] = known = Textures(model)
    return known


def _rgb_role() -> int:
    return int(mujoco.mjtTextureRole.mjTEXROLE_RGB)


def _colour_spaces(model: mujoco.MjModel) -> np.ndarray:
    return getattr(model, "tex_colorspace", np.zeros(model.ntex, np.int32))


def _sides(model: mujoco.MjModel, number: int) -> list[np.ndarray]:
    """Returns the pictures (H, W, 3) of a texture: six of a cube, unless all are the same, else one."""
    width, height, channels = model.tex_width[number], model.tex_height[number], model.tex_nchannel[number]
    start = model.tex_adr[number]
    image = model.tex_data[start : start + width * height * channels].reshape(height, width, channels)
    image = image[..., :3] if channels >= 3 else np.repeat(image[..., :1], 3, 2)
    if int(_colour_spaces(model)[number]) == _SRGB:
        image = _LINEAR[image]
    return np.split(image, 6) if height == 6 * width else [image]


def _sizes(image: np.ndarray) -> list[np.ndarray]:
    """Returns the image in ever smaller sizes, made as Mesa makes them: between texels, not from all of them."""
    sizes = [np.ascontiguousarray(image)]
    while max(sizes[-1].shape[:2]) > 1:
        height, width = (max(1, n // 2) for n in sizes[-1].shape[:2])
        sizes.append(cv2.resize(sizes[-1], (width, height), interpolation=cv2.INTER_LINEAR))
    return [size for size in sizes if max(size.shape[:2]) <= LARGEST_PX]
