"""Desk: what the served page asks for and what it changes, without HTTP: rows, curves, clips, labels."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from robot_lfd.config import ReviewConfig
from robot_lfd.demos.edit import provenance
from robot_lfd.demos.store import DemoStore, EpisodeInfo
from robot_lfd.errors import LfdError
from robot_lfd.review.beside import read_film, read_still
from robot_lfd.review.clips import ClipMaker
from robot_lfd.review.darkroom import beside_folder
from robot_lfd.review.describe import belief_charts, charts, dataset_summary, judgement, measures, misfit, pending, said
from robot_lfd.review.evaluation import EvaluationDesk, film_name
from robot_lfd.review.studio import STILL, Made, Studio
from robot_lfd.review.wishes import Conflict, checked, revision, whole_number

MEASURED = ("reward", "time", "intervention")
PATH = "obs/eef_pos"
MOST_AT_ONCE = 256
SMALLEST_PX, LARGEST_PX = 64, 1024
MOMENT_S = 0.1  # rows are measured for so long at a time


class Desk:
    """The datasets under review.

    Args:
        policy: whose beliefs are shown and by whose judgement episodes are ranked; None for none.
    """

    def __init__(self, stores: list[DemoStore], config: ReviewConfig, policy: Any = None) -> None:
        self.stores, self.policy = stores, policy
        self._judges = [policy if policy is not None and misfit(s, policy) is None else None for s in stores]
        self.evaluations = EvaluationDesk([*([config.policy] if config.policy else []), *config.runs])
        self._makers = [ClipMaker(s, config.camera, config.size_px) for s in stores]
        self._studio = Studio(config)
        self._derived = [self._read_derived(s) for s in stores]

    def close(self) -> None:
        """Ends the process that simulates."""
        self._studio.close()

    # What is shown

    def index(self) -> dict[str, Any]:
        """Returns the heads of all datasets and a row for every episode, deleted ones too.

        No array is read for it: rows of which nothing was computed yet are `pending`; `measured` gives the rest.
        """
        heads, rows = list[dict[str, Any]](), list[dict[str, Any]]()
        for number, store in enumerate(self.stores):
            mine = [self._row(number, i, place, wait=False) for place, i in enumerate(store.ids(deleted=True), 1)]
            head = dataset_summary(store, [r for r in mine if not r["deleted"]], 0, self._makers[number].shown())
            heads.append({**head, "judged": self._judges[number] is not None})
            rows += mine
        about = {"algo": self.policy.algo, "step": self.policy.step} if self.policy is not None else None
        return {"datasets": heads, "episodes": rows, "policy": about, "evaluated": bool(self.evaluations.groups)}

    def row(self, dataset: int, episode_id: str) -> dict[str, Any]:
        """Returns what the page shows of an episode; what its arrays say is computed once and kept."""
        self._known(dataset, episode_id)
        return self._row(dataset, episode_id, 0, wait=True)

    def measured(self, dataset: int, first: int) -> tuple[list[dict[str, Any]], int | None]:
        """Returns rows of a dataset from place `first` on, as many as are done in a moment, and where to go on."""
        ids = self.store(dataset).ids(deleted=True)
        rows, until = list[dict[str, Any]](), time.monotonic() + MOMENT_S
        for place, episode_id in enumerate(ids[first:], first + 1):
            rows.append(self._row(dataset, episode_id, place, wait=True))
            if time.monotonic() > until and place < len(ids):
                return rows, place
        self._keep_derived(dataset)
        return rows, None

    def _row(self, dataset: int, episode_id: str, number: int, *, wait: bool) -> dict[str, Any]:
        store = self.stores[dataset]
        info = store.info(episode_id)
        judge = self._judges[dataset]
        # 2: the version of what `_measure` returns
        key = f"2 {episode_id} {list(info.trim) if info.trim else ''} {judge.path if judge else ''}"
        found = self._derived[dataset].get(key)
        if found is None and wait:
            found = self._derived[dataset][key] = self._measure(store, info, judge)
        found = pending(info.length, store.spec.control_hz) if found is None else found
        return {**found, **said(info), "dataset": dataset, "number": number, "revision": revision(info)}

    def _measure(self, store: DemoStore, info: EpisodeInfo, judge: Any) -> dict[str, Any]:
        if judge is not None:
            episode = store[info.id]
            return {**measures(episode.arrays(), store.spec.control_hz), **judgement(judge, episode)}
        wanted = [*MEASURED, *([PATH] if PATH in store.spec.features else [])]
        return measures(store.arrays(info.id, wanted), store.spec.control_hz)

    def curves(self, dataset: int, episode_id: str) -> list[dict[str, Any]]:
        """Returns the curves of an episode, the policy's beliefs first."""
        store = self.store(dataset)
        episode = store[episode_id]
        judge = self._judges[dataset]
        beliefs = belief_charts(judge, episode) if judge is not None else []
        return [*beliefs, *charts(episode, store.spec)]

    # What is drawn: from the cache at once, else by the studio. Each may raise LfdError for a wrong question.

    def clip(self, dataset: int, episode_id: str, camera: str = "", size: str = "") -> Future[Made]:
        """Returns the video of an episode to come, and where its pictures come from.

        Args:
            camera: another one than usual. size: pixels, for pictures that are simulated again; "": as usual.
        """
        self._known(dataset, episode_id)
        view = (camera or None, _size(size))
        kept = self._makers[dataset].kept(episode_id, *view)
        return _done(kept.mp4, kept.note) if kept else self._studio.ask("clip", dataset, episode_id, *view)

    def cameras(self, dataset: int) -> Future[Made]:
        """Returns the cameras, to come, that episodes of a dataset can be seen through; there are no bytes."""
        self.store(dataset)
        return self._studio.ask("cameras", dataset)

    def still(self, dataset: int, episode_id: str) -> Future[Made]:
        """Returns the last picture of an episode to come, as a JPEG."""
        self._known(dataset, episode_id)
        kept = self._makers[dataset].kept_still(episode_id)
        return self._studio.ask("still", dataset, episode_id, rank=STILL) if kept is None else _done(kept)

    def beside(self, dataset: int, episode_id: str) -> Future[Made]:
        """Returns the film to come of what the policy does from this episode's very start, and how that ends."""
        self._known(dataset, episode_id)
        if self._judges[dataset] is None:
            raise LfdError("no policy knows this task; give one with --policy")
        kept = read_film(beside_folder(self._makers[dataset], self.policy), episode_id)
        return _done(*kept) if kept else self._studio.ask("beside", dataset, episode_id)

    def film(self, run: int, step: int, seed: int) -> Future[Made]:
        """Returns the film of an evaluated episode to come, and how it ended."""
        checkpoint, folder, seed = self.evaluations.place(run, step, seed)
        kept = read_film(Path(folder), film_name(checkpoint, seed))
        return _done(*kept) if kept else self._studio.ask("film", checkpoint, folder, seed)

    def end_of_film(self, run: int, step: int, seed: int) -> Future[Made]:
        """Returns how an evaluated episode ended, to come, as a JPEG."""
        checkpoint, folder, seed = self.evaluations.place(run, step, seed)
        kept = read_still(Path(folder), film_name(checkpoint, seed))
        return self._studio.ask("end", checkpoint, folder, seed, rank=STILL) if kept is None else _done(kept)

    # What is changed

    def change(self, wishes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Writes what a person says of episodes into the label log, durably; returns the new rows.

        Args:
            wishes: `dataset`, `id`, what changes (success, note, tags, split, trim, deleted), and the `revision` that
                the person saw. All are checked before the first is written.

        Raises:
            Conflict: one of them is not any more what the person saw.
            LfdError: something makes no sense; nothing was changed then.
        """
        if not 0 < len(wishes) <= MOST_AT_ONCE:
            raise LfdError(f"{len(wishes)} changes were asked for, expected 1 to {MOST_AT_ONCE}")
        named = [(*self._named(w), checked({k: v for k, v in w.items() if k not in ("dataset", "id")})) for w in wishes]
        for (dataset, episode_id, _), wish in zip(named, wishes, strict=True):
            self._unchanged(dataset, episode_id, wish)
        for dataset, episode_id, fields in named:
            self._write(self.stores[dataset], episode_id, dict(fields))
        return [self.row(dataset, episode_id) for dataset, episode_id, _ in named]

    def split(self, wish: dict[str, Any]) -> list[dict[str, Any]]:
        """Makes two episodes of one, at step `at` of what is left of it; returns both rows, the old one first.

        The recording stays whole in both, each trimmed to its part: what a person undoes is a trim and a deletion.

        Raises:
            Conflict, LfdError: as `change` does.
        """
        dataset, episode_id = self._named(wish)
        self._unchanged(dataset, episode_id, wish)
        store = self.stores[dataset]
        info = store.info(episode_id)
        start, stop = info.trim or (0, info.attributes["length"])
        at = whole_number(wish.get("at"))
        if at is None or not 0 < at < stop - start:
            raise LfdError(f"an episode of {stop - start} steps can be split at 1 to {stop - start - 1}")
        origin = {**provenance(store, episode_id), "split_from": episode_id}
        new = f"{episode_id[:-6]}{secrets.token_hex(3)}"  # the same instant: it stands beside the old one
        store.append(store.recorded(episode_id), episode_id=new, **origin)
        kept = store.labels[episode_id]
        store.label(new, trim=(start + at, stop), **{k: getattr(kept, k) for k in ("success", "note", "tags", "split")})
        store.label(episode_id, trim=(start, start + at))
        return [self.row(dataset, i) for i in (episode_id, new)]

    def _named(self, wish: dict[str, Any]) -> tuple[int, str]:
        dataset, episode_id = whole_number(wish.get("dataset")), wish.get("id")
        if dataset is None:
            raise LfdError("a change names its dataset by number")
        self._known(dataset, episode_id)
        return dataset, str(episode_id)

    def _unchanged(self, dataset: int, episode_id: str, wish: dict[str, Any]) -> None:
        if wish.get("revision") != revision(self.stores[dataset].info(episode_id)):
            raise Conflict

    def _write(self, store: DemoStore, episode_id: str, fields: dict[str, Any]) -> None:
        deleted = fields.pop("deleted", None)
        if fields:
            store.label(episode_id, **fields)
        if deleted is not None:
            (store.delete if deleted else store.undelete)(episode_id)

    def store(self, dataset: int) -> DemoStore:
        """Returns a dataset by its number. Raises LfdError where there is none."""
        if not 0 <= dataset < len(self.stores):
            raise LfdError(f"there is no dataset {dataset}")
        return self.stores[dataset]

    def _known(self, dataset: int, episode_id: Any) -> None:
        if episode_id not in self.store(dataset):
            raise LfdError(f"there is no episode '{episode_id}'")

    # What is computed once

    def _read_derived(self, store: DemoStore) -> dict[str, Any]:
        try:
            found = json.loads((_derived_home(store) / "rows.json").read_text())
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def _keep_derived(self, number: int) -> None:
        folder = _derived_home(self.stores[number])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / "rows.json.part"
            part.write_text(json.dumps(self._derived[number]))
            part.replace(folder / "rows.json")
        except OSError:
            return  # a cache on a read-only or full disk is no reason to show nothing


def _derived_home(store: DemoStore) -> Path:
    return store.path / "cache" / "review"


def _done(made: bytes, about: Any = None) -> Future[Made]:
    future: Future[Made] = Future()
    future.set_result((made, about))
    return future


def _size(text: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or not SMALLEST_PX <= int(text) <= LARGEST_PX:
        raise LfdError(f"a size is {SMALLEST_PX} to {LARGEST_PX} pixels")
    return int(text)
