"""Video: pictures in, one .mp4 (H.264, plays in browsers) or .gif out; captions on the pictures."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from robot_lfd.errors import LfdError

GREEN, RED, WHITE = (60, 200, 110), (235, 80, 70), (245, 245, 245)
DECODE_S = 30.0  # a decoder that takes longer is stopped
HOLD_S = 0.6  # how long the last picture of an episode stays

# A key frame every 10 pictures and no B-frames: a browser jumps to any picture without a pause.
MP4 = ("-pix_fmt", "yuv420p", "-g", "10", "-movflags", "+faststart")
CODECS = {
    "h264": ("-c:v", "libx264", "-preset", "medium", "-bf", "0"),
    "av1": ("-c:v", "libsvtav1", "-preset", "8", "-svtav1-params", "lp=2"),
}
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # H.264 in yuv420p wants even sizes
PALETTE = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, *, quality: int = 23, codec: str = "h264") -> int:
    """Writes pictures (H, W, 3) uint8, all of one size, and returns how many there were.

    Args:
        path: ends in .mp4 or .gif; an existing file is replaced once the new one is whole.
        quality: the constant rate factor, 18 (large) to 32 (small) for H.264; .gif ignores it.
        codec: of an .mp4: h264, or av1 from 64 pixels on.

    Raises:
        LfdError: another ending, no pictures, pictures of different sizes, or the encoder failed.
    """
    kind = path.suffix.lower()
    if kind not in (".mp4", ".gif"):
        raise LfdError(f"video '{path}' ends in '{path.suffix}', expected .mp4 or .gif")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{kind}")
    mp4 = (*CODECS[codec], *MP4, "-crf", str(quality), "-vf", EVEN)
    how = mp4 if kind == ".mp4" else ("-vf", PALETTE, "-loop", "0")
    try:
        count = _encode(iter(frames), fps, [*how, str(part)], str(path))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def encode_mp4(frames: Iterable[np.ndarray], fps: float, *, quality: int = 28) -> bytes:
    """Returns the pictures as the bytes of an .mp4 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_video(path, frames, fps, quality=quality)
        return path.read_bytes()


def read_frames(path: Path, start_s: float, count: int, shape: tuple[int, ...], fps: float) -> np.ndarray:
    """Returns `count` pictures of an .mp4 from `start_s` on, (count, H, W, 3) uint8.

    The file may come from anybody: the decoder is a process of its own, opens no other file, and takes no picture
    larger than `shape` says.

    Raises:
        LfdError: damaged, fewer pictures, or pictures of another size.
    """
    height, width = shape[:2]
    limits = ["-max_pixels", str((height + 128) * (width + 128)), "-protocol_whitelist", "file", "-threads", "1"]
    seek = ["-ss", f"{max(0.0, start_s - 0.5 / fps):.6f}"]  # half a picture early: the next one is the one meant
    out = ["-map", "0:v:0", "-frames:v", str(count), "-fps_mode", "passthrough", "-c:v", "ppm", "-f", "image2pipe", "-"]
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", *limits, *seek, "-f", "mp4"]
    frames = np.empty((count, height, width, 3), np.uint8)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([*command, "-i", f"file:{path}", *out], stdout=subprocess.PIPE, stderr=errors)
        watch = threading.Timer(DECODE_S + count / 10, process.kill)
        watch.start()
        try:
            found = _take(process, frames)
        finally:
            process.kill()
            process.wait()
            watch.cancel()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if found != count:
        reason = f": {said[-1]}" if said else ""
        raise LfdError(f"video '{path}' gives {found} pictures of {width}x{height}, expected {count}{reason}")
    return frames


def _take(process: subprocess.Popen, frames: np.ndarray) -> int:
    """Fills `frames` from a stream of PPM pictures and returns how many there were of the right size."""
    header = f"P6\n{frames.shape[2]} {frames.shape[1]}\n255\n".encode()
    assert process.stdout is not None
    for number, frame in enumerate(frames):
        if process.stdout.read(len(header)) != header:
            return number
        data = process.stdout.read(frame.nbytes)
        if len(data) != frame.nbytes:
            return number
        frame[:] = np.frombuffer(data, np.uint8).reshape(frame.shape)
    return len(frames)


def _encode(frames: Iterator[np.ndarray], fps: float, out: list[str], name: str) -> int:
    first = next(frames, None)
    if first is None:
        raise LfdError(f"video '{name}' has no pictures, expected at least one")
    height, width = first.shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    command = [ffmpeg_path(), "-y", "-hide_banner", "-loglevel", "error", "-threads", "2", *source, "-an", *out]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            count = _feed(process, first, frames, name)
        except BrokenPipeError:
            count = 0  # the encoder gave up: what it says comes below
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if process.returncode != 0:
        raise LfdError(f"video '{name}' was not written: {said[-1] if said else 'the encoder failed'}")
    return count


def _feed(process: subprocess.Popen, first: np.ndarray, rest: Iterator[np.ndarray], name: str) -> int:
    assert process.stdin is not None
    count = 0
    with process.stdin as pipe:
        for frame in _chain(first, rest):
            if frame.shape != first.shape or frame.dtype != np.uint8:
                found = f"picture {count} is {frame.shape} {frame.dtype}"
                raise LfdError(f"video '{name}': {found}, expected {first.shape} uint8 like the first")
            pipe.write(np.ascontiguousarray(frame).data)
            count += 1
    return count


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def ffmpeg_path() -> str:
    """Returns the path of the encoder: the one that pip installs with imageio-ffmpeg, or IMAGEIO_FFMPEG_EXE.

    It runs as a process of its own, so its licence (GPL) stays apart from this project's.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise LfdError("videos need the package imageio-ffmpeg; get it with: pip install imageio-ffmpeg") from error


def film_episode(frames: Iterable[np.ndarray], text: str, success: bool, fps: float) -> Iterator[np.ndarray]:
    """Yields the pictures (H, W, 3) uint8 of an episode, captioned; the last one stays and says how it ended."""
    frame = None
    for step, frame in enumerate(frames):
        yield caption(frame, f"{text}  {step / fps:4.1f} s")
    if frame is not None:
        verdict, colour = ("solved", GREEN) if success else ("not solved", RED)
        last = caption(frame, f"{text}  {verdict}", colour)
        for _ in range(max(1, round(HOLD_S * fps))):
            yield last


def caption(frame: np.ndarray, text: str, colour: tuple[int, int, int] = WHITE) -> np.ndarray:
    """Returns a copy of the picture with a line of text on a dark strip at its bottom."""
    import cv2

    picture = np.ascontiguousarray(frame).copy()
    height, width = picture.shape[:2]
    scale = max(0.3, width / 640)
    (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    if text_width > width - 8:
        scale *= (width - 8) / text_width
    strip = text_height + base + 6
    picture[height - strip :] = picture[height - strip :] // 4
    place = (4, height - base - 3)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return picture
