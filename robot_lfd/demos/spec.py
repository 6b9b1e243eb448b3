"""DatasetSpec: what all episodes of a dataset share: the environment, the control rate and what each array means."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode, array_path
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError

UNITS = {  # observations whose unit is known; both simulators use the same names
    "eef_pos": "m",
    "eef_vel": "m/s",
    "gripper_width": "m",
    "gripper_vel": "m/s",
    "joint_pos": "rad",
    "joint_vel": "rad/s",
    "object_pos": "m",
    "object_vel": "m/s",
    "object_rel": "m",
    "object_height": "m",
    "target_pos": "m",
    "target_rel": "m",
}
AXES = {3: ["x", "y", "z"], 4: ["x", "y", "z", "w"]}
PACKAGES = ("robot-lfd", "numpy", "gymnasium", "pybullet", "mujoco", "robosuite", "zarr")
KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class DatasetSpec:
    """What is written once in the dataset's root.

    Attributes:
        env_id: as `make_env` takes it.
        env_kwargs: keywords of the environment, without cameras and picture size, which stand in `features`.
        control_hz: control steps per second.
        features: path (`action`, `obs/<key>`, `images/<camera>`, ...) -> shape of one step, dtype, unit, names.
        versions: of the software that made the dataset.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    control_hz: float
    features: dict[str, dict[str, Any]]
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.features:
            if not all(KEY.fullmatch(part) for part in path.split("/")):
                raise LfdError(f"feature '{path}' has a name no dataset can hold, expected letters, digits, _ . -")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the stored cameras."""
        return tuple(p.removeprefix("images/") for p in self.features if p.startswith("images/"))

    @property
    def size_px(self) -> int:
        """Height of the stored pictures; 84 where there are none."""
        heights = [f["shape"][0] for p, f in self.features.items() if p.startswith("images/")]
        return int(heights[0]) if heights else 84

    def make_env(self, *, pictures: bool = True, endless: bool = False) -> gym.Env:
        """Returns the environment that the episodes came from, with the same cameras or none.

        Args:
            endless: without a time limit, to live through recorded actions, all of them.
        """
        from robot_lfd.envs.registry import NO_LIMIT, make_env

        kwargs = {**self.env_kwargs, **({"max_episode_steps": NO_LIMIT} if endless else {})}
        return make_env(self.env_id, cameras=self.cameras if pictures else (), size_px=self.size_px, **kwargs)

    def check(self, episode: Episode) -> None:
        """Raises LfdError where an episode does not fit the dataset."""
        arrays = episode.arrays()
        for path, feature in self.features.items():
            if path not in arrays:
                raise LfdError(f"episode lacks '{path}', which every episode of this dataset has")
            found = [list(arrays[path].shape[1:]), str(arrays[path].dtype)]
            if found != [feature["shape"], feature["dtype"]]:
                wanted = f"{feature['shape']} {feature['dtype']}"
                raise LfdError(f"'{path}' has {found[0]} {found[1]} a step, this dataset has {wanted}")
        extra = sorted(set(arrays) - set(self.features) - {"sim_state"})
        if extra:
            raise LfdError(f"episode has '{extra[0]}', which this dataset does not have")

    def difference(self, other: DatasetSpec) -> str:
        """Returns in words the first thing that keeps episodes of `other` out of this dataset; "" where none does."""
        if self.env_id != other.env_id:
            return f"holds demos of {self.env_id}, not of {other.env_id}"
        if self.env_kwargs != other.env_kwargs:
            return f"was recorded with {self.env_kwargs or 'no keywords'}, not with {other.env_kwargs or 'none'}"
        if self.control_hz != other.control_hz:
            return f"was recorded at {self.control_hz:g} Hz, not at {other.control_hz:g} Hz"
        for path in sorted({*self.features, *other.features}):
            mine, theirs = self.features.get(path), other.features.get(path)
            if mine is None or theirs is None:
                return f"has {'' if mine else 'no '}'{path}', the new demos have {'it' if theirs else 'none'}"
            if (mine["shape"], mine["dtype"]) != (theirs["shape"], theirs["dtype"]):
                return f"has '{path}' with {mine['shape']} {mine['dtype']}, not {theirs['shape']} {theirs['dtype']}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Returns the spec as JSON holds it."""
        return json.loads(json.dumps(asdict(self), allow_nan=False))

    @staticmethod
    def from_json(document: dict[str, Any]) -> DatasetSpec:
        """Returns the spec of a root document. Raises LfdError where something is missing or of the wrong type."""
        try:
            features = {str(k): _feature(v) for k, v in document["features"].items()}
            versions = {str(k): str(v) for k, v in document.get("versions", {}).items()}
            env_id, kwargs = str(document["env_id"]), dict(document["env_kwargs"])
            return DatasetSpec(env_id, kwargs, float(document["control_hz"]), features, versions)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LfdError(f"the dataset's description is damaged: {error!r}") from error


def _feature(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "shape": [int(n) for n in entry["shape"]], "dtype": str(np.dtype(entry["dtype"]))}


def make_spec(env_id: str, env: gym.Env, env_kwargs: dict[str, Any]) -> DatasetSpec:
    """Returns the spec of episodes recorded in `env`, from its spaces and the arm contract.

    Raises:
        LfdError: a keyword that JSON cannot hold.
    """
    arm = arm_of(env)
    spaces = env.observation_space
    assert isinstance(spaces, gym.spaces.Dict)
    features = {
        "action": _action_feature(env),
        "reward": {"shape": [], "dtype": "float32", "unit": "1", "names": None},
        "time": {"shape": [2], "dtype": "float64", "unit": "s", "names": ["scheduled", "actual"]},
        "intervention": {"shape": [], "dtype": "bool", "unit": "1", "names": None},
        **{array_path(k): _obs_feature(k, s) for k, s in spaces.spaces.items()},
    }
    kept = {k: v for k, v in env_kwargs.items() if k not in ("cameras", "size_px")}
    try:
        kept = json.loads(json.dumps(kept, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LfdError(f"keywords of {env_id} cannot be stored: {error}; expected what JSON can hold") from error
    return DatasetSpec(env_id, kept, float(arm.control_hz), features, software_versions())


def _action_feature(env: gym.Env) -> dict[str, Any]:
    arm = arm_of(env)
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    shape = [] if discrete else [int(n) for n in env.action_space.shape or ()]
    return {
        "shape": shape,
        "dtype": "int64" if discrete else "float32",
        "unit": list(arm.action_units),
        "names": list(arm.action_names),
        "scale": [float(x) for x in np.ravel(arm.action_scale)],
    }


def _obs_feature(key: str, space: gym.Space) -> dict[str, Any]:
    shape = [int(n) for n in space.shape or ()]
    names = ["height", "width", "channel"] if key.startswith("images/") else AXES.get(shape[-1]) if shape else None
    named = names if key in UNITS or key.startswith("images/") or key.endswith("_quat") else None
    return {"shape": shape, "dtype": str(space.dtype), "unit": UNITS.get(key, "1"), "names": named}


def software_versions() -> dict[str, str]:
    """Returns the versions of what shapes a recording."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
