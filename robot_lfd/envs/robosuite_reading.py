"""Numbers read out of MuJoCo's arrays by one compiled call: what a list of readings asks for, as float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from robot_lfd.envs.kept import Kept

BODY, SITE, GEOM, INERTIA, OWN = range(5)  # whose position: of a body's frame or its inertia; or what Python says
_POINT, _BETWEEN, _HEIGHT, _COLUMNS, _TURN, _YAW, _QUAT, _VELOCITY, _QPOS, _QVEL, _SLIDES, _PADS, _TOLD = range(13)


@dataclass(frozen=True)
class Point:
    """A point in the world, or the frame of what is there.

    Attributes:
        of: BODY, SITE, GEOM, INERTIA with its `number` in the model; or OWN, then it is always `fixed`, (3,), or what
            `compute` returns.
    """

    of: int
    number: int = -1
    compute: Callable[[], Any] | None = None
    fixed: np.ndarray | None = None


class _Arrays(NamedTuple):
    """MuJoCo's own arrays; `told` is what Python says before each reading; `rows` what is read: see Readings."""

    qpos: np.ndarray
    qvel: np.ndarray
    xpos: np.ndarray
    xmat: np.ndarray
    xquat: np.ndarray
    xipos: np.ndarray
    site_xpos: np.ndarray
    site_xmat: np.ndarray
    geom_xpos: np.ndarray
    cvel: np.ndarray
    subtree_com: np.ndarray
    root: np.ndarray
    told: np.ndarray
    rows: np.ndarray
    floor: float


class Readings:
    """A list of named readings of one simulation; each is a few numbers, and all are read at once.

    Args:
        floor: from where heights are measured, metres.
    """

    def __init__(self, model: Any, data: Any, floor: float) -> None:
        self._model, self._data, self._floor = model, data, floor
        self._rows: list[list[int]] = []
        self._spans: list[tuple[str, int, int]] = []
        self._told: list[float] = []
        self._computed: list[tuple[int, int, Callable[[], Any]]] = []
        self._size = 0
        self._kept: Kept | None = None

    def point(self, key: str, point: Point) -> None:
        """Reads where a point is, (3,)."""
        self._add(key, 3, _POINT, *self._place(point))

    def between(self, key: str, start: Point, end: Point) -> None:
        """Reads the way from one point to another, (3,)."""
        self._add(key, 3, _BETWEEN, *self._place(start), *self._place(end))

    def height(self, key: str, point: Point) -> None:
        """Reads how high a point is above the floor, (1,)."""
        self._add(key, 1, _HEIGHT, *self._place(point))

    def columns(self, key: str, of: Point) -> None:
        """Reads the first two columns of a rotation, one after the other, (6,)."""
        self._add(key, 6, _COLUMNS, *self._place(of))

    def turn(self, key: str, base: Point, of: Point) -> None:
        """Reads the same of a rotation that is seen from another one, (6,)."""
        self._add(key, 6, _TURN, *self._place(base), *self._place(of))

    def yaw(self, key: str, base: Point, of: Point) -> None:
        """Reads cos and sin of four times a cube's yaw, seen from another frame, (2,)."""
        self._add(key, 2, _YAW, *self._place(base), *self._place(of))

    def quaternion(self, key: str, body: int) -> None:
        """Reads a body's orientation, xyzw, (4,)."""
        self._add(key, 4, _QUAT, BODY, body)

    def velocity(self, key: str, of: Point, body: int) -> None:
        """Reads the velocity of a point that is fixed to a body, in the world, (3,)."""
        self._add(key, 3, _VELOCITY, *self._place(of), body)

    def positions(self, key: str, addresses: Any) -> None:
        """Reads joints' positions, (J,)."""
        self._add(key, len(addresses), _QPOS, self._keep(addresses))

    def velocities(self, key: str, addresses: Any) -> None:
        """Reads joints' velocities, (J,)."""
        self._add(key, len(addresses), _QVEL, self._keep(addresses))

    def slides(self, key: str, rate_key: str, qpos: Any, qvel: Any, signs: np.ndarray, closed: float) -> None:
        """Reads how far two sliding fingers are apart, (1,), and its rate, (1,)."""
        self._add(key, 1, _SLIDES, self._keep([*signs, *qpos, closed]), 0)
        self._add(rate_key, 1, _SLIDES, self._keep([*signs, *qvel, 0.0]), 1)

    def pads(self, key: str, left: int, right: int) -> None:
        """Reads how fast two geoms come apart, (1,)."""
        bodies = [int(self._model.geom_bodyid[geom]) for geom in (left, right)]
        self._add(key, 1, _PADS, left, right, *bodies)

    def computed(self, key: str, size: int, compute: Callable[[], Any]) -> None:
        """Reads what Python computes, (size,)."""
        self._add(key, size, _TOLD, self._tell(size, compute))

    def constant(self, key: str, numbers: Any) -> None:
        """Reads the same numbers each time."""
        self._add(key, len(numbers), _TOLD, self._keep(numbers))

    def read(self) -> dict[str, np.ndarray]:
        """Returns every reading, float32, as it is now; each call its own arrays."""
        if self._kept is None:
            self._keep_arrays()
        for first, end, compute in self._computed:
            self._arrays.told[first:end] = compute()
        out = np.empty(self._size, np.float32)
        _read(self._kept, out)
        return {key: out[first:end] for key, first, end in self._spans}

    def _keep_arrays(self) -> None:
        d = self._data
        self._arrays = _Arrays(
            d.qpos, d.qvel, d.xpos, d.xmat, d.xquat, d.xipos, d.site_xpos, d.site_xmat, d.geom_xpos, d.cvel,
            d.subtree_com, np.array(self._model.body_rootid, np.intp), np.array(self._told),
            np.array(self._rows, np.intp), self._floor,
        )  # fmt: skip
        self._kept = Kept(self._arrays)

    def _add(self, key: str, size: int, what: int, *numbers: int) -> None:
        self._rows.append([what, self._size, size, *numbers, *[0] * (4 - len(numbers))])
        self._spans.append((key, self._size, self._size + size))
        self._size += size

    def _place(self, point: Point) -> tuple[int, int]:
        if point.of != OWN:
            return point.of, point.number
        return OWN, self._tell(3, point.compute) if point.compute else self._keep(point.fixed)

    def _keep(self, numbers: Any) -> int:
        """Returns where constant numbers stand in `told`."""
        self._told += [float(n) for n in numbers]
        return len(self._told) - len(numbers)

    def _tell(self, size: int, compute: Callable[[], Any]) -> int:
        """Returns where what is computed before each reading, once, stands in `told`."""
        known = [first for first, _, other in self._computed if other is compute]
        if known:
            return known[0]
        first = self._keep([0.0] * size)
        self._computed.append((first, first + size, compute))
        return first


