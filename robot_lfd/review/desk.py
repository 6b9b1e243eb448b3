"""Desk: what the served page asks for and what it changes, without HTTP: rows, curves, clips, labels."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from robot_lfd.config import ReviewConfig
from robot_lfd.demos.store import DemoStore, EpisodeInfo
from robot_lfd.errors import LfdError
from robot_lfd.review.clips import ClipMaker
from robot_lfd.review.describe import belief_charts, charts, dataset_summary, measures, recovered_mean, said

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 4000, 80, 30
MEASURED = ("reward", "time", "intervention")


class Conflict(Exception):
    """The episode has been changed meanwhile: in another tab, or by another program."""


class Desk:
    """The datasets under review.

    Args:
        policy: whose beliefs are shown and by whose recovered reward episodes are ranked; None for none.
    """

    def __init__(self, stores: list[DemoStore], config: ReviewConfig, policy: Any = None) -> None:
        self.stores, self.policy = stores, policy
        self._makers = [ClipMaker(s, config.camera, config.size_px) for s in stores]
        self._studio = ThreadPoolExecutor(1, "studio")  # simulators and their graphics belong to one thread
        self._derived = [self._read_derived(s) for s in stores]

    def close(self) -> None:
        """Ends the simulators."""
        for maker in self._makers:
            self._studio.submit(maker.__exit__, None, None, None)
        self._studio.shutdown(wait=True, cancel_futures=True)

    def index(self) -> dict[str, Any]:
        """Returns the heads of all datasets and a row for every episode, deleted ones too."""
        heads, rows = [], []
        for number, store in enumerate(self.stores):
            mine = [self.row(number, i, place) for place, i in enumerate(store.ids(deleted=True), 1)]
            heads.append(dataset_summary(store, [r for r in mine if not r["deleted"]], 0))
            rows += mine
            self._keep_derived(number)
        return {"datasets": heads, "episodes": rows}

    def row(self, dataset: int, episode_id: str, number: int = 0) -> dict[str, Any]:
        """Returns what the page shows of an episode; what its arrays say is computed once and kept."""
        store = self.store(dataset)
        info = store.info(episode_id)
        key = f"{episode_id} {list(info.trim) if info.trim else ''} {self.policy.path if self.policy else ''}"
        found = self._derived[dataset].get(key)
        if found is None:
            found = self._derived[dataset][key] = self._measure(store, info)
        return {**found, **said(info), "dataset": dataset, "number": number, "revision": revision(info)}

    def _measure(self, store: DemoStore, info: EpisodeInfo) -> dict[str, Any]:
        if self.policy is not None:
            episode = store[info.id]
            arrays, recovered = episode.arrays(), {"recovered": recovered_mean(self.policy, episode)}
        else:
            arrays, recovered = store.arrays(info.id, MEASURED), {}
        reward, time, intervention = (arrays[name] for name in MEASURED)
        return {**measures(reward, time, intervention, store.spec.control_hz), **recovered}

    def curves(self, dataset: int, episode_id: str) -> list[dict[str, Any]]:
        """Returns the curves of an episode, the policy's beliefs first."""
        store = self.store(dataset)
        episode = store[episode_id]
        beliefs = belief_charts(self.policy, episode) if self.policy is not None else []
        return [*beliefs, *charts(episode, store.spec)]

    def clip(self, dataset: int, episode_id: str) -> tuple[bytes, str]:
        """Returns the video of an episode, and where its pictures come from."""
        self._known(dataset, episode_id)
        clip = self._studio.submit(self._makers[dataset].clip, episode_id).result()
        return clip.mp4, clip.note

    def still(self, dataset: int, episode_id: str) -> bytes:
        """Returns the last picture of an episode as a JPEG."""
        self._known(dataset, episode_id)
        return self._studio.submit(self._makers[dataset].still, episode_id).result()

    def change(self, dataset: int, episode_id: str, wish: dict[str, Any]) -> dict[str, Any]:
        """Writes what a person says of an episode into the label log, durably; returns the new row.

        Args:
            wish: success, note, tags, trim, deleted, as far as they change; and the `revision` that the person saw.

        Raises:
            Conflict: the episode is not any more what the person saw.
            LfdError: something in the wish makes no sense; nothing was changed then.
        """
        store = self.store(dataset)
        self._known(dataset, episode_id)
        fields = _checked(wish)
        if wish.get("revision") != revision(store.info(episode_id)):
            raise Conflict
        deleted = fields.pop("deleted", None)
        if fields:
            store.label(episode_id, **fields)
        if deleted is not None:
            (store.delete if deleted else store.undelete)(episode_id)
        return self.row(dataset, episode_id)

    def store(self, dataset: int) -> DemoStore:
        """Returns a dataset by its number. Raises LfdError where there is none."""
        if not 0 <= dataset < len(self.stores):
            raise LfdError(f"there is no dataset {dataset}")
        return self.stores[dataset]

    def _known(self, dataset: int, episode_id: str) -> None:
        if episode_id not in self.store(dataset):
            raise LfdError(f"there is no episode '{episode_id}'")

    def _read_derived(self, store: DemoStore) -> dict[str, Any]:
        try:
            found = json.loads((store.path / "cache" / "review" / "rows.json").read_text())
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def _keep_derived(self, number: int) -> None:
        folder = self.stores[number].path / "cache" / "review"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / "rows.json.part"
            part.write_text(json.dumps(self._derived[number]))
            part.replace(folder / "rows.json")
        except OSError:
            return  # a cache on a read-only or full disk is no reason to show nothing


def revision(info: EpisodeInfo) -> str:
    """Returns a short name of everything that can be changed of an episode: equal names, equal labels."""
    said = [info.success, info.note, list(info.tags), info.split, info.trim and list(info.trim), info.deleted]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _checked(wish: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a wish that change something, each of the right kind. Raises LfdError otherwise."""
    known = {"success": bool, "deleted": bool, "note": str, "tags": list, "trim": list, "revision": str}
    for name, value in wish.items():
        if name not in known or not isinstance(value, known[name]):
            raise LfdError(f"'{name}' cannot be {json.dumps(value)[:60]}")
    fields = {k: v for k, v in wish.items() if k != "revision"}
    if len(fields.get("note", "")) > LONGEST_NOTE:
        raise LfdError(f"the note has {len(fields['note'])} letters, at most {LONGEST_NOTE} are kept")
    if "tags" in fields:
        tags = fields["tags"]
        if len(tags) > MOST_TAGS or not all(isinstance(t, str) and 0 < len(t) <= LONGEST_TAG for t in tags):
            raise LfdError(f"tags are at most {MOST_TAGS} words of up to {LONGEST_TAG} letters")
        fields["tags"] = tuple(dict.fromkeys(tags))
    if "trim" in fields:
        if len(fields["trim"]) != 2 or not all(isinstance(x, int) and not isinstance(x, bool) for x in fields["trim"]):
            raise LfdError("a trim is a first and a last step")
        fields["trim"] = tuple(fields["trim"])
    return fields
