"""pyarrow, or a plain word that it is missing."""

from __future__ import annotations

from robot_lfd.errors import LfdError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise LfdError(
        "LeRobot's format needs pyarrow, which is not installed: pip install 'robot-lfd[lerobot]'"
    ) from error

__all__ = ["pa", "pq"]
