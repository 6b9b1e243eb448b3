"""`make_vector_env`: several copies of an environment stepped at once, in Gymnasium's vector API."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import iterate

from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

WORKERS = ("auto", "threads", "processes")


def make_vector_env(env_id: str, n: int, *, workers: str = "auto", **make_kwargs: Any) -> VectorEnv:
    """Returns `n` copies of `make_env(env_id, **make_kwargs)` that step at once.

    Autoreset is Gymnasium's NEXT_STEP: the step that ends an episode returns its last observation; the next `step`
    ignores that copy's action, resets it and returns the first observation with reward 0, nothing ended.

    Args:
        workers: "threads" of this process, which serve where a step is a call of C code that releases the GIL;
            "processes" elsewhere; "auto" takes threads for robosuite's compiled path without cameras.

    Raises:
        LfdError: `n` or `workers` is not one of those that there are, or `make_env` refuses.
    """
    if n < 1:
        raise LfdError(f"n is {n}, expected 1 or more environments")
    if workers not in WORKERS:
        raise LfdError(f"workers is '{workers}', expected one of: {', '.join(WORKERS)}")
    make = partial(make_env, env_id, **make_kwargs)
    if workers == "auto":
        workers = kind_of_workers(env_id, **make_kwargs)
    if workers == "threads":
        return ThreadVectorEnv([make] * n)
    return AsyncVectorEnv([make] * n, context="spawn", autoreset_mode=AutoresetMode.NEXT_STEP)


def kind_of_workers(env_id: str, **make_kwargs: Any) -> str:
    """Returns "threads" where a step of `make_env(env_id, **make_kwargs)` releases the GIL, elsewhere "processes"."""
    if not env_id.startswith("robosuite/") or make_kwargs.get("cameras"):
        return "processes"
    env = make_env(env_id, **make_kwargs)
    compiled = env.unwrapped.stepper_name.startswith("compiled")  # pyright: ignore[reportAttributeAccessIssue]
    env.close()
    return "threads" if compiled else "processes"


class ThreadVectorEnv(SyncVectorEnv):
    """Gymnasium's SyncVectorEnv whose copies step in threads of their own: the same results in the same order."""

    def __init__(self, env_fns: list[Callable[[], gym.Env]]) -> None:
        super().__init__([partial(_Ahead, make) for make in env_fns], autoreset_mode=AutoresetMode.NEXT_STEP)
        self._pool = ThreadPoolExecutor(len(env_fns), thread_name_prefix="vector")

    def step(self, actions: Any) -> tuple:
        """Steps every copy, and resets those whose episode ended in the step before."""
        for env, action, ended in zip(
            self.envs, iterate(self.action_space, actions), self._autoreset_envs, strict=True
        ):
            env.begin(self._pool, None if ended else action)  # pyright: ignore[reportAttributeAccessIssue]
        return super().step(actions)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads and closes the copies."""
        self._pool.shutdown()
        super().close_extras(**kwargs)


class _Ahead(gym.Wrapper):
    """Begins a step in a thread before it is asked for."""

    def __init__(self, make: Callable[[], gym.Env]) -> None:
        super().__init__(make())
        self._begun: Future | None = None

    def begin(self, pool: ThreadPoolExecutor, action: Any) -> None:
        self._begun = pool.submit(self.env.reset) if action is None else pool.submit(self.env.step, action)

    def step(self, action: Any) -> Any:
        return self._taken() if self._begun else self.env.step(action)

    def reset(self, **kwargs: Any) -> Any:
        return self._taken() if self._begun else self.env.reset(**kwargs)

    def _taken(self) -> Any:
        begun, self._begun = self._begun, None
        assert begun is not None
        return begun.result()
