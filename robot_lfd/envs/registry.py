"""Which environments there are, and `make_env`, which builds any of them with the contract of `contract.py`."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from robot_lfd.errors import LfdError

PYBULLET_TASKS = {
    "Reach": 150,
    "Push": 300,
    "Lift": 200,
    "PickPlace": 300,
    "Stack": 300,
}  # task -> time limit in control steps
ROBOSUITE_TASKS = {
    "Lift": 500,
    "Stack": 500,
    "NutAssembly": 1000,
    "NutAssemblySingle": 500,
    "NutAssemblySquare": 500,
    "NutAssemblyRound": 500,
    "PickPlace": 1500,
    "PickPlaceSingle": 500,
    "PickPlaceMilk": 500,
    "PickPlaceBread": 500,
    "PickPlaceCereal": 500,
    "PickPlaceCan": 500,
    "Door": 500,
    "Wipe": 500,
    "ToolHang": 1000,
}

NO_LIMIT = 10_000_000  # max_episode_steps where recorded actions say how long an episode is: people go on after success


def register_envs() -> None:
    """Registers this project's environments by their ids; the modules are loaded when one is made."""
    for task, limit in PYBULLET_TASKS.items():
        entry = f"robot_lfd.envs.pybullet_{task.lower()}:{task}Env"
        _register(f"pybullet/{task}-v0", entry, limit, {})
    for task, limit in ROBOSUITE_TASKS.items():
        _register(f"robosuite/{task}-v0", "robot_lfd.envs.robosuite_env:RobosuiteEnv", limit, {"task": task})


def _register(env_id: str, entry_point: str, max_episode_steps: int, kwargs: dict[str, Any]) -> None:
    if env_id not in gym.registry:
        gym.register(env_id, entry_point, max_episode_steps=max_episode_steps, kwargs=kwargs)


def is_ours(env_id: str) -> bool:
    """Whether it is one of this project's arms. Environments of others mostly have no notion of success."""
    return env_id.split("/")[0] in ("pybullet", "robosuite")


def time_limit(env_id: str, *, max_episode_steps: int | None = None, **env_kwargs: Any) -> int | None:
    """Returns how many steps an episode of what `make_env` makes may have; None: any number, or not known here."""
    registered = gym.registry.get(env_id.split(":")[-1])
    usual = None if registered is None else registered.max_episode_steps
    return usual if max_episode_steps is None else max_episode_steps


def make_env(
    env_id: str,
    *,
    cameras: tuple[str, ...] = (),
    size_px: int = 84,
    max_episode_steps: int | None = None,
    **env_kwargs: Any,
) -> gym.Env:
    """Returns the environment with a Dict observation and a Box [-1, 1] action (Discrete ones stay as they are).

    Args:
        env_id: `pybullet/<Task>-v0`, `robosuite/<Task>-v0` or any other Gymnasium id. One that offers the arm contract
            (contract.py) is used as it is, others are adapted.
        cameras: adds `images/<camera>`, (size_px, size_px, 3) uint8, to the observation.
        max_episode_steps: another time limit than the registered one.
        env_kwargs: go to the environment's own constructor.

    Raises:
        LfdError: unknown id (near matches are named), a missing package, or keywords that the environment refuses.
    """
    from robot_lfd.envs.cameras import CameraObservation
    from robot_lfd.envs.contract import ArmEnv
    from robot_lfd.envs.foreign import adapt_foreign_env

    ours = is_ours(env_id)
    try:
        if ":" in env_id:  # module:id, as gymnasium.make reads it
            importlib.import_module(env_id.split(":")[0])
        if not ours and _draws(env_id):
            env_kwargs = {"render_mode": "rgb_array", **env_kwargs}
        env = gym.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **env_kwargs)
    except gym.error.UnregisteredEnv as error:
        raise LfdError(f"unknown environment '{env_id}'{_near(env_id)}") from error
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        missing = f"environment '{env_id}' needs a package that is not installed: {error}"
        raise LfdError(missing if ours else f"{missing}; for Gymnasium's own: pip install 'robot-lfd[gym]'") from error
    except (ImportError, TypeError, gym.error.Error) as error:
        raise LfdError(f"environment '{env_id}' cannot be made: {error}") from error
    env = env if isinstance(env.unwrapped, ArmEnv) else adapt_foreign_env(env)
    return CameraObservation(env, cameras, size_px) if cameras else env


def _draws(env_id: str) -> bool:
    """Whether a Gymnasium environment can give pictures; asking for them costs nothing until one is drawn."""
    entry = gym.spec(env_id.split(":")[-1]).entry_point
    maker = load_env_creator(entry) if isinstance(entry, str) else entry
    metadata = getattr(maker, "metadata", None)
    return isinstance(metadata, dict) and "rgb_array" in metadata.get("render_modes", ())


def _near(env_id: str) -> str:
    names = sorted(gym.registry)
    near = difflib.get_close_matches(env_id, names, n=4, cutoff=0.6)
    task = env_id.split("/")[-1].split("-")[0].lower()
    near += [n for n in names if "/" in n and task and task in n.lower() and n not in near]
    return f"; near matches: {', '.join(near[:6])}" if near else "; see `lfd doctor` for the list"
