"""Checkpoints: a folder of safetensors and JSON with DONE written last; and the policy that is loaded from one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.torch
import torch

from policies.candidates import CandidateLearned, CandidateRows, Candidates
from policies.export import ChunkRows, Network, PixelRows
from policies.learned import Critical, DiscreteLearned, GaussianLearned, Learned
from policies.networks import CriticEnsemble, DiscreteCriticEnsemble, Normaliser, TanhGaussianActor, latest
from policies.pixel_actor import PixelActor, Sight
from policies.pixel_learned import PixelLearned
from policies.sequence_cloning import Actor, ChunkActor, ClonedLearned, PlainActor, make_actor
from robot_lfd.believable import check_claims
from robot_lfd.durable import publish, remove_folder, sync_file, sync_folder, write_tree
from robot_lfd.errors import LfdError
from robot_lfd.frames import Frames, stacked_episode
from robot_lfd.policy_spec import FORMAT_VERSION, PolicySpec

Tensors = dict[str, torch.Tensor]
VALUE_SAMPLES = 16  # actions, for V of one state


def save_checkpoint(
    run: Path, spec: PolicySpec, stats: dict[str, list[float]], model: Tensors, training: Tensors, progress: dict
) -> Path:
    """Writes `checkpoints/<step>` under `run`, all or nothing, and returns it.

    Args:
        stats: mean and std of each feature column, and action_std. model: what a policy needs.
        training: what resuming needs. progress: counters and random states that JSON can hold.
    """
    final = run / "checkpoints" / f"{spec.step:08d}"
    staged = final.with_name(f".{final.name}.tmp")
    remove_folder(staged)
    staged.mkdir(parents=True)
    safetensors.torch.save_file(_own(model), staged / "model.safetensors")
    safetensors.torch.save_file(_own(training), staged / "training.safetensors")
    for file in staged.iterdir():
        sync_file(file)
    documents = {"config": dataclasses.asdict(spec), "stats": stats, "progress": progress}
    texts = {f"{name}.json": f"{json.dumps(content, indent=1)}\n".encode() for name, content in documents.items()}
    write_tree(staged, {**texts, "DONE": b""})
    remove_folder(final)
    publish(staged, final)
    sync_folder(run)
    _drop_old_training(final)
    return final


def _own(tensors: Tensors) -> Tensors:
    return {k: v.detach().contiguous().clone() for k, v in tensors.items()}


def _drop_old_training(newest: Path) -> None:
    """Keeps what resuming needs in the newest checkpoint alone: it holds the whole replay buffer."""
    for old in finished_checkpoints(newest.parent.parent):
        if old != newest:
            (old / "training.safetensors").unlink(missing_ok=True)


def finished_checkpoints(run: Path) -> list[Path]:
    """Returns the checkpoint folders of a run that were written to the end, oldest first."""
    folders = sorted((run / "checkpoints").glob("[0-9]*")) if run.is_dir() else []
    return [f for f in folders if (f / "DONE").exists()]


def find_checkpoint(path: Path) -> Path:
    """Returns the checkpoint meant by a run folder (its last finished one) or by a checkpoint folder.

    Raises:
        LfdError: there is no such folder, or no finished checkpoint in it.
    """
    if not path.exists():
        raise LfdError(f"no such run: '{path}'; train one with lfd train --out {path}")
    if (path / "DONE").exists():
        return path
    if any(path.glob("seed-*/config.json")):
        raise LfdError(f"'{path}' holds runs of several seeds; name one of them, such as {path}/seed-0")
    if (path / "model.safetensors").exists():
        raise LfdError(f"checkpoint '{path}' is unfinished: it has no DONE; use an earlier one of the same run")
    finished = finished_checkpoints(path)
    if not finished:
        raise LfdError(f"run '{path}' has no finished checkpoint; continue it with lfd train --resume --out {path}")
    return finished[-1]


def read_spec(checkpoint: Path) -> PolicySpec:
    """Returns what a checkpoint says of its policy. Raises LfdError where it is damaged or of a newer format."""
    document = read_json(checkpoint / "config.json")
    if document.get("format_version") != FORMAT_VERSION:
        found = document.get("format_version")
        raise LfdError(f"checkpoint '{checkpoint}' has format {found}, this lfd reads {FORMAT_VERSION}; update lfd")
    unknown = sorted(document.keys() - {field.name for field in dataclasses.fields(PolicySpec)})
    if unknown:
        raise LfdError(
            f"checkpoint '{checkpoint}': config.json has {', '.join(map(repr, unknown))}, unknown to this lfd: "
            "a newer one wrote it, or somebody edited it; update lfd"
        )
    try:
        check_claims(document, (checkpoint / "model.safetensors").stat().st_size)
        lists = {k: tuple(document.pop(k)) for k in ("features", "sizes", "hidden")}
        return PolicySpec(**{**document, **lists})
    except OSError as error:
        raise LfdError(f"checkpoint '{checkpoint}' has no weights: {error.strerror}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise LfdError(f"checkpoint '{checkpoint}': config.json is damaged: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns a JSON object. Raises LfdError where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LfdError(f"'{path}' cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LfdError(f"'{path}' holds {type(content).__name__}, expected an object")
    return content


def read_tensors(path: Path) -> Tensors:
    """Returns the tensors of a safetensors file; nothing in it is ever executed. Raises LfdError where damaged."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise LfdError(f"'{path}' cannot be read: {error}") from error


