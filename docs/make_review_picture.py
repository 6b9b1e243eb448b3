"""Makes the pictures in docs/review.md: records demos, trains IQ-Learn and clones, evaluates them, photographs.

python docs/make_review_picture.py [--work FOLDER]     what is finished in the folder is not done again
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
LFD = [sys.executable, "-m", "robot_lfd.cli"]
SIZE = {"width": 1280, "height": 860}
PATIENCE_MS = 600_000


def main() -> None:
    """Does each step whose result is missing, then takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("/tmp/review-picture"))
    args = parser.parse_args()
    demos, iq, bc = args.work / "lift", args.work / "lift-iq", args.work / "lift-bc"
    if not demos.exists():
        device = ["--device", "scripted", "--episodes", "12", "--cameras", "front", "wrist", "--size-px", "128"]
        lfd("record", "--env", "pybullet/Lift-v0", *device, "--operator", "anna", "--out", demos)
    for run, algo, words in (
        (iq, "iq", ["--mode", "offline", "--steps", 2000, "--seeds", 2]),
        (bc, "bc", ["--steps", 2000, "--seeds", 2]),
    ):
        if not run.exists():
            lfd("train", "--demos", demos, "--algo", algo, *words, "--checkpoint-every", 1000, "--out", run)
        for checkpoint in sorted(run.glob("seed-*/checkpoints/*")):
            if not list((checkpoint.parents[1] / "evaluations").glob(f"{int(checkpoint.name)}-*.json")):
                lfd("eval", checkpoint, "--episodes", 30)
    words = ["review", demos, "--policy", iq / "seed-0", "--runs", iq, bc, "--port", "0"]
    server = subprocess.Popen([*LFD, *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        photograph(server.stdout.readline().strip())
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def lfd(*argv: object) -> None:
    """Runs one lfd command; its failure is ours."""
    subprocess.run([*LFD, *map(str, argv)], check=True)


def photograph(url: str) -> None:
    """Looks at the grid, an episode, the policy beside it, and the evaluations, as a person would."""
    with sync_playwright() as p:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport=SIZE, color_scheme="light")
        tab.set_default_timeout(PATIENCE_MS)
        tab.goto(url)
        tab.wait_for_selector(".pill:has-text('judged')")
        tab.get_by_label("Select episode 2").check(force=True)
        tab.get_by_label("Select episode 4").check(force=True)
        drawn(tab, ".cards img")
        keep(tab, "review-grid.png")
        tab.get_by_role("button", name="Clear selection").click()
        tab.locator(".card a").first.click()
        tab.wait_for_selector(".pane:nth-child(2) video")
        for _ in range(4):
            tab.keyboard.press("Shift+ArrowRight")
        tab.wait_for_timeout(1000)
        keep(tab, "review.png")
        tab.get_by_role("button", name="Policy beside").click()
        tab.wait_for_selector(".pane:nth-child(3) video")
        tab.keyboard.press("Shift+ArrowRight")
        tab.wait_for_timeout(1000)
        keep(tab, "review-beside.png")
        tab.keyboard.press("Escape")
        tab.get_by_role("link", name="Evaluation").click()
        tab.wait_for_selector(".cardButton, .evaluation .soft")
        drawn(tab, ".cards img")
        keep(tab, "review-evaluation.png")
        tab.locator(".sectionTitle").scroll_into_view_if_needed()
        drawn(tab, ".cards img")
        tab.locator(".cardButton").first.click()
        tab.wait_for_selector(".cardButton video")
        tab.wait_for_timeout(1500)
        keep(tab, "review-failures.png")
        browser.close()


def drawn(tab: Page, pictures: str) -> None:
    """Waits until every picture that is on the screen has come."""
    near = "all => all.filter(i => i.getBoundingClientRect().top < innerHeight).every(i => i.complete)"
    for _ in range(PATIENCE_MS // 500):
        if tab.locator(pictures).evaluate_all(near):
            return
        tab.wait_for_timeout(500)


def keep(tab: Page, name: str) -> None:
    """Writes what is seen, in 256 colours."""
    tab.screenshot(path=IMAGES / name)
    Image.open(IMAGES / name).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
