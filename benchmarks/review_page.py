"""The review page with a thousand episodes: how long it takes to open, cold and warm, and to turn a page.

python benchmarks/review_page.py --work W [--episodes 1000] [--policy] [--out FILE]      prints one line of JSON

Driven in Debian's Chromium, headless, as a person would: `open` is from the first byte asked for to a thousand
cards on the screen, `turn` from PageDown to the next episode's title and curves. Cold: the server has just started and
nothing was ever computed of these episodes; warm: a second server, with what the first one kept; again: the same page
once more. `started` is from typing `lfd review` to its address. With --policy, the sample policy judges them too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measured import machine
from playwright.sync_api import Browser, Page, sync_playwright

ENV, TURNS = "pybullet/Lift-v0", 30
LFD = [sys.executable, "-m", "robot_lfd.cli"]


def main() -> None:
    """Measures, prints, and writes the file where one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--policy", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    demos = dataset(args.work, args.episodes)
    shutil.rmtree(demos / "cache", ignore_errors=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        rows = {name: measure(browser, demos, args.policy, args.episodes) for name in ("cold", "warm")}
        version = browser.version
        browser.close()
    found = {
        "benchmark": "review_page",
        **machine(),
        "load": round(os.getloadavg()[0], 1),
        "chromium": version,
        "env": ENV,
        "episodes": args.episodes,
        "policy": args.policy,
        **rows,
    }
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


def dataset(work: Path, count: int) -> Path:
    """Returns a dataset of `count` episodes: five scripted demos, their folders copied again and again; made once."""
    five, many = work / "five", work / f"demos-{count}"
    if not five.exists():
        argv = ["record", "--env", ENV, "--device", "scripted", "--episodes", "5", "--out", str(five)]
        subprocess.run([*LFD, *argv], check=True, capture_output=True)
    if not many.exists():
        staged = work / "staged"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(five, staged)
        recorded = sorted(p for p in (five / "episodes.zarr").iterdir() if p.is_dir())
        for number in range(len(recorded), count):
            one = recorded[number % len(recorded)]
            shutil.copytree(one, staged / "episodes.zarr" / f"{one.name[:-6]}{number:06x}")
        staged.rename(many)
    return many


def measure(browser: Browser, demos: Path, policy: bool, count: int) -> dict[str, Any]:
    """Returns the times of one server, milliseconds."""
    words = ["--policy", "sample:lift-iq"] if policy else []
    began = time.perf_counter()
    argv = [*LFD, "review", str(demos), "--port", "0", *words]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        started = since(began)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        return {
            "started_ms": started,
            "open_ms": opened(page, url, count),
            "again_ms": opened(page, url, count),
        } | turns(page, url)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def opened(page: Page, url: str, count: int) -> float:
    """Returns the milliseconds until every card is there."""
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(f".card:nth-child({count})", state="attached")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return since(began)


def turns(page: Page, url: str) -> dict[str, float]:
    """Returns how long one episode after the other takes to come."""
    page.goto(f"{url}#e0")
    page.wait_for_selector(".chart canvas")
    taken = []
    for number in range(2, 2 + TURNS):
        began = time.perf_counter()
        page.keyboard.press("PageDown")
        page.wait_for_selector(f"#episode-title:text-is('Episode {number}')")
        page.wait_for_selector(".plots .chart:nth-child(4) canvas")
        taken.append(since(began))
    taken.sort()
    return {"turn_median_ms": statistics.median(taken), "turn_p95_ms": taken[int(0.95 * len(taken))], "turns": TURNS}


def since(began: float) -> float:
    """Returns the milliseconds since then."""
    return round(1000.0 * (time.perf_counter() - began), 1)


if __name__ == "__main__":
    main()