class LearnedPolicy:
    """A trained policy: acts on observation dicts, and tells what its critics think where it has some.

    Attributes:
        spec: what it was trained for. path: its checkpoint. policy_keys: the observations that it looks at.
    """

    def __init__(self, path: Path, spec: PolicySpec, stats: dict[str, Any], model: Tensors) -> None:
        self.path, self.spec = path, spec
        self.env_id, self.env_kwargs, self.control_hz = spec.env_id, spec.env_kwargs, spec.control_hz
        self.step, self.algo, self.policy_keys = spec.step, spec.algo, spec.features
        self._stacked = 1 if spec.actor == "pixels" else spec.frame_stack  # one that sees stacks its pictures itself
        self._frames = Frames(self._stacked)
        try:
            self._learned = _learned(spec, stats, model)
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            reason = str(error).replace("\n", " ")[:200]
            raise LfdError(f"checkpoint '{path}': the weights do not fit config.json: {reason}") from error

    @property
    def has_critic(self) -> bool:
        """Whether it can judge: `q`, `value` and `recovered_reward` mean something."""
        return self._learned.has_critic

    @property
    def critic(self) -> Critical:
        """What `q`, `value` and `recovered_reward` ask.

        Raises:
            LfdError: this policy has none (a clone has not, nor has one that sees).
        """
        if not self.has_critic:
            raise LfdError(f"'{self.path}' ({self.algo}) has no critic, so no Q, V or reward; train one with --algo iq")
        return cast(Critical, self._learned)

    @property
    def actor(self) -> Network:
        """The network that acts, with its normalisation, as a function without memory: what `lfd export` writes.

        Raises:
            LfdError: this kind of policy remembers more than the pictures that it is given and what it still has to do.
        """
        learned = self._learned
        network = learned.critic if isinstance(learned, DiscreteLearned) else getattr(learned, "actor", None)
        if isinstance(network, PixelActor):
            return PixelRows(network)
        if isinstance(network, ChunkActor) and not network.blend:
            return ChunkRows(network)
        if isinstance(network, (TanhGaussianActor, PlainActor, DiscreteCriticEnsemble, CandidateRows)):
            return network
        why = "blends what it said before" if self.spec.actor == "chunk" else "remembers"
        raise LfdError(f"'{self.path}' {why}; only policies that act on what they see now can be exported")

    def reset(self) -> None:
        """Begins an episode."""
        self._frames.begin()
        self._learned.begin()

    def replan(self) -> None:
        """Drops what was decided on and is still to come: somebody else has acted meanwhile. What was seen stays."""
        self._learned.replan()

    @torch.no_grad()
    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the best action for one observation, float32 (A,), or an int64 scalar where actions are discrete."""
        seen = self._frames.add(self._features(obs)[0])
        return self._learned.act(torch.from_numpy(seen)[None])[0].numpy()

    @torch.no_grad()
    def q(self, obs: dict[str, np.ndarray], action: np.ndarray) -> np.ndarray:
        """Returns Q(s, a), the mean over the critics, (B,) for rows of observations (B, ...) and actions (B, A).

        Where the policy decides on several actions at once, or sees several steps at once, the rows are consecutive
        steps of one episode, from its beginning: a step's Q is that of the actions from it on.

        Raises:
            LfdError: this policy has no critic, so it has no opinion; `value` and `recovered_reward` raise it too.
        """
        critic, rows = self.critic, torch.from_numpy(self._seen(obs))
        wanted = np.asarray(action, np.int64 if self.spec.discrete else np.float32)
        wanted = wanted[self._ahead(len(rows), self.spec.decided)]
        return critic.q(rows, torch.from_numpy(wanted.reshape(len(rows), -1))).numpy()

    @torch.no_grad()
    def value(self, obs: dict[str, np.ndarray], samples: int = VALUE_SAMPLES) -> np.ndarray:
        """Returns V(s) = E[Q(s, a) - temperature log pi(a|s)] over `samples` actions, (B,), for rows as of `q`."""
        critic, rows = self.critic, torch.from_numpy(self._seen(obs))
        return critic.value(rows, samples).numpy()

    @torch.no_grad()
    def recovered_reward(
        self, obs: dict[str, np.ndarray], action: np.ndarray, next_obs: dict[str, np.ndarray], terminated: np.ndarray
    ) -> np.ndarray:
        """Returns r = Q(s, a) - gamma V(s'), (B,): the reward that IQ-Learn recovered, known up to shaping.

        Where it learned from observations alone, it is V(s) - gamma V(s').

        Where the policy decides on several actions at once, it is the reward of all of them, and s' follows the last;
        so it is of a policy that learned from the rewards of several steps at once.

        Source: Garg et al. 2021, Eq. 6 and Sec. 5.4.
        """
        worth = self.value(obs) if self.spec.state_only else self.q(obs, action)
        last = self._ahead(len(terminated), self.spec.spans.row)[:, -1]
        onward = np.concatenate([self._features(obs)[:1], self._features(next_obs)])
        rows = torch.from_numpy(stacked_episode(onward, self._stacked)[1:])
        next_value, ended = self.critic.value(rows, VALUE_SAMPLES).numpy()[last], np.asarray(terminated)[last]
        if self.spec.absorbing_value is not None:
            next_value = np.where(ended, self.spec.absorbing_value, next_value)
        return worth - self.spec.decision_gamma * next_value

    def _ahead(self, steps: int, count: int) -> np.ndarray:
        """Returns for each step which `count` steps follow from it on, (steps, count); past the end, the last."""
        return np.minimum(np.arange(steps)[:, None] + np.arange(count), steps - 1)

    def _seen(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns what is seen at each of consecutive steps, (B, W)."""
        return stacked_episode(self._features(obs), self._stacked)

    def _features(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        columns = []
        for key, size in zip(self.spec.features, self.spec.sizes, strict=True):
            if key not in obs:
                raise LfdError(f"the policy needs observation '{key}', this environment gives: {', '.join(obs)}")
            columns.append(np.asarray(obs[key], np.float32).reshape(-1, size))
        return np.concatenate(columns, 1)


def _learned(spec: PolicySpec, stats: dict[str, Any], model: Tensors) -> Learned:
    """Returns the networks that `spec` describes, with their weights."""
    if spec.actor == "pixels":
        return PixelLearned(_pixel_actor(spec, stats), model, spec.window, spec.execute)
    width = spec.width
    normaliser = spec.sight(Normaliser(_row(stats, "mean", width), _row(stats, "std", width), floor=0.0))
    shape = (spec.decided_size, spec.hidden, spec.critics)
    if spec.actor == "candidates":
        candidates = Candidates(normaliser, _row(stats, "action_std", spec.decided_size), spec.candidates, seed=0)
        table = DiscreteCriticEnsemble(
            normaliser, spec.candidates, spec.hidden, spec.critics, seed=0, layer_norm=spec.layer_norm
        )
        return CandidateLearned(candidates, table, model, spec.temperature, spec.window)
    if spec.actor != "gaussian":
        return ClonedLearned(cloned_actor(spec, normaliser, seed=0), model)
    if spec.discrete:
        table = DiscreteCriticEnsemble(normaliser, *shape, seed=0, layer_norm=spec.layer_norm)
        return DiscreteLearned(table, model, spec.temperature)
    spread = _row(stats, "action_std", spec.decided_size)
    actor = TanhGaussianActor(normaliser, spread, spec.hidden, seed=0, most_noise=spec.most_noise)
    critic = CriticEnsemble(latest(normaliser, spec.frame_stack), *shape, seed=0, layer_norm=spec.layer_norm)
    return GaussianLearned(actor, critic, model, spec.temperature, spec.window)


def cloned_actor(spec: PolicySpec, normaliser: Normaliser, seed: int) -> Actor:
    """Returns the actor of a policy that only clones, with first weights."""
    return make_actor(
        spec.actor, normaliser, spec.action_size, spec.hidden, head=spec.head, window=spec.window,
        execute=spec.execute, blend=spec.blend, seed=seed,
    )  # fmt: skip


def _pixel_actor(spec: PolicySpec, stats: dict[str, Any]) -> PixelActor:
    felt = sum(spec.sizes) - len(spec.cameras) * 3 * spec.size_px**2
    normaliser = Normaliser(_row(stats, "mean", felt), _row(stats, "std", felt), floor=0.0)
    sight = Sight(len(spec.cameras), spec.size_px, spec.frame_stack, spec.encoder)
    return PixelActor(sight, normaliser, spec.decided_size, spec.hidden, seed=0)


def _row(stats: dict[str, Any], name: str, width: int) -> torch.Tensor:
    try:
        row = torch.tensor(stats.get(name, []), dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LfdError(f"stats.json: '{name}' is damaged: {str(error).splitlines()[0]}") from error
    if row.shape != (width,):
        raise LfdError(f"stats.json: '{name}' has shape {tuple(row.shape)}, expected ({width},)")
    return row


def load_policy(path: Path) -> LearnedPolicy:
    """Returns the policy of a run's last finished checkpoint, or of the checkpoint `path` itself.

    Raises:
        LfdError: nothing finished is there, or it is damaged.
    """
    checkpoint = find_checkpoint(path)
    torch.set_num_threads(1)  # measured: two threads are 2-4 times slower than one for networks of this size
    spec = read_spec(checkpoint)
    return LearnedPolicy(
        checkpoint, spec, read_json(checkpoint / "stats.json"), read_tensors(checkpoint / "model.safetensors")
    )
