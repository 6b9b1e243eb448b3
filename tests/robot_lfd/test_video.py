"""Videos: what is written is what a player reads back."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from robot_lfd.errors import LfdError
from robot_lfd.video import GREEN, RED, caption, encode_mp4, ffmpeg_path, film_episode, write_video


def moving_square(count: int, size: int = 64) -> np.ndarray:
    frames = np.full((count, size, size, 3), 30, np.uint8)
    for i in range(count):
        frames[i, 8:24, 2 * i : 2 * i + 16] = (220, 40, 40)
    return frames


def read_back(path: Path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame[:, :, ::-1])


def stream_info(path: Path) -> str:
    return subprocess.run([ffmpeg_path(), "-i", str(path)], capture_output=True, text=True).stderr


def test_an_mp4_holds_every_picture_at_its_rate_in_the_codec_that_browsers_play(tmp_path):
    frames = moving_square(20)
    assert write_video(tmp_path / "a.mp4", frames, 20.0) == 20
    read, fps = read_back(tmp_path / "a.mp4")
    assert (len(read), fps) == (20, 20.0)
    for wrote, got in zip(frames, read, strict=True):
        assert np.abs(wrote.astype(int) - got).mean() < 6
    info = stream_info(tmp_path / "a.mp4")
    assert "h264" in info and "yuv420p" in info


def test_pictures_of_odd_size_are_padded_to_even(tmp_path):
    write_video(tmp_path / "odd.mp4", np.zeros((3, 33, 51, 3), np.uint8), 10.0)
    read, _ = read_back(tmp_path / "odd.mp4")
    assert read[0].shape == (34, 52, 3)


def test_a_gif_holds_every_picture_and_loops(tmp_path):
    write_video(tmp_path / "a.gif", moving_square(12), 20.0)
    from PIL import Image

    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (12, 50, 0)


def test_bytes_of_a_clip_are_an_mp4():
    assert encode_mp4(moving_square(5), 20.0)[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("name", "frames", "words"),
    [
        ("a.avi", np.zeros((2, 8, 8, 3), np.uint8), r"expected \.mp4 or \.gif"),
        ("a.mp4", np.zeros((0, 8, 8, 3), np.uint8), "no pictures"),
        ("a.mp4", [np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], "picture 1 is"),
    ],
)
def test_what_cannot_be_filmed_is_said_plainly_and_leaves_no_file(tmp_path, name, frames, words):
    with pytest.raises(LfdError, match=words):
        write_video(tmp_path / name, frames, 20.0)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_video_leaves_the_earlier_one_as_it_was(tmp_path):
    write_video(tmp_path / "a.mp4", moving_square(3), 20.0)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(LfdError):
        write_video(tmp_path / "a.mp4", [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.float32)], 20.0)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_encoder_that_cannot_write_says_why(tmp_path, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(LfdError, match="No space left on device"):
        write_video(tmp_path / "out" / "a.mp4", np.zeros((40, 256, 256, 3), np.uint8), 20.0)


def test_the_last_picture_says_how_the_episode_ended_in_its_colour():
    films = [list(film_episode(moving_square(4, 256), "seed 7", solved, 20.0)) for solved in (True, False)]
    assert [len(f) for f in films] == [4 + 12, 4 + 12]
    solved, failed = films[0][-1], films[1][-1]
    assert shows(solved, GREEN) and not shows(solved, RED)
    assert shows(failed, RED) and not shows(failed, GREEN)


def shows(frame: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(frame[-20:].astype(int) - colour).max(-1) < 40).any())


def test_a_caption_leaves_the_picture_above_it_untouched():
    frame = moving_square(1, 128)[0]
    marked = caption(frame, "a line that is far too long for so small a picture, and shrinks until it fits")
    assert (marked[:90] == frame[:90]).all() and not (marked[110:] == frame[110:]).all()
