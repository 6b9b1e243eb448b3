"""Expert trajectories of Gymnasium environments as one .npz file of flat arrays, the way papers pass them on.

Keys: `obs` (sum(T_i + 1), ...), `actions` (sum T_i, ...), `lengths` (N,) = T_i, `env_id`; and, where known, `rewards`
(sum T_i,), `terminated` (N,) bool: False where a time limit cut. Nothing in the file is ever unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np

from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.rest import bare_episode, store_all
from robot_lfd.demos.episode import Episode
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

NEEDED = ("obs", "actions", "lengths")
MAX_BYTES = 4 << 30  # a file may say that it unpacks to anything: what is said is checked before it is believed


def import_trajectories(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, object]:
    """Adds the trajectories of an .npz file to the dataset `out`; actions are rescaled to [-1, 1].

    Raises:
        LfdError: keys are missing, lengths do not fit, the environment is unknown or the file is damaged.
    """
    arrays = _read_arrays(source)
    env_id = options.env_id or str(arrays.get("env_id", ""))
    if not env_id:
        raise LfdError(f"'{source}' does not say which environment its demos are of; name it with --env")
    env = make_env(env_id)
    hz = arm_of(env).control_hz if options.control_hz is None else options.control_hz
    keys, bounds = arm_of(env).policy_keys, _bounds(env_id)
    env.close()
    if len(keys) != 1:
        raise LfdError(f"{env_id} has observations {', '.join(keys)}, '{source}' holds one array; they do not fit")
    _check(source, arrays, bounds)

    def read() -> Iterator[tuple[str | None, Episode]]:
        return _episodes(source, arrays, keys[0], bounds, hz, options.max_demos)

    return store_all(source, out, read, None, env_id, hz, options)


def _read_arrays(source: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(source) as archive:
            said = sum(i.file_size for i in archive.infolist())
        if said > MAX_BYTES:
            raise LfdError(
                f"'{source}' says that it unpacks to {said / 1e9:.1f} GB, expected at most {MAX_BYTES / 1e9:.0f}"
            )
        with np.load(source, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError, MemoryError, NotImplementedError) as error:
        raise LfdError(f"'{source}' cannot be read as .npz: {error}") from error
    missing = [k for k in NEEDED if k not in arrays]
    if missing:
        raise LfdError(f"'{source}' has no {', '.join(missing)}; expected the arrays {', '.join(NEEDED)}, env_id")
    return arrays


def _bounds(env_id: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the environment's own lowest and highest action, None where actions are discrete."""
    with gym.make(env_id) as env:
        space = env.action_space
        return (space.low, space.high) if isinstance(space, gym.spaces.Box) else None


def _check(source: Path, arrays: dict[str, np.ndarray], bounds: tuple[np.ndarray, np.ndarray] | None) -> None:
    lengths, steps = arrays["lengths"], len(arrays["actions"]) if arrays["actions"].ndim else 0
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or (lengths < 1).any():
        raise LfdError(
            f"'{source}': lengths are {lengths.dtype} {lengths.shape}, expected whole numbers of 1 or more (N,)"
        )
    if int(lengths.sum()) != steps or arrays["obs"].shape[:1] != (steps + len(lengths),):
        found = f"{steps} actions and {arrays['obs'].shape} observations"
        raise LfdError(
            f"'{source}': {found} for {len(lengths)} trajectories of {int(lengths.sum())} steps: they do not fit"
        )
    for name, rows in (("rewards", steps), ("terminated", len(lengths))):
        if name in arrays and arrays[name].size and arrays[name].shape != (rows,):
            raise LfdError(f"'{source}': {name} has shape {arrays[name].shape}, expected ({rows},)")
    wanted = "fiu" if bounds else "iu"
    if arrays["actions"].dtype.kind not in wanted or arrays["obs"].dtype.kind not in "fiu":
        raise LfdError(f"'{source}': actions are {arrays['actions'].dtype}, which this environment does not take")
    if bounds and arrays["actions"].shape[1:] != bounds[0].shape:
        raise LfdError(f"'{source}': actions have shape {arrays['actions'].shape[1:]}, expected {bounds[0].shape}")


def _episodes(
    source: Path, arrays: dict[str, np.ndarray], key: str, bounds: tuple[np.ndarray, np.ndarray] | None,
    hz: float, max_demos: int | None,
) -> Iterator[tuple[str | None, Episode]]:  # fmt: skip
    step = 0
    for number, length in enumerate(arrays["lengths"][:max_demos].tolist()):
        rows = slice(step, step + length)
        action = arrays["actions"][rows]
        if bounds:
            action = np.clip(2.0 * (action - bounds[0]) / (bounds[1] - bounds[0]) - 1.0, -1.0, 1.0)
        rewards, ended = arrays.get("rewards"), arrays.get("terminated")
        yield (
            None,
            bare_episode(
                {key: arrays["obs"][step + number : step + number + length + 1]},
                action,
                rewards[rows] if rewards is not None and rewards.size else None,
                hz,
                terminated=bool(ended[number]) if ended is not None and ended.size else False,
                meta={"source": {"file": source.name, "demo": number, "format": "npz"}},
            ),
        )
        step += length
