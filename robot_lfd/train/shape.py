"""Shape: from a run's settings to what kind of actor there will be, the fields of `PolicySpec` that say so."""

from __future__ import annotations

from typing import Any

from robot_lfd.errors import LfdError
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.recipe import Recipe

USUAL_CANDIDATES = 16
CHOOSERS = ("iq", "sqil", "bc")


def actor_shape(config: TrainConfig, discrete: bool, arm: bool) -> dict[str, Any]:
    """Returns the fields of PolicySpec that say which kind of actor there is.

    Args:
        arm: whether a person drove an arm there, now this way, now that; experts of other tasks have one way.

    Raises:
        LfdError: options that contradict each other, the algorithm or the actions.
    """
    _check_n_step(config)
    if config.memory_steps < 1:
        raise LfdError(f"--memory-steps is {config.memory_steps}, expected at least 1")
    candidates = _candidates(config, discrete, arm)
    if candidates:
        return {"actor": "candidates", "candidates": candidates, "window": chunk_of(config, Recipe.chunk)}
    if config.algo in ("iq", "sqil", "dac"):
        return _soft_shape(config, discrete)
    return _cloned_shape(config, discrete)


def chunk_of(config: TrainConfig, usual: int = 1) -> int:
    """Returns how many actions are decided on at once: what was told, else `usual`.

    Raises:
        LfdError: less than one.
    """
    chunk = usual if config.chunk is None else config.chunk
    if chunk < 1:
        raise LfdError(f"--chunk is {chunk}, expected at least 1")
    return chunk


def chunk_execute(config: TrainConfig) -> int:
    """Returns how many actions of a chunk are done before the policy looks again: what was told, else half of them.

    Raises:
        LfdError: more of them than a chunk has, or none.
    """
    chunk = chunk_of(config)
    execute = (chunk + 1) // 2 if config.chunk_execute is None else config.chunk_execute
    if not 1 <= execute <= chunk:
        raise LfdError(f"--chunk-execute is {execute}, expected 1 to {chunk}, the --chunk")
    return execute


def _candidates(config: TrainConfig, discrete: bool, arm: bool) -> int:
    """Returns how many candidates there are; 0: the actor says numbers.

    Raises:
        LfdError: they were asked for where nothing can choose among them, or beside options of an actor of numbers.
    """
    of_numbers = _options_of_numbers(config)
    if config.candidates is None:
        return USUAL_CANDIDATES if arm and not discrete and config.algo in ("iq", "sqil") and not of_numbers else 0
    if config.candidates == 0:
        return 0
    if config.algo not in CHOOSERS or discrete:
        what = "discrete actions are candidates already" if discrete else f"not of --algo {config.algo}"
        raise LfdError(f"--candidates: {what}; leave it out")
    if config.candidates < 2:
        raise LfdError(f"--candidates is {config.candidates}, expected at least 2, or 0 for none")
    if of_numbers:
        raise LfdError(f"{of_numbers}: not of a policy that chooses among candidates; leave one of them out")
    return config.candidates


def _options_of_numbers(config: TrainConfig) -> str:
    """Returns which options were given that only an actor of numbers has."""
    said = {
        "--learn-temperature": config.learn_temperature, "--q-filter": config.q_filter,
        "--actor-step": config.actor_step != "soft", "--action-noise": config.action_noise > 0.0,
        "--bc-head": config.bc_head != "mse", "--memory": config.memory != "none",
        "--chunk-execute": config.chunk_execute is not None, "--chunk-blend": config.chunk_blend,
        "--divergence w1": config.divergence == "w1",
        "--state-only": config.state_only, "--n-step": config.n_step > 1,
    }  # fmt: skip
    return " and ".join(k for k, v in said.items() if v)


def _soft_shape(config: TrainConfig, discrete: bool) -> dict[str, Any]:
    chunk = chunk_of(config)
    for name, told in {"--bc-head": config.bc_head != "mse", "--memory": config.memory != "none"}.items():
        if told:
            raise LfdError(f"{name}: not of --algo {config.algo}; use --algo bc or leave it out")
    if chunk > 1 and discrete:
        raise LfdError("--chunk: for continuous actions, this environment has discrete ones; leave it out")
    if config.chunk_execute is not None or config.chunk_blend:
        raise LfdError(f"--chunk-execute and --chunk-blend: of --algo bc; {config.algo} does all that it decided on")
    return {"window": chunk, "n_step": config.n_step}


def _cloned_shape(config: TrainConfig, discrete: bool) -> dict[str, Any]:
    chunk = chunk_of(config)
    asked = {"--bc-head": config.bc_head != "mse", "--memory": config.memory != "none", "--chunk": chunk > 1}
    named = " and ".join(k for k, v in asked.items() if v)
    if named and config.algo != "bc":
        raise LfdError(f"{named}: not of --algo {config.algo}; use --algo bc or leave it out")
    if named and discrete:
        raise LfdError(f"{named}: for continuous actions, this environment has discrete ones; leave it out")
    if asked["--memory"] and asked["--chunk"]:
        raise LfdError("--memory and --chunk are two answers to one question; leave one out")
    if asked["--memory"] and len(set(config.hidden or ())) > 1:
        raise LfdError(f"--memory needs layers of one width, --hidden is {' '.join(map(str, config.hidden or ()))}")
    if asked["--chunk"]:
        shape = {"actor": "chunk", "window": chunk, "execute": chunk_execute(config)}
        return {**shape, "blend": config.chunk_blend, "head": config.bc_head}
    if config.chunk_blend or config.chunk_execute is not None:
        raise LfdError("--chunk-execute and --chunk-blend: of chunks; say how long they are with --chunk")
    if asked["--memory"]:
        return {"actor": config.memory, "window": config.memory_steps, "head": config.bc_head}
    return {"actor": "plain", "head": config.bc_head} if asked["--bc-head"] else {}


def _check_n_step(config: TrainConfig) -> None:
    if config.n_step < 1:
        raise LfdError(f"--n-step is {config.n_step}, expected at least 1")
    if config.n_step > 1 and config.algo not in ("iq", "sqil"):
        raise LfdError(f"--n-step: of --algo iq and sqil, {config.algo} judges every step by itself; leave it out")
    if config.n_step > 1 and chunk_of(config) > 1:
        raise LfdError("--n-step and --chunk: a chunk's reward is that of all its steps already; leave one out")