@njit(cache=True, nogil=True)
def _at(s, of, number):
    """Returns a point, (3,)."""
    if of == BODY:
        return s.xpos[number]
    if of == SITE:
        return s.site_xpos[number]
    if of == GEOM:
        return s.geom_xpos[number]
    return s.xipos[number] if of == INERTIA else s.told[number : number + 3]


@njit(cache=True, nogil=True)
def _frame(s, of, number):
    """Returns a rotation by rows, (9,)."""
    return s.site_xmat[number] if of == SITE else s.xmat[number]


@njit(cache=True, nogil=True)
def _speed(s, point, body, out):
    """Writes the velocity of a point of a body, (3,)."""
    com, spin, x, y, z = s.subtree_com[s.root[body]], s.cvel[body, :3], point[0], point[1], point[2]
    x, y, z = x - com[0], y - com[1], z - com[2]
    out[0] = s.cvel[body, 3] - (y * spin[2] - z * spin[1])
    out[1] = s.cvel[body, 4] - (z * spin[0] - x * spin[2])
    out[2] = s.cvel[body, 5] - (x * spin[1] - y * spin[0])


@njit(cache=True, nogil=True)
def _read_turn(what, base, own, out):
    """Writes `own` as seen from `base`: two columns, or a cube's yaw."""
    if what == _TURN:
        for column in range(2):
            for row in range(3):
                total = 0.0
                for k in range(3):
                    total += base[3 * k + row] * own[3 * k + column]
                out[3 * column + row] = total
        return
    level = 0  # the cube may have tumbled: any edge that lies level will do
    for edge in range(1, 3):
        if abs(own[6 + edge]) < abs(own[6 + level]):
            level = edge
    turn = 4.0 * (np.arctan2(own[3 + level], own[level]) - np.arctan2(base[3], base[0]))
    out[0], out[1] = np.cos(turn), np.sin(turn)


@njit(cache=True, nogil=True)
def _read_fingers(s, what, row, out):
    """Writes the opening of two sliding fingers or its rate, or the rate of two pads."""
    if what == _SLIDES:
        t, values = s.told[row[3] : row[3] + 5], s.qvel if row[4] else s.qpos
        out[0] = t[0] * values[int(t[2])] + t[1] * values[int(t[3])] - t[4]
        return
    left, right = np.zeros(3), np.zeros(3)
    _speed(s, s.geom_xpos[row[3]], row[5], left)
    _speed(s, s.geom_xpos[row[4]], row[6], right)
    gap = s.geom_xpos[row[3]] - s.geom_xpos[row[4]]
    length = np.sqrt(gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2])
    closing = gap * (left - right)
    out[0] = (closing[0] + closing[1] + closing[2]) / max(length, 1e-6)


@njit(cache=True, nogil=True)
def _read_one(s, row, out):
    """Writes one reading."""
    what = row[0]
    if what == _POINT:
        out[:] = _at(s, row[3], row[4])
    elif what == _BETWEEN:
        out[:] = _at(s, row[5], row[6]) - _at(s, row[3], row[4])
    elif what == _HEIGHT:
        out[0] = _at(s, row[3], row[4])[2] - s.floor
    elif what == _COLUMNS:
        rotation = _frame(s, row[3], row[4])
        for i in range(6):
            out[i] = rotation[3 * (i % 3) + i // 3]
    elif what == _TURN or what == _YAW:
        _read_turn(what, _frame(s, row[3], row[4]), _frame(s, row[5], row[6]), out)
    elif what == _QUAT:
        for i in range(4):
            out[i] = s.xquat[row[4], (i + 1) % 4]
    elif what == _VELOCITY:
        _speed(s, _at(s, row[3], row[4]), row[5], out)
    elif what == _QPOS or what == _QVEL:
        values = s.qpos if what == _QPOS else s.qvel
        for i in range(len(out)):
            out[i] = values[int(s.told[row[3] + i])]
    elif what == _TOLD:
        out[:] = s.told[row[3] : row[3] + len(out)]
    else:
        _read_fingers(s, what, row, out)


@njit(cache=True, nogil=True)
def _read(kept, out):
    """Writes every reading into `out`, one after the other."""
    s = kept.what
    for row in s.rows:
        _read_one(s, row, out[row[1] : row[1] + row[2]])
