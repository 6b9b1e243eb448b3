"""Which episodes of a dataset are meant: by success, length, operator, tag and split."""

from __future__ import annotations

from dataclasses import dataclass

from robot_lfd.demos.store import DemoStore, EpisodeInfo
from robot_lfd.errors import LfdError


@dataclass(frozen=True)
class Selection:
    """A filter over episodes; what is None or empty does not filter.

    Attributes:
        success: only episodes with this verdict. operator: recorded by this person. split: of this split.
        tags: carrying every one of these. min_steps, max_steps: of such a length. first: at most so many.
    """

    success: bool | None = None
    operator: str | None = None
    tags: tuple[str, ...] = ()
    split: str | None = None
    min_steps: int = 1
    max_steps: int | None = None
    first: int | None = None

    def __contains__(self, info: EpisodeInfo) -> bool:
        """Returns whether an episode passes the filter (`first` aside)."""
        return (
            self.success in (None, info.success)
            and self.operator in (None, info.operator)
            and self.split in (None, info.split)
            and set(self.tags) <= set(info.tags)
            and self.min_steps <= info.length
            and (self.max_steps is None or info.length <= self.max_steps)
        )


def verdict(said: str | None) -> bool | None:
    """Returns what `yes`, `no` or nothing on the command line means."""
    return None if said is None else said == "yes"


def select(store: DemoStore, selection: Selection) -> list[EpisodeInfo]:
    """Returns the episodes that pass, in the order of recording. Raises LfdError for a damaged one."""
    found = [info for info in map(store.info, store.ids()) if info in selection]
    return found if selection.first is None else found[: selection.first]


def select_some(stores: list[DemoStore], selection: Selection) -> list[list[EpisodeInfo]]:
    """Returns the episodes that pass, per store; `first` counts over all stores.

    Raises:
        LfdError: nothing passes.
    """
    picked: list[list[EpisodeInfo]] = []
    for store in stores:
        left = None if selection.first is None else selection.first - sum(map(len, picked))
        picked.append(select(store, selection)[:left])
    if not any(picked):
        held = sum(map(len, stores))
        names = ", ".join(f"'{s.path}'" for s in stores)
        raise LfdError(f"no demo to read: {names} holds {held} demos, {_why(held)}")
    return picked


def _why(held: int) -> str:
    return "none of which passes the filter; see: lfd data info" if held else "expected at least one; record some first"
