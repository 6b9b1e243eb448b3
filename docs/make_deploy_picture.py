"""Makes the picture in docs/deploy.md: the sample policy flies in a window, a person takes over with a key.

python docs/make_deploy_picture.py      needs Xvfb and xdotool (apt-get install xvfb xdotool)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

IMAGE = Path(__file__).parent / "images" / "deploy-takeover.png"
SAMPLE = Path(__file__).parents[1] / "assets" / "samples" / "lift-iq"
SIZE = "1280x800"
PATIENCE_S = 120.0
DRIVEN_STEPS = 15


def main() -> None:
    """Takes over a deployment by key, and photographs the window while the person drives."""
    read, write = os.pipe()
    words = ["-displayfd", str(write), "-screen", "0", f"{SIZE}x24", "-nolisten", "tcp"]
    server = subprocess.Popen(["Xvfb", *words], pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe, tempfile.TemporaryDirectory() as folder:
        display = f":{pipe.readline().strip()}"
        try:
            fly(display, Path(folder))
        finally:
            server.kill()
            server.wait()


def fly(display: str, folder: Path) -> None:
    """Deploys on the display, holds a key, takes the picture, and stops."""
    surroundings = {**os.environ, "DISPLAY": display, "SDL_AUDIODRIVER": "dummy"}
    shutil.copytree(SAMPLE, folder / "lift-iq")  # the window names what it deploys: no path of this machine
    words = ["deploy", "lift-iq", "--episodes", "3", "--seed", "4", "--takeover", "keyboard"]
    rollouts = folder / "rollouts"
    argv = [sys.executable, "-m", "robot_lfd.cli", *words, "--record", str(rollouts)]
    process = subprocess.Popen(argv, env=surroundings, cwd=folder)

    def keys(*words: str) -> None:
        subprocess.run(["xdotool", "mousemove", "900", "400", *words], check=True, env=surroundings)

    def wait_for(steps: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while sum(p.read_text().count('"step"') for p in (rollouts / "journal").glob("*.jsonl")) < steps:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("lfd deploy has ended, or takes no steps")
            time.sleep(0.05)

    try:
        wait_for(20)
        keys("keydown", "a")
        wait_for(20 + DRIVEN_STEPS)
        grab = ["-f", "x11grab", "-video_size", SIZE, "-i", display, "-frames:v", "1", "-y", str(IMAGE)]
        subprocess.run([get_ffmpeg_exe(), "-loglevel", "error", *grab], check=True)
        keys("keyup", "a", "key", "x")
        process.wait(timeout=PATIENCE_S)
    finally:
        process.kill()
    Image.open(IMAGE).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(IMAGE, optimize=True)


if __name__ == "__main__":
    main()
