"""What the user may ask of an import; every importer takes it as `(source, out, options)`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImportOptions:
    """Each importer looks at what makes sense for its format.

    Attributes:
        cameras, size_px: pictures to draw of demos that can be put into a simulator (robosuite, robomimic).
        max_demos: only the first so many.
        open_loop: robomimic: also play each demo's actions from its first state and report success and drift.
        env_id, control_hz: what Minari, diffusion_policy and LeRobot do not say, or in the place of what they say.
    """

    cameras: tuple[str, ...] = ()
    size_px: int = 84
    max_demos: int | None = None
    open_loop: bool = True
    env_id: str = ""
    control_hz: float | None = None


PLAIN = ImportOptions()
