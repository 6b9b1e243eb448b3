"""The videos of a LeRobotDataset v3: one camera's episodes, one after the other, in .mp4 files.

Video is lossy. What is written is read again at once, and the difference is stated in the report and in the dataset.

Source: `src/lerobot/datasets/video_utils.py` of https://github.com/huggingface/lerobot , codebase version v3.0.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.demos.convert.arrow import opened
from robot_lfd.demos.spec import KEY
from robot_lfd.errors import LfdError
from robot_lfd.video import read_frames, write_video

VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
QUALITY = {"h264": 18, "av1": 30}  # constant rate factors; LeRobot itself writes AV1 at 30
MAX_PIXELS = 1 << 26


def video_feature(shape: list[int], codec: str, fps: int) -> dict[str, Any]:
    """Returns what `meta/info.json` says of a camera."""
    height, width = shape[:2]
    if height % 2 or width % 2:
        raise LfdError(f"video wants even sizes, the pictures have {width}x{height}; leave --video away")
    info = {"video.height": height, "video.width": width, "video.codec": codec, "video.pix_fmt": "yuv420p"}
    info |= {"video.fps": fps, "video.channels": 3, "video.is_depth_map": False, "has_audio": False}
    return {"dtype": "video", "shape": shape, "names": ["height", "width", "channel"], "info": info}


class VideoWriter:
    """Writes one file per camera and episode, and keeps count of what the codec lost."""

    def __init__(self, folder: Path, fps: float, codec: str) -> None:
        self._folder, self._fps, self._codec = folder, fps, codec
        self._square: dict[str, float] = {}
        self._absolute: dict[str, float] = {}
        self._worst: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    def write(self, key: str, number: int, pictures: np.ndarray) -> dict[str, Any]:
        """Writes the pictures (T, H, W, 3) of an episode; returns its columns of `meta/episodes`."""
        place = {"chunk_index": number // 1000, "file_index": number % 1000}
        path = self._folder / VIDEO_PATH.format(video_key=key, **place)
        write_video(path, pictures, self._fps, quality=QUALITY[self._codec], codec=self._codec)
        seen = read_frames(path, 0.0, len(pictures), pictures.shape[1:], self._fps)
        gap = np.abs(seen.astype(np.int16) - pictures)
        self._square[key] = self._square.get(key, 0.0) + float((gap.astype(np.float64) ** 2).sum())
        self._absolute[key] = self._absolute.get(key, 0.0) + float(gap.sum())
        self._worst[key] = max(self._worst.get(key, 0), int(gap.max()))
        self._numbers[key] = self._numbers.get(key, 0) + gap.size
        found = {**place, "from_timestamp": 0.0, "to_timestamp": len(pictures) / self._fps}
        return {f"videos/{key}/{name}": value for name, value in found.items()}

    def loss(self) -> dict[str, dict[str, Any]]:
        """Returns for each camera what was lost: mean and largest error of 255, and the signal-to-noise ratio."""
        found = {}
        for key, count in self._numbers.items():
            square = self._square[key] / count
            found[key.removeprefix("observation.images.")] = {
                "codec": self._codec,
                "mean_error": round(self._absolute[key] / count, 3),
                "largest_error": self._worst[key],
                "psnr_db": round(10 * math.log10(255**2 / square), 2) if square else None,
            }
        return found


def describe_loss(loss: dict[str, Any]) -> str:
    """Returns in words what a codec lost."""
    if "mean_error" not in loss:
        return f"{loss['codec']}; nobody measured how much was lost"
    ratio = "" if loss["psnr_db"] is None else f", {loss['psnr_db']:g} dB"
    return f"{loss['codec']}, mean error {loss['mean_error']:g} of 255, largest {loss['largest_error']}{ratio}"


class VideoReader:
    """Finds an episode's pictures in the videos of a dataset, which may be anybody's.

    Raises:
        LfdError: the dataset says something of its videos that this program does not follow.
    """

    def __init__(self, source: Path, info: dict[str, Any], fps: float) -> None:
        self._source, self._fps = source, fps
        self._shapes = {n: _shape(n, f) for n, f in info["features"].items() if f.get("dtype") == "video"}
        self.codecs = {n: str((info["features"][n].get("info") or {}).get("video.codec", "?")) for n in self._shapes}
        self._places: dict[int, dict[str, Any]] = {}
        if not self._shapes:
            return
        if info.get("video_path") != VIDEO_PATH:
            raise LfdError(f"'{source}' keeps its videos in {info.get('video_path')!r}, expected '{VIDEO_PATH}'")
        parts = ("chunk_index", "file_index", "from_timestamp")
        columns = ["episode_index", *(f"videos/{key}/{part}" for key in self._shapes for part in parts)]
        for path in sorted((source / "meta" / "episodes").rglob("*.parquet")):
            for row in opened(path).read(columns).to_pylist():
                self._places[int(row["episode_index"])] = row

    def pictures(self, number: int, count: int) -> dict[str, np.ndarray]:
        """Returns the first `count` pictures of an episode by feature, (count, H, W, 3) uint8 each."""
        return {key: self._read(key, number, count, shape) for key, shape in self._shapes.items()}

    def _read(self, key: str, number: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
        row = self._places.get(number)
        if row is None:
            raise LfdError(f"'{self._source}' does not say where the video of episode {number} is")
        chunk, file, start = (row[f"videos/{key}/{part}"] for part in ("chunk_index", "file_index", "from_timestamp"))
        path = self._source / VIDEO_PATH.format(video_key=key, chunk_index=int(chunk), file_index=int(file))
        if not path.is_file() or not math.isfinite(start):
            raise LfdError(f"'{self._source}' has no video '{path.relative_to(self._source)}' of episode {number}")
        if count * math.prod(shape) > (64 << 20) + 20_000 * path.stat().st_size:
            raise LfdError(f"'{path}' cannot hold {count} pictures of {shape[1]}x{shape[0]}")
        return read_frames(path, float(start), count, shape, self._fps)


def _shape(name: str, feature: dict[str, Any]) -> tuple[int, int, int]:
    """Returns (H, W, 3), however the axes are ordered in the description."""
    shape = tuple(int(n) for n in feature["shape"])
    if len(shape) == 3 and shape[2] != 3 and shape[0] == 3:
        shape = (*shape[1:], 3)
    if not KEY.fullmatch(name) or len(shape) != 3 or shape[2] != 3 or not 0 < shape[0] * shape[1] <= MAX_PIXELS:
        raise LfdError(f"feature '{name}' has shape {feature['shape']}, expected colour pictures of a proper size")
    return shape
