"""FarPractice: rollout workers of Ray practise in their own environments and feed one learner.

Each worker takes many steps a call with the weights that it was sent, while the learner learns from what came before.
The order in which rows arrive is fixed, whoever is faster, so a run with the same seed gives the same numbers. Rows are
stale: the learner has moved on since their weights were sent, by less than `staleness_bound` updates.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import torch

from policies.agent import Agent
from robot_lfd.errors import LfdError
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.scale.cluster import Cluster
from robot_lfd.scale.jobs import ATTEMPTS
from robot_lfd.train.agents import make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.practice import SEEDS_A_RUN, Practice, Results, restore, scalars_of, state_of
from robot_lfd.train.rows import STEP_COLUMNS, Replay, Rows

NOISE_SEEDS = 7919  # between the noise of two workers


class Piece(NamedTuple):
    """Steps of one worker, in order.

    Attributes:
        rows: of each of STEP_COLUMNS, (R, ...). added: (S,) how many of the rows each control step completed.
        ends: step, success, return and length of each episode that ended. sent_at: updates that the learner had done
            when the weights were sent.
    """

    rows: dict[str, np.ndarray]
    added: np.ndarray
    ends: list[tuple[int, tuple[bool, float, int]]]
    sent_at: int


class Rollouts:
    """An environment and a policy in a process of their own; becomes a Ray actor.

    Args:
        env: id and keywords. rows: the demos', from which the agent has its scales. first: of its episodes.
    """

    def __init__(
        self, config: TrainConfig, spec: PolicySpec, env: tuple[str, dict[str, Any]], rows: Rows, first: int, noise: int
    ) -> None:
        from robot_lfd.envs.registry import make_env

        torch.set_num_threads(1)
        self._agent: Any = make_agent(config, spec, rows)
        self._agent.generator = torch.Generator().manual_seed(noise)
        room = Replay(config.staleness_bound + 2 * spec.spans.row, rows)
        self._practice = Practice(
            make_env(env[0], **env[1]), self._agent, spec.features, room, config.seed, config.success_blind, spec.spans
        )
        self._practice.episode = first

    def collect(self, weights: dict[str, np.ndarray], steps: int, sent_at: int) -> Piece:
        """Returns so many steps with these weights; episodes go on from call to call."""
        acting(self._agent).load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        practice, room = self._practice, self._practice.replay
        room.count, added, ends = 0, [], []
        for index in range(steps):
            before, episode = room.count, practice.episode
            practice.step()
            added.append(room.count - before)
            if practice.episode > episode:
                ends.append((index, practice.results[-1]))
        rows = {k: getattr(room.arrays, k)[: room.count].copy() for k in STEP_COLUMNS}
        return Piece(rows, np.array(added), ends, sent_at)


def acting(agent: Any) -> torch.nn.Module:
    """Returns the network that chooses actions: the actor, or the critics where actions are discrete."""
    return agent.actor if hasattr(agent, "actor") else agent.critic


def piece_steps(workers: int, staleness_bound: int, updates_per_step: int) -> int:
    """Returns how many steps a worker takes with one set of weights, so that no row is staler than the bound.

    A worker is sent new weights when the learner begins with its last piece: then that one, one of each other worker
    and the new piece itself are still to be learned from.
    """
    return staleness_bound // ((workers + 1) * updates_per_step)


def check_rollouts(config: TrainConfig) -> None:
    """Raises LfdError where rollout workers are asked for and cannot be."""
    least = (config.rollout_workers + 1) * config.updates_per_step
    if config.rollout_workers < 0:
        raise LfdError(f"--rollout-workers is {config.rollout_workers}, expected 0 or more")
    if config.rollout_workers and (config.mode == "offline" or config.algo == "bc"):
        raise LfdError("--rollout-workers practise, and nothing practises here; use --mode online, or leave it out")
    if config.rollout_workers and config.seeds is not None:
        raise LfdError("--seeds shares whole runs out and --rollout-workers one run; leave one out")
    if config.rollout_workers and config.copies > 1:
        raise LfdError("--copies and --rollout-workers are two ways to practise; leave one out")
    if config.rollout_workers and config.staleness_bound < least:
        raise LfdError(
            f"--staleness-bound is {config.staleness_bound}, expected at least {least}: a step of each of the "
            f"{config.rollout_workers} workers and one more, {config.updates_per_step} updates each"
        )


class FarPractice:
    """Adds one step of the workers' practice to `replay` at a time, as `Practice` does with its own.

    A worker that dies is replaced by one that begins new episodes. A resumed run begins new episodes too: those in
    progress are not kept, so it does not continue bit for bit.

    Args:
        env: id and keywords of the workers' environments. rows: the demos', as `make_agent` takes them.
    """

    def __init__(
        self, cluster: Cluster, config: TrainConfig, spec: PolicySpec, env: tuple[str, dict[str, Any]], agent: Agent,
        rows: Rows, replay: Replay,
    ) -> None:  # fmt: skip
        self._cluster, self._ray, self._agent, self.replay, self._config = cluster, cluster.ray, agent, replay, config
        self._made = config, spec, env, rows
        self._count, self._updates = config.rollout_workers, config.updates_per_step
        self._piece_steps = piece_steps(self._count, config.staleness_bound, self._updates)
        self.results: Results = deque(maxlen=20)
        self.episode, self._taken, self._deaths = 0, 0, 0
        self._workers: list[Any] = []
        self._pieces: deque[tuple[int, Any]] = deque()  # worker, promise of a piece
        self._now: Piece | None = None
        self._driver = 0  # whose piece that is
        self._given = [list[int]() for _ in range(self._count)]  # that the episodes in progress gave to `replay`
        self._place = self._row = 0
        self._staleness = deque[int](maxlen=1000)

    def step(self) -> None:
        """Takes the next step, waiting for its worker where that is slower than the learner."""
        if not self._workers:
            self._begin()
        if self._now is None:
            worker, promise = self._pieces.popleft()
            self._now, self._place, self._row, self._driver = self._received(worker, promise), 0, 0, worker
            self._ask(worker)
        piece, at, rows = self._now, self._place, self._given[self._driver]
        rows.extend(range(self.replay.count, self.replay.count + int(piece.added[at])))
        for row in range(self._row, self._row + int(piece.added[at])):
            self.replay.add(*(piece.rows[k][row] for k in STEP_COLUMNS))
        self._row += int(piece.added[at])
        self._staleness.append(self._taken * self._updates - piece.sent_at)
        for index, result in piece.ends:
            if index == at:
                self.results.append(result)
                self.episode += 1
                if result[0]:
                    self.replay.note_solved(rows)
                self._given[self._driver] = rows = []
        self._taken, self._place = self._taken + 1, at + 1
        if self._place == len(piece.added):
            self._now = None

    def _begin(self) -> None:
        self._cluster.free()
        make = self._ray.remote(num_cpus=1, max_restarts=0)(Rollouts)
        made = self._ray.put(self._made[-1])
        apart = SEEDS_A_RUN // self._count  # episodes of one worker and the next
        self._start = lambda k: make.remote(
            *self._made[:-1], made, k * apart + self.episode + self._deaths,
            self._config.seed + NOISE_SEEDS * (k + 1) + self._taken + self._deaths,
        )  # fmt: skip
        self._workers = [self._start(k) for k in range(self._count)]
        for k in range(self._count):
            self._ask(k)

    def _ask(self, worker: int) -> None:
        weights = {k: v.numpy().copy() for k, v in acting(self._agent).state_dict().items()}
        sent_at = self._taken * self._updates
        promise = self._workers[worker].collect.remote(weights, self._piece_steps, sent_at)
        self._pieces.append((worker, promise))

    def _received(self, worker: int, promise: Any) -> Piece:
        """Returns a piece; where its worker has died, one of the worker that takes its place."""
        while True:
            try:
                return self._ray.get(promise)
            except self._ray.exceptions.RayTaskError as error:
                raise LfdError(f"a rollout worker failed: {str(error).strip().splitlines()[-1]}") from error
            except self._ray.exceptions.RayError as error:
                self._deaths += 1
                if self._deaths >= ATTEMPTS:
                    why = str(error).strip().splitlines()[0]
                    raise LfdError(f"{self._deaths} rollout workers died; the last one: {why}") from error
                self._workers[worker], self._given[worker] = self._start(worker), []
                self._ask(worker)
                _, promise = self._pieces.pop()

    def scalars(self) -> dict[str, float]:
        """Returns success, return and length over the last 20 episodes, and how stale the last 1,000 steps were."""
        found: dict[str, float] = {}
        if self._staleness:
            found = {"staleness_mean": float(np.mean(self._staleness)), "staleness_max": float(max(self._staleness))}
        return {**scalars_of(self.results), **found}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the replay buffer, counters and the latest results as tensors."""
        counts = {"episode": torch.tensor(self.episode), "taken": torch.tensor(self._taken)}
        return {**state_of(self.replay, self.results), **counts}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Goes on with what `state_dict` returned, and with new episodes."""
        restore(state, self.replay, self.results)
        self.episode = int(state["episode"]) + 1
        self._taken = int(state["taken"]) if "taken" in state else self.replay.count

    def close(self) -> None:
        """Lets the workers go."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []
