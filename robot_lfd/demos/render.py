"""`lfd data render`: the same demos seen by other cameras, or in other sizes, by simulating them again."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from rich.console import Console

from robot_lfd.demos.config import DataRenderConfig
from robot_lfd.demos.edit import copy_labels, provenance
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.labels import Label
from robot_lfd.demos.remote import written_at
from robot_lfd.demos.resimulate import comes_again, first_difference, play_again
from robot_lfd.demos.show import Advance, progress
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import NO_LIMIT, make_env
from robot_lfd.errors import LfdError
from robot_lfd.remote import url_of
from robot_lfd.scale.cluster import cores, is_asked_for
from robot_lfd.scale.jobs import Progress, pieces, run_jobs

NOTHING_SAID = Label()


def run(config: DataRenderConfig) -> dict[str, Any]:
    """`lfd data render`: writes a new dataset with the pictures asked for; everything else is copied bit for bit."""
    if config.address is not None and url_of(config.out):
        raise LfdError(f"--out {config.out}: a cluster renders into a folder that all share; then lfd data copy")
    with written_at(config.out) as folder:
        return {**_run(dataclasses.replace(config, out=folder)), "out": url_of(config.out) or str(config.out)}


def _run(config: DataRenderConfig) -> dict[str, Any]:
    store = DemoStore.open(config.dataset)
    if not config.cameras:
        raise LfdError("no camera was named; say which with --cameras")
    ids = store.ids()
    if is_asked_for(config.workers, config.address):
        count = cores() if config.workers is None else config.workers
        jobs = [RenderJob(_absolute(config), ids[p.start : p.stop]) for p in pieces(len(ids), count)]
        done = run_jobs(jobs, workers=config.workers, address=config.address, title="rendering")
    else:
        with progress("rendering", len(ids)) as advance:
            done = [_render(config, ids, advance)]
    new, drifted = sum(d.new for d in done), [i for d in done for i in d.drifted]
    console = Console()
    console.print(f"rendered {new} demo(s) into '{config.out}', {len(ids) - new} were there already")
    for episode_id in drifted:
        console.print(f"[yellow]demo {episode_id} does not simulate exactly: its recorded states were drawn[/]")
    return {"out": str(config.out), "rendered": new, "already_there": len(ids) - new, "from_states": drifted}


class Rendered(NamedTuple):
    """How many demos got new pictures, and those whose recorded states were drawn."""

    new: int
    drifted: list[str]


@dataclasses.dataclass
class RenderJob:
    """Some demos of a dataset."""

    config: DataRenderConfig
    ids: list[str]
    done: int = 0

    @property
    def name(self) -> str:
        """The first of its demos, and how many."""
        return f"{len(self.ids)} demos from {self.ids[0]}"

    def run(self, desk: dict[str, Any]) -> Rendered:
        """Renders; what an earlier attempt has stored is left out."""
        return _render(self.config, self.ids, self._advance)

    def _advance(self, pieces: int = 1) -> None:
        self.done += pieces

    def progress(self) -> Progress:
        """Counts demos."""
        return Progress(self.done, len(self.ids))

    def again(self) -> RenderJob:
        """Returns the same job from its beginning."""
        return RenderJob(self.config, self.ids)


def _absolute(config: DataRenderConfig) -> DataRenderConfig:
    here = {k: getattr(config, k) for k in ("dataset", "out")}
    return dataclasses.replace(config, **{k: v if url_of(v) else v.resolve() for k, v in here.items()})


def _render(config: DataRenderConfig, ids: list[str], advance: Advance) -> Rendered:
    """Renders the demos of these ids into --out, which is made where it is not there."""
    store = DemoStore.open(config.dataset)
    looks = {} if config.pictures is None else {"pictures": config.pictures}
    env_kwargs = {**store.spec.env_kwargs, **looks}
    keywords = {k: v for k, v in env_kwargs.items() if k not in ("max_episode_steps", "render_mode")}
    if not store.spec.env_id.startswith(("pybullet/", "robosuite/")):
        keywords["render_mode"] = "rgb_array"  # ours draw on demand, others only where they were told so
    env = make_env(
        store.spec.env_id, cameras=config.cameras, size_px=config.size_px, max_episode_steps=NO_LIMIT, **keywords
    )
    drifted, new = [], 0
    spec = spec_with(store.spec, config.cameras, config.size_px)
    try:
        out = DemoStore.open_or_create(config.out, dataclasses.replace(spec, env_kwargs=env_kwargs))
        for episode_id in ids:
            if episode_id not in out:
                episode, exact = _rendered(env, store.recorded(episode_id))
                drifted += [] if exact else [episode_id]
                out.append(episode, episode_id=episode_id, **provenance(store, episode_id))
                new += 1
            if out.labels[episode_id] == NOTHING_SAID:  # also of one that was stored just before a crash
                copy_labels(store, episode_id, out)
            advance()
    finally:
        env.close()
    return Rendered(new, drifted)


def spec_with(spec: DatasetSpec, cameras: tuple[str, ...], size_px: int) -> DatasetSpec:
    """Returns the spec of the same demos with these cameras and no others."""
    names = ["height", "width", "channel"]
    picture = {"shape": [size_px, size_px, 3], "dtype": "uint8", "unit": "1", "names": names}
    kept = {p: f for p, f in spec.features.items() if not p.startswith("images/")}
    return dataclasses.replace(spec, features={**kept, **{f"images/{c}": picture for c in cameras}})


def _rendered(env: gym.Env, episode: Episode) -> tuple[Episode, bool]:
    """Returns the episode with new pictures, and whether they come from an exact re-simulation."""
    pictures: dict[str, np.ndarray] | None = None
    if comes_again(episode):
        again = play_again(env, episode)
        if first_difference(episode, again) is None:
            pictures = {k: v for k, v in again.obs.items() if k.startswith("images/")}
    exact = pictures is not None
    seen = pictures if pictures is not None else _pictures_of_states(env, episode)
    kept = {k: v for k, v in episode.obs.items() if not k.startswith("images/")}
    return episode.replace(obs={**kept, **seen}), exact


def _pictures_of_states(env: gym.Env, episode: Episode) -> dict[str, np.ndarray]:
    """Returns the pictures of the recorded states, set one by one."""
    frames: dict[str, list[np.ndarray]] = {}
    for k, state in enumerate(episode.sim_state):
        options = {"model": episode.model if k == 0 else "", "sim_state": state}
        obs, _ = env.reset(seed=episode.meta.get("seed"), options=options)
        now = arm_of(env).sim_state()
        if now.shape != state.shape or not np.allclose(now, state):
            raise LfdError("this environment cannot be put into a recorded state, so its demos cannot be rendered")
        for key, picture in obs.items():
            if key.startswith("images/"):
                frames.setdefault(key, []).append(picture)
    return {key: np.stack(pictures) for key, pictures in frames.items()}
