"""Saving: an episode is judged, filmed and stored off the control loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.stage import Stage
from robot_lfd.verdict import Verdict, judge


@dataclass(frozen=True)
class Kept:
    """An episode of this session that is in the dataset."""

    id: str
    seed: int | None
    success: bool
    verdict: Verdict


class Saving(threading.Thread):
    """Starts at once. `kept` is None where it failed: see `error`.

    Args:
        episode: builds the episode.
        seed: of its start.
    """

    def __init__(
        self, stage: Stage, store: DemoStore, episode: Callable[[], Episode], control_hz: float, seed: int | None
    ) -> None:
        super().__init__(name="saving", daemon=True)
        self._stage, self._store, self._episode = stage, store, episode
        self._control_hz, self._seed = control_hz, seed
        self.kept: Kept | None = None
        self.error = ""
        self.start()

    def run(self) -> None:
        """Saves."""
        try:
            episode = self._episode()
            verdict = judge(episode, self._control_hz, self._stage.replays(episode))
            episode = self._stage.film(episode.replace(meta={**episode.meta, "verdict": verdict.to_json()}))
            episode_id = self._store.append(episode)
        except (LfdError, OSError) as error:
            self.error = str(error)
        else:
            self.kept = Kept(episode_id, self._seed, episode.success, verdict)
