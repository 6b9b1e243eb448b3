"""Robot learning from demonstration: record demos, train with IQ-Learn, deploy, review.

Importing this registers the environments `pybullet/<Task>-v0` and `robosuite/<Task>-v0` with Gymnasium; it loads
neither a simulator nor torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_lfd.envs.registry import register_envs

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from robot_lfd.rollout import Policy

__version__ = "0.1.0"

register_envs()


def load_policy(path: str | Path) -> Policy:
    """Returns the Policy of a run or of one of its checkpoints, with no training code loaded.

    Args:
        path: a folder, or the URL of a run (s3://bucket/run).

    Raises:
        LfdError: the folder holds no finished checkpoint, or the storage refuses.
    """
    from robot_lfd.checkpoint import load_policy as load
    from robot_lfd.remote_runs import fetched

    return load(fetched(Path(path)))


def make_vector_env(env_id: str, n: int, *, workers: str = "auto", **make_kwargs: Any) -> VectorEnv:
    """Returns `n` copies of an environment that step at once; see robot_lfd.envs.vector."""
    from robot_lfd.envs.vector import make_vector_env as make

    return make(env_id, n, workers=workers, **make_kwargs)
