"""Makes docs/images/review.png: records demos, trains IQ-Learn for a minute, writes the review page, photographs it.

python docs/make_review_picture.py [--work FOLDER]     what is finished in the folder is not done again
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).parent / "images" / "review.png"
LFD = [sys.executable, "-m", "robot_lfd.cli"]
SIZE = {"width": 1280, "height": 860}


def main() -> None:
    """Does each step whose result is missing, then takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/tmp/review-picture"))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    args = parser.parse_args()
    demos, run, page = args.work / "lift", args.work / "run", args.work / "page.html"
    if not demos.exists():
        lfd("record", "--env", "pybullet/Lift-v0", "--device", "scripted", "--episodes", "10", "--out", demos)
    if not run.exists():
        lfd("train", "--demos", demos, "--algo", "iq", "--mode", "offline", "--steps", "2500", "--out", run)
    lfd("review", demos, "--policy", run, "--size-px", "320", "--export", page)
    photograph(page, args.chromium)


def lfd(*argv: object) -> None:
    """Runs one lfd command; its failure is ours."""
    subprocess.run([*LFD, *map(str, argv)], check=True)


def photograph(page: Path, chromium: str) -> None:
    """Opens an episode half way through and keeps what is seen, in 256 colours."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport=SIZE, color_scheme="light")
        tab.goto(f"{page.resolve().as_uri()}#e0")
        tab.wait_for_selector(".screen video")
        for _ in range(5):
            tab.keyboard.press("Shift+ArrowRight")
        tab.wait_for_timeout(500)
        tab.screenshot(path=TARGET)
        browser.close()
    Image.open(TARGET).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
