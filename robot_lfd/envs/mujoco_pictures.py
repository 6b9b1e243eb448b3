"""Pictures of a MuJoCo simulation without a screen: a GL context is made at the first picture that needs one."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import atexit
import ctypes
import ctypes.util
import importlib
import logging
import os
import weakref
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from robot_lfd.envs.notice import notice
from robot_lfd.errors import LfdError

if TYPE_CHECKING:
    from robot_lfd.envs.raster import Raster

QUALITIES = ("reference", "fast")
_MAX_GEOMS = 10_000
_COLLISION_GROUP = 0
_EGL_PLATFORM_DEVICE_EXT = 0x313F
_COMPILING = "preparing fast pictures, once (coarse meshes and compiled code); later starts take them from the disk"
_LOG = logging.getLogger(__name__)


class Pictures:
    """Draws the cameras of one model, upright RGB.

    Quality "reference" is the picture as the model has it, drawn by OpenGL. "fast" is drawn by compiled code of our own
    (Raster) without shadows and reflections, from coarser meshes: at 84 x 84 about 30 dB from the reference. A model
    that it cannot draw goes through OpenGL, there too without reflections, shadows and multi-sampling; `name` says so.

    OpenGL has its own context here, made current for every picture: another simulation's window or renderer in the
    same process can then not leave its frame in ours. `forget` must be called when the model is compiled anew.

    Attributes:
        name: how the last picture was drawn: "OpenGL", "compiled", or "OpenGL, fast (why it is not compiled)".
    """

    def __init__(self, quality: str = "reference") -> None:
        if quality not in QUALITIES:
            raise LfdError(f"picture quality is '{quality}', expected one of: {', '.join(QUALITIES)}")
        self._fast, self.name = quality == "fast", "OpenGL"
        self._raster: Raster | None = None
        self._gl: Any = None
        self._context: mujoco.MjrContext | None = None
        self._model: mujoco.MjModel | None = None
        self._seen: mujoco.MjModel | None = None
        self._option = mujoco.MjvOption()
        self._option.geomgroup[_COLLISION_GROUP] = 0

    def draw(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera: str, height_px: int, width_px: int
    ) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8.

        Raises:
            LfdError: neither libEGL nor libOSMesa gives a context on this machine.
        """
        number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if self._fast and self._rasterises(model, data):
            return self._raster.draw(number, height_px, width_px)  # type: ignore[union-attr]
        self._prepare(model, height_px, width_px)
        camera_view = mujoco.MjvCamera()
        camera_view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera_view.fixedcamid = number
        every = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, self._option, None, camera_view, every, self._scene)
        frame = mujoco.MjrRect(0, 0, width_px, height_px)
        picture = np.empty((height_px, width_px, 3), np.uint8)
        mujoco.mjr_render(frame, self._scene, self._context)
        mujoco.mjr_readPixels(picture, None, frame, self._context)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's first row is the lowest

    def _rasterises(self, model: mujoco.MjModel, data: mujoco.MjData) -> bool:
        """Returns whether our own code draws this model; looked at once, until `forget`."""
        if self._seen is not model:
            self._seen, self._raster = model, None
            with notice(_COMPILING):
                self._raster, why = _raster_of(model, data)
                if self._raster and model.ncam:
                    self._raster.draw(0, 2, 2)  # compiles, where no process has yet
            self.name = f"OpenGL, fast ({why})" if why else "compiled"
            if why:
                _LOG.info("pictures are drawn by OpenGL: %s", why)
        return self._raster is not None

    def _prepare(self, model: mujoco.MjModel, height_px: int, width_px: int) -> None:
        if self._gl is None:
            self._gl = _gl_context()
            _OPEN.add(self)
        self._gl.make_current()
        fits = self._context is not None and self._context.offHeight >= height_px
        if fits and self._context.offWidth >= width_px and self._model is model:  # type: ignore[union-attr]
            return
        size = model.vis.global_
        size.offheight, size.offwidth = max(size.offheight, height_px), max(size.offwidth, width_px)
        self._drop_context()
        samples = model.vis.quality.offsamples
        model.vis.quality.offsamples = 0 if self._fast else samples
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
        model.vis.quality.offsamples = samples
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
        if self._fast:
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._model = model

    def forget(self) -> None:
        """Drops what was made for the last model."""
        self._seen = self._raster = None
        if self._gl is not None and self._context is not None:
            self._gl.make_current()
            self._drop_context()
        self._model = None

    def _drop_context(self) -> None:
        if self._context is not None:
            self._context.free()
            self._context = None

    def close(self) -> None:
        """Gives the GL context back."""
        self.forget()
        if self._gl is not None:
            self._gl.free()
            self._gl = None


def _raster_of(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[Raster | None, str]:
    """Returns what draws this model in compiled code; None and the reason where it cannot be drawn so."""
    try:  # loaded late: numba and scipy take a second, and only fast pictures need them
        from robot_lfd.envs.mujoco_scene import Scene
        from robot_lfd.envs.raster import Raster
    except (ImportError, OSError) as error:
        return None, f"{type(error).__name__}: {error}"
    scene = Scene(model, data)
    return (None, scene.obstacle) if scene.obstacle else (Raster(scene), "")


_OPEN: weakref.WeakSet[Pictures] = weakref.WeakSet()


def _close_all() -> None:
    for pictures in list(_OPEN):
        pictures.close()


def _gl_context() -> Any:
    """Returns an offscreen GL context: of MUJOCO_GL's library where that works, otherwise of another one that does."""
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    works = {"egl": _egl_works, "osmesa": _osmesa_works, "glfw": lambda: bool(os.environ.get("DISPLAY"))}
    for backend in sorted(works, key=lambda name: name != asked):
        if works[backend]():  # asked before the import: PyOpenGL keeps for good the first platform that it loads
            context = importlib.import_module(f"mujoco.{backend}").GLContext(64, 64)
            context.make_current()
            atexit.register(_close_all)  # after MuJoCo's own hook, so run before it: it ends the display
            return context
    raise LfdError(
        "no picture can be drawn here: neither libEGL (with a device) nor libOSMesa was found; "
        "get one with: apt-get install libegl1 libgl1-mesa-dri   or: apt-get install libosmesa6"
    )


def _egl_works() -> bool:
    """Returns whether libEGL is there and one of its devices opens, as MuJoCo will open it."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    found = [egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT")]
    if not all(found):
        return False
    pointer, integer, boolean = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
    query = ctypes.CFUNCTYPE(boolean, integer, pointer, ctypes.POINTER(integer))(found[0])
    display_of = ctypes.CFUNCTYPE(pointer, integer, pointer, pointer)(found[1])
    egl.eglInitialize.argtypes = (pointer, pointer, pointer)
    devices, count = (pointer * 16)(), integer(0)
    query(16, ctypes.cast(devices, pointer), ctypes.byref(count))
    displays = [display_of(_EGL_PLATFORM_DEVICE_EXT, devices[i], None) for i in range(count.value)]
    return any(display and egl.eglInitialize(display, None, None) for display in displays)


def _osmesa_works() -> bool:
    return ctypes.util.find_library("OSMesa") is not None
