"""Pairs of geoms that provably do not touch, so that MuJoCo need not look at them: the same contacts, sooner.

Most of a physics step of an arm is spent on finding out that its links, which are near each other for good, still do
not touch. A plane between two convex bodies proves it for far less, and how far the bodies have moved since says for
how long the proof holds. Pairs without a proof collide as ever. MuJoCo is told by the collision masks of its geoms.
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numba import njit

from robot_lfd.envs.hulls import CUBE, Hulls, hull_of, room_between

SLACK_M = 1e-4  # proofs hold with this to spare; MuJoCo's own search stops at 1e-6
_LONGEST_WAIT = 64  # substeps until a pair that touched is tried again
_BITS = 31
_SLIDES, _HINGES = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE


class Separations(NamedTuple):
    """G geoms that can collide, and P pairs of them.

    Attributes:
        body: (G,) its body's number in the model. moves: (G,). reach: (G,) the farthest point from the geom's origin.
        pos, mat, path: (G, 3), (G, 9), (G,) the last pose, and a bound of how far any of its points has come since.
        joint, angle, turned: (J,) where in qpos, its last value, and how far it has come, either way.
        a, b: (P,) the pair, as numbers among the G. plane: (P,) a is an infinite plane.
        chain: (P + 1,) where the joints between the two begin in link, lever: (L,) which of the J, and how far from
            its axis any point of the two may be. None for a pair whose common ancestor stands still.
        way: (P, 3) from a to b, normal to a plane between them, in a's frame.
        until: (P,) while path[a] + path[b] is less, they are apart; between: (P,) the same of lever * turned, summed.
        wait, patience: (P,) substeps to the next try.
        touching: (P,) has no proof, so MuJoCo looks at it.
        contype, conaffinity: (ngeom,), body_contype, body_conaffinity: (nbody,) MuJoCo's masks, in its own memory.
        known: (1,) whether the masks are those of `touching`.
    """

    hulls: Hulls
    body: np.ndarray
    moves: np.ndarray
    reach: np.ndarray
    pos: np.ndarray
    mat: np.ndarray
    path: np.ndarray
    joint: np.ndarray
    angle: np.ndarray
    turned: np.ndarray
    a: np.ndarray
    b: np.ndarray
    plane: np.ndarray
    chain: np.ndarray
    link: np.ndarray
    lever: np.ndarray
    way: np.ndarray
    until: np.ndarray
    between: np.ndarray
    wait: np.ndarray
    patience: np.ndarray
    touching: np.ndarray
    contype: np.ndarray
    conaffinity: np.ndarray
    body_contype: np.ndarray
    body_conaffinity: np.ndarray
    usual: np.ndarray  # (2, ngeom): the masks as compiled
    usual_body: np.ndarray  # (2, nbody)
    margin: np.ndarray  # (P,)
    known: np.ndarray


def separations_of(model: mujoco.MjModel) -> Separations:
    """Returns the pairs of a compiled model, none of them proven apart yet."""
    geoms = [g for g in range(model.ngeom) if model.geom_contype[g] or model.geom_conaffinity[g]]
    hulls = [hull_of(model, g) for g in geoms]
    index = {g: i for i, g in enumerate(geoms)}
    pairs = [(g, h) for i, g in enumerate(geoms) for h in geoms[i + 1 :] if _may_collide(model, g, h)]
    is_plane = [model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE for g in range(model.ngeom)]
    pairs = [(h, g) if is_plane[h] else (g, h) for g, h in pairs]
    hidden = np.array([hulls[index[g]] is None or hulls[index[h]] is None for g, h in pairs], bool)
    corners = [np.zeros((1, 3)) if hull is None else hull[0] for hull in hulls]
    radius = np.array([0.0 if hull is None else hull[1] for hull in hulls])
    reach = np.array([np.linalg.norm(c, axis=1).max() for c in corners]) + radius
    chains = [_chain(model, (g, h), reach[[index[g], index[h]]]) for g, h in pairs]
    joints = sorted({at for chain in chains for at, _ in chain})
    count, total = len(geoms), len(pairs)
    way = np.zeros((total, 3))
    way[:, 2] = 1.0
    return Separations(
        hulls=Hulls(
            np.array(geoms, np.intp), np.ascontiguousarray(np.concatenate([*corners, np.zeros((0, 3))]).T, np.float64),
            np.cumsum([0, *map(len, corners)]).astype(np.intp), radius,
        ),
        body=np.array(model.geom_bodyid[geoms], np.intp),
        moves=np.array([model.body_weldid[model.geom_bodyid[g]] != 0 for g in geoms], bool),
        reach=reach,
        pos=np.zeros((count, 3)), mat=np.zeros((count, 9)), path=np.zeros(count),
        joint=np.array(joints, np.intp), angle=np.zeros(len(joints)), turned=np.zeros(len(joints)),
        a=np.array([index[g] for g, _ in pairs], np.intp), b=np.array([index[h] for _, h in pairs], np.intp),
        plane=np.array([is_plane[g] for g, _ in pairs], bool),
        chain=np.cumsum([0, *map(len, chains)]).astype(np.intp),
        link=np.array([joints.index(at) for chain in chains for at, _ in chain], np.intp),
        lever=np.array([lever for chain in chains for _, lever in chain], np.float64),
        way=way, until=np.full(total, -np.inf), between=np.full(total, -np.inf), wait=np.where(hidden, -1, 0),
        patience=np.ones(total, np.intp), touching=np.ones(total, bool),
        contype=model.geom_contype, conaffinity=model.geom_conaffinity,
        body_contype=model.body_contype, body_conaffinity=model.body_conaffinity,
        usual=np.array([model.geom_contype, model.geom_conaffinity]),
        usual_body=np.array([model.body_contype, model.body_conaffinity]),
        margin=np.array([model.geom_margin[[g, h]].sum() + model.geom_gap[[g, h]].sum() for g, h in pairs]),
        known=np.zeros(1, bool),
    )  # fmt: skip


def begin(s: Separations, model: mujoco.MjModel) -> None:
    """Forgets every proof: an episode begins, with other poses and perhaps other sizes of its boxes."""
    first = s.hulls.first
    for k, g in enumerate(s.hulls.geom):
        if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_BOX:
            s.hulls.corners[:, first[k] : first[k + 1]] = (model.geom_size[g] * CUBE).T
            s.reach[k] = np.linalg.norm(model.geom_size[g])
    s.path[:], s.turned[:], s.until[:], s.between[:], s.known[:] = 0.0, 0.0, -np.inf, -np.inf, False
    s.wait[:] = np.minimum(s.wait, 0)
    s.patience[:] = 1


def _may_collide(model: mujoco.MjModel, g: int, h: int) -> bool:
    masks = model.geom_contype, model.geom_conaffinity
    if not (masks[0][g] & masks[1][h] or masks[0][h] & masks[1][g]):
        return False
    one, other = (int(model.body_weldid[model.geom_bodyid[i]]) for i in (g, h))
    above = [int(model.body_weldid[model.body_parentid[i]]) for i in (one, other)]
    return one != other and not (one and other and (above[0] == other or above[1] == one))


def _chain(model: mujoco.MjModel, pair: tuple[int, int], reach: np.ndarray) -> list[tuple[int, float]]:
    """Returns the joints by which two geoms move against each other: where in qpos, and the longest lever, metres.

    None where their common ancestor stands still, as then how far each has come says as much. What lies below a moving
    body is never placed anew, so the levers hold for every episode.
    """
    bodies = [int(model.geom_bodyid[g]) for g in pair]
    common = max(set(_ancestors(model, bodies[0])) & set(_ancestors(model, bodies[1])))
    if model.body_weldid[common] == 0:
        return []
    found: list[tuple[int, float]] = []
    for g, body, far in zip(pair, bodies, reach, strict=True):
        far = far + np.linalg.norm(model.geom_pos[g])
        for each in _ancestors(model, body):
            if each == common:
                break
            joints = range(model.body_jntadr[each], model.body_jntadr[each] + model.body_jntnum[each])
            if any(model.jnt_type[j] not in (_SLIDES, _HINGES) for j in joints):
                return []
            slides = [j for j in joints if model.jnt_type[j] == _SLIDES]
            if any(not model.jnt_limited[j] for j in slides):
                return []
            far += 2 * sum(np.linalg.norm(model.jnt_pos[j]) for j in joints if j not in slides)
            far += 2 * sum(np.abs(model.jnt_range[j]).max() for j in slides)  # twice: limits are soft
            found += [(int(model.jnt_qposadr[j]), 1.0 if j in slides else float(far)) for j in joints]
            far += np.linalg.norm(model.body_pos[each])
    return found


def _ancestors(model: mujoco.MjModel, body: int) -> list[int]:
    """Returns the body and all above it; a parent's number is less than its child's."""
    found = [body]
    while body:
        body = int(model.body_parentid[body])
        found.append(body)
    return found


@njit(cache=True, nogil=True)
def _move(s, xpos, xmat, qpos):
    """Adds what each geom and each joint has come since the last call."""
    for j in range(len(s.joint)):
        s.turned[j] += abs(qpos[s.joint[j]] - s.angle[j])
        s.angle[j] = qpos[s.joint[j]]
    for k in range(len(s.moves)):
        if not s.moves[k] and s.known[0]:
            continue
        g = s.hulls.geom[k]
        along, about = 0.0, 0.0
        for i in range(3):
            along += (xpos[g, i] - s.pos[k, i]) ** 2
            s.pos[k, i] = xpos[g, i]
        for i in range(9):
            about += (xmat[g, i] - s.mat[k, i]) ** 2
            s.mat[k, i] = xmat[g, i]
        s.path[k] += np.sqrt(along) + s.reach[k] * np.sqrt(about)


@njit(cache=True, nogil=True)
def separate(s, distance, model, data, xpos, xmat, qpos):
    """Lets MuJoCo look only at the pairs that may touch where the geoms stand now.

    Args:
        distance: the address of mj_geomDistance. model, data: addresses of the structs. xpos, xmat, qpos: MuJoCo's own.
    """
    _move(s, xpos, xmat, qpos)
    changed = not s.known[0]
    for p in range(len(s.a)):
        a, b = s.a[p], s.b[p]
        come, bent = s.path[a] + s.path[b], 0.0
        if come < s.until[p] or s.wait[p] < 0:
            continue
        if s.wait[p] > 0:
            s.wait[p] -= 1
            continue
        for i in range(s.chain[p], s.chain[p + 1]):
            bent += s.lever[i] * s.turned[s.link[i]]
        if bent < s.between[p]:
            continue
        enough = SLACK_M + s.margin[p]
        room = room_between(s.hulls, a, b, s.way[p], s.plane[p], enough, distance, model, data, xpos, xmat)
        touches = not room > 0.0
        if touches:
            s.wait[p] = s.patience[p]
            s.patience[p] = min(2 * s.patience[p], _LONGEST_WAIT)
        else:
            s.until[p], s.patience[p] = come + room, 1
            if s.chain[p] < s.chain[p + 1]:
                s.between[p] = bent + room
        if touches != s.touching[p]:
            s.touching[p] = touches
            changed = True
    if changed:
        _tell(s)
        s.known[0] = True


@njit(cache=True, nogil=True)
def _tell(s):
    """Sets the masks: a bit for every geom that is first in a touching pair, and for whom it touches."""
    geom = s.hulls.geom
    for k in range(len(geom)):
        s.contype[geom[k]] = s.conaffinity[geom[k]] = 0
        s.body_contype[s.body[k]] = s.body_conaffinity[s.body[k]] = 0
    bit = 0
    for p in range(len(s.a)):
        if not s.touching[p]:
            continue
        g, h = geom[s.a[p]], geom[s.b[p]]
        if s.contype[g] == 0 and s.contype[h] != 0:
            g, h = h, g
        if s.contype[g] == 0:
            if bit == _BITS:  # more geoms touch than there are bits: all pairs then, as compiled
                _restore(s)
                return
            s.contype[g] = 1 << bit
            bit += 1
        s.conaffinity[h] |= s.contype[g]
    for k in range(len(geom)):
        s.body_contype[s.body[k]] |= s.contype[geom[k]]
        s.body_conaffinity[s.body[k]] |= s.conaffinity[geom[k]]


@njit(cache=True, nogil=True)
def _restore(s):
    """Sets the masks as compiled."""
    s.contype[:], s.conaffinity[:] = s.usual[0], s.usual[1]
    s.body_contype[:], s.body_conaffinity[:] = s.usual_body[0], s.usual_body[1]


@njit(cache=True, nogil=True)
def forget(s):
    """Sets the masks as compiled; what was proven stays proven."""
    _restore(s)
    s.known[0] = False
