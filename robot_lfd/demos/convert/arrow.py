"""pyarrow, or a plain word that it is missing; and parquet files that nobody vouches for."""

from __future__ import annotations

from pathlib import Path

from robot_lfd.errors import LfdError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise LfdError(
        "LeRobot's format needs pyarrow, which is not installed: pip install 'robot-lfd[lerobot]'"
    ) from error

__all__ = ["opened", "pa", "pq"]
MAX_RATIO, MAX_EMPTY_BYTES = 200, 64 << 20  # more, compressed, is no recording but a bomb
MAX_ROWS_PER_BYTE, MAX_EMPTY_ROWS = 1000, 65536
MAX_LIST = 100_000  # numbers in one cell


def opened(path: Path) -> pq.ParquetFile:
    """Opens a parquet file. Raises LfdError where it declares more than it can hold."""
    file, size = pq.ParquetFile(path), path.stat().st_size
    groups = [file.metadata.row_group(k) for k in range(file.num_row_groups)]
    rows, declared = file.metadata.num_rows, sum(g.total_byte_size for g in groups)
    widest = max((t.list_size for t in file.schema_arrow.types if pa.types.is_fixed_size_list(t)), default=0)
    if rows > MAX_EMPTY_ROWS + MAX_ROWS_PER_BYTE * size or declared > MAX_EMPTY_BYTES + MAX_RATIO * size:
        raise LfdError(f"'{path}' declares {rows} rows in {declared} bytes, more than it can hold")
    if widest > MAX_LIST:
        raise LfdError(f"'{path}' declares cells of {widest} numbers, expected {MAX_LIST} at most")
    return file
