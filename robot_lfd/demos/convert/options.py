"""What the user may ask of an import; every importer takes it as `(source, out, options)`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from robot_lfd.demos.store import id_at


@dataclass(frozen=True)
class ImportOptions:
    """Each importer looks at what makes sense for its format.

    Attributes:
        cameras, size_px: pictures to draw of demos that can be put into a simulator (robosuite, robomimic).
        first_demo, max_demos: only so many from this one on, counted from 0; robosuite and robomimic know a first one.
        open_loop: robomimic: also play each demo's actions from its first state and report success and drift.
        env_id, control_hz: what Minari, diffusion_policy and LeRobot do not say, or in the place of what they say.
        ids_from: the time in the id of the file's first demo; each further one is a microsecond later. Several
            processes that import into one dataset so keep the order of one.
    """

    cameras: tuple[str, ...] = ()
    size_px: int = 84
    first_demo: int = 0
    max_demos: int | None = None
    open_loop: bool = True
    env_id: str = ""
    control_hz: float | None = None
    ids_from: datetime | None = None

    @property
    def some(self) -> slice:
        """Which of a file's demos, in the order of their numbers."""
        return slice(self.first_demo, None if self.max_demos is None else self.first_demo + self.max_demos)

    def id_of(self, number: int) -> str | None:
        """Returns the id for the demo of this number in its file; None: the dataset gives the next one."""
        return None if self.ids_from is None else id_at(self.ids_from + timedelta(microseconds=number))


PLAIN = ImportOptions()
