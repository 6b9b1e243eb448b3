"""`make_vector_env`: several copies of an environment stepped at once, in Gymnasium's vector API."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError

if TYPE_CHECKING:
    from robot_lfd.envs.awake import AwakeWorker

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
    """Gymnasium's SyncVectorEnv whose copies step in threads of their own: the same results in the same order.

    Gymnasium's own `step` copies what is seen twice, key by key, in Python, where only one thread gets on at a time;
    here it is put together once.
    """

    def __init__(self, env_fns: list[Callable[[], gym.Env]], mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> None:
        from robot_lfd.envs import awake  # late: numba takes half a second

        self._workers: list[AwakeWorker] = []  # `close` asks for them, should a copy not come up
        self._busy: list[AwakeWorker] = []
        super().__init__(env_fns, autoreset_mode=mode)
        self._reset_by_step = mode is AutoresetMode.NEXT_STEP
        self._alert, self._head_start = len(env_fns) <= awake.cores(), awake.head_start
        self._workers = [awake.AwakeWorker(f"vector {i}", self._alert) for i in range(len(env_fns))]
        self._named = _named(self.single_observation_space)

    def step(self, actions: Any) -> tuple:
        """Steps every copy, and resets those whose episode ended in the step before (NEXT_STEP).

        The last copy steps in the thread that asks, which would else only wait.
        """
        *others, last = self._asked(actions)
        self._begin(others)
        if others and self._alert:
            self._head_start()
        try:
            own = last()
        finally:
            results = self._results()
        return self._together([*results, own])

    def step_async(self, actions: Any) -> None:
        """Begins what `step` does; the actions must stay as they are until `step_wait`."""
        self._begin(self._asked(actions))

    def step_wait(self) -> tuple:
        """Returns what came out of the step that `step_async` began."""
        return self._together(self._results())

    def reset(self, **kwargs: Any) -> tuple:
        """Resets the copies, or those of `options["reset_mask"]`."""
        self._none_pending()
        return super().reset(**kwargs)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the threads and closes the copies."""
        for worker in self._workers:
            worker.close()
        super().close_extras(**kwargs)

    def _none_pending(self) -> None:
        if self._busy:
            raise gym.error.AlreadyPendingCallError("step_async has begun a step, expected step_wait first", "step")

    def _begin(self, work: list[Callable[[], tuple]]) -> None:
        self._busy = self._workers[: len(work)]
        for worker, one in zip(self._busy, work, strict=True):
            worker.begin(one)

    def _results(self) -> list[tuple]:
        """Waits for whoever is busy, and returns what they did, or raises the first error among it."""
        found, self._busy = [worker.result() for worker in self._busy], []
        for _, error in found:
            if error is not None:
                raise error
        return [result for result, _ in found]

    def _asked(self, actions: Any) -> list[Callable[[], tuple]]:
        """Returns what each copy is to do: its step, or the reset that is due."""
        self._none_pending()
        due = self._autoreset_envs
        if due.any() and not self._reset_by_step:
            raise gym.error.ResetNeeded(
                f"copies {np.flatnonzero(due)} have ended, expected a reset before the next step"
            )
        every = zip(self.envs, iterate(self.action_space, actions), due, strict=True)
        return [partial(_begin_again, env) if ended else partial(env.step, action) for env, action, ended in every]

    def _together(self, results: list[tuple]) -> tuple:
        """Returns the copies' results as one."""
        seen, rewards, terminated, truncated, told = zip(*results, strict=True)
        self._env_obs, infos = list(seen), {}
        for i, info in enumerate(told):
            infos = self._add_info(infos, info, i)
        self._terminations, self._truncations = np.array(terminated, bool), np.array(truncated, bool)
        self._autoreset_envs = self._terminations | self._truncations
        if self._named:  # what `concatenate` does, in a third of the time
            obs: Any = {key: np.empty((len(seen), *shape), kind) for key, (shape, kind) in self._named.items()}
            for i, one in enumerate(seen):
                for key, rows in obs.items():
                    rows[i] = one[key]
        else:
            space: Any = self.single_observation_space
            obs = concatenate(space, seen, create_empty_array(space, len(seen)))
        return obs, np.array(rewards, float), self._terminations.copy(), self._truncations.copy(), infos


def _named(space: gym.Space) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Returns shape and dtype of what is seen by name, nothing where it is not arrays by name."""
    if not isinstance(space, gym.spaces.Dict):
        return {}
    parts = {name: (part.shape, part.dtype) for name, part in space.items() if isinstance(part, gym.spaces.Box)}
    return parts if len(parts) == len(space) else {}


def _begin_again(env: gym.Env) -> tuple:
    obs, info = env.reset()
    return obs, 0.0, False, False, info


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
