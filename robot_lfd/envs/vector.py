"""`make_vector_env`: several copies of an environment stepped at once, in Gymnasium's vector API."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

WORKERS = ("auto", "threads", "processes")


def make_vector_env(
    env_id: str, n: int, *, workers: str = "auto", autoreset: bool = True, **make_kwargs: Any
) -> ThreadVectorEnv | AsyncVectorEnv:
    """Returns `n` copies of `make_env(env_id, **make_kwargs)` that step at once.

    Autoreset is Gymnasium's NEXT_STEP: the step that ends an episode returns its last observation; the next `step`
    ignores that copy's action, resets it and returns the first observation with reward 0, nothing ended.

    `step_async(actions)` lets the copies begin, and `step_wait()` returns what `step` would. `reset` takes
    `options={"again": {seed: actions}}`: a copy that is reset with one of those seeds plays its actions, (T, A), first.

    Args:
        autoreset: False is Gymnasium's DISABLED: ended copies are reset by `reset` with a list of seeds and
            `options={"reset_mask": (n,) bool}`, before the next `step`; training does so, that runs can go on exactly.
        workers: "threads" of this process, which serve where a step is a call of C code that releases the GIL;
            "processes" elsewhere; "auto" takes threads for robosuite's compiled path without cameras.

    Raises:
        LfdError: `n` or `workers` is not one of those that there are, or `make_env` refuses.
    """
    if n < 1:
        raise LfdError(f"n is {n}, expected 1 or more environments")
    if workers not in WORKERS:
        raise LfdError(f"workers is '{workers}', expected one of: {', '.join(WORKERS)}")
    make = partial(_make_again, env_id, **make_kwargs)
    mode = AutoresetMode.NEXT_STEP if autoreset else AutoresetMode.DISABLED
    if workers == "auto":
        workers = kind_of_workers(env_id, **make_kwargs)
    if workers == "threads":
        return ThreadVectorEnv([make] * n, mode)
    return AsyncVectorEnv([make] * n, context="spawn", autoreset_mode=mode)


def _make_again(env_id: str, **make_kwargs: Any) -> gym.Env:
    return _Again(make_env(env_id, **make_kwargs))


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

    def __init__(self, env_fns: list[Callable[[], gym.Env]], mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> None:
        super().__init__([partial(_Ahead, make) for make in env_fns], autoreset_mode=mode)
        self._reset_by_step = mode is AutoresetMode.NEXT_STEP
        self._sent: Any = None
        self._pool = ThreadPoolExecutor(len(env_fns), thread_name_prefix="vector")

    def step(self, actions: Any) -> tuple:
        """Steps every copy, and resets those whose episode ended in the step before (NEXT_STEP)."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Begins what `step` does; the actions must stay as they are until `step_wait`."""
        for env, action, ended in zip(
            self.envs, iterate(self.action_space, actions), self._autoreset_envs, strict=True
        ):
            env.begin(self._pool, None if ended and self._reset_by_step else action)  # pyright: ignore[reportAttributeAccessIssue]
        self._sent = actions

    def step_wait(self) -> tuple:
        """Returns what came out of the step that `step_async` began."""
        return super().step(self._sent)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads and closes the copies."""
        self._pool.shutdown()
        super().close_extras(**kwargs)


class _Again(gym.Wrapper):
    """Plays actions of `options["again"]` after a reset with their seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        options = dict(options or {})
        again = options.pop("again", {}).get(seed, ())
        found = self.env.reset(seed=seed, options=options or None)
        for action in again:
            obs, _, _, _, info = self.env.step(action)
            found = obs, info
        return found


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
