"""`lfd doctor`: what works on this machine, what is missing, and the command that gets it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from robot_lfd.config import DoctorConfig
from robot_lfd.envs.registry import PYBULLET_TASKS, ROBOSUITE_TASKS

DISTRIBUTION = "robot-lfd"
ENOUGH_GB = 5.0
PATIENCE_S = 120.0
LIBRARIES = (  # any of these files -> who wants it, Debian and Ubuntu packages
    (("libGL.so.1",), "OpenCV", "libgl1"),
    (("libgthread-2.0.so.0",), "OpenCV", "libglib2.0-0"),
    (("libEGL.so.1", "libOSMesa.so.8", "libOSMesa.so.6"), "MuJoCo's pictures", "libegl1 libgl1-mesa-dri"),
)

# Each of these runs as a program of its own: a crash in a graphics driver must not take the doctor along.
DRAW = (
    "import robot_lfd; from robot_lfd.envs.registry import make_env; from robot_lfd.envs.contract import arm_of\n"
    "env = make_env('{env_id}', {keywords}); env.reset(seed=0); arm = arm_of(env)\n"
    "picture = arm.render_camera(arm.camera_names[0], 64, 64)\n"
    "assert picture.std() > 1, 'the picture is empty'\n"
    "how = getattr(env.unwrapped, 'pictures_name', '')\n"
    "print(f'draws, mean brightness {{picture.mean():.0f}}' + (f', {{how}}' if how else ''))"
)
TORCH = (
    "import torch; gpu = torch.cuda.is_available()\n"
    "print(torch.cuda.get_device_name(0) if gpu else f'CPU, {torch.get_num_threads()} threads')"
)
WINDOW = "from teleop.window import Window; Window('lfd doctor', (64, 64)).close(); print('a window opens')"
PADS = (
    "from teleop.gamepad import start_pads, plugged_pads, open_pad; import teleop.window as w\n"
    "window = w.Window('pads', (64, 64)); start_pads()\n"
    "print('; '.join(open_pad(i).title for i in plugged_pads()))"
)
FILM = (
    "import numpy as np; from robot_lfd.video import encode_mp4\n"
    "print(f'H.264, {len(encode_mp4(np.zeros((2, 32, 32, 3), np.uint8), 20))} bytes')"
)


@dataclass(frozen=True)
class Check:
    """One line: `state` is "ok", "missing" (something does not work) or "note" (fine without it). `fix`: a command."""

    name: str
    state: str
    found: str
    fix: str = ""


def run(config: DoctorConfig) -> dict[str, Any]:
    """`lfd doctor`: prints a line for each thing that is needed; exit code 1 where one is missing."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    signs = {"ok": "[green]ok     [/]", "missing": "[bold red]missing[/]", "note": "[yellow]note   [/]"}
    checks: list[Check] = []
    for check in examine():
        checks.append(check)
        console.print(f"{signs[check.state]}  {check.name:22s} {escape(check.found)}", soft_wrap=True)
        if check.fix:
            console.print(f"         [bold]get it with:[/] {escape(check.fix)}", soft_wrap=True)
    missing = [c.name for c in checks if c.state == "missing"]
    console.print("everything is there" if not missing else f"missing: {escape(', '.join(missing))}")
    return {"ok": not missing, "missing": missing, "checks": [asdict(c) for c in checks]}


def examine() -> Iterator[Check]:
    """Yields every check; the slow ones run side by side."""
    slow: tuple[Callable[[], Check], ...] = (
        lambda: _draws("pybullet/Reach-v0", "PyBullet pictures"),
        lambda: _draws("robosuite/Lift-v0", "robosuite pictures"),
        _draws_fast,
        _torch,
        _video,
        _display,
        _pads,
    )
    with ThreadPoolExecutor(len(slow)) as pool:
        waiting = [pool.submit(check) for check in slow]
        yield _python()
        yield from _packages()
        for files, wanted_by, packages in LIBRARIES:
            yield _library(files, wanted_by, packages)
        for check in waiting:
            yield check.result()
    yield _disk(Path.cwd())
    yield _environments()


def _python() -> Check:
    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    return _versioned("Python", platform.python_version(), wanted, f"a Python {wanted} and a new virtual environment")


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    for line in metadata.requires(DISTRIBUTION) or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        fix = f"{Path(sys.executable).name} -m pip install '{wanted.name}{wanted.specifier}'"
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Check(wanted.name, "missing", f"not installed, wanted {wanted.specifier}", fix)
            continue
        yield _versioned(wanted.name, found, str(wanted.specifier), fix)


def _versioned(name: str, found: str, wanted: str, fix: str) -> Check:
    from packaging.specifiers import SpecifierSet

    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Check(name, "ok", found)
    return Check(name, "missing", f"{found}, wanted {wanted}", fix)


def _library(files: tuple[str, ...], wanted_by: str, packages: str) -> Check:
    for file in files:
        try:
            ctypes.CDLL(file)
            return Check(file, "ok", f"for {wanted_by}")
        except OSError:
            continue
    return Check(files[0], "missing", f"{' or '.join(files)} is not there, {wanted_by} wants it", apt(packages))


def apt(packages: str) -> str:
    """Returns the command that installs Debian or Ubuntu packages, for this user."""
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {packages}"


def _ask(program: str, **environment: str) -> tuple[bool, str]:
    """Runs a small Python program; returns whether it worked, and its last line or its last error."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {PATIENCE_S:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    said = lines[-1] if lines else ""
    if done.returncode < 0:
        said = f"crashed with signal {-done.returncode}"
    return done.returncode == 0, said


def _draws(env_id: str, name: str) -> Check:
    works, said = _ask(DRAW.format(env_id=env_id, keywords=""))
    fix = "" if works else apt("libegl1 libgl1-mesa-dri libosmesa6 libgl1")
    return Check(name, "ok" if works else "missing", said, fix)


def _draws_fast() -> Check:
    """Fast pictures need no graphics driver; where they cannot be had, there are the usual ones."""
    works, said = _ask(DRAW.format(env_id="robosuite/Lift-v0", keywords="pictures='fast'"))
    return Check("fast pictures", "ok" if works else "note", said)


def _torch() -> Check:
    works, said = _ask(TORCH)
    return Check("torch device", "ok" if works else "missing", said)


def _video() -> Check:
    works, said = _ask(FILM)
    return Check("video encoder", "ok" if works else "missing", said, "" if works else "pip install imageio-ffmpeg")


def _display() -> Check:
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        said = "none: recording by hand needs one; the scripted operator, training and lfd demo do not"
        return Check("display", "note", said, f"{apt('xvfb')}  (then: xvfb-run lfd record ...)")
    works, said = _ask(WINDOW)
    return Check("display", "ok" if works else "missing", said)


def _pads() -> Check:
    works, said = _ask(PADS, SDL_VIDEODRIVER="dummy")
    if works and said and "pygame" not in said:
        return Check("gamepad", "ok", said)
    locked = [p for p in Path("/dev/input").glob("event*") if not os.access(p, os.R_OK)]
    if locked:
        found = f"none seen, and {locked[0]} may not be read by you"
        return Check("gamepad", "note", found, "sudo usermod -aG input $USER  (then log in again)")
    return Check("gamepad", "note", "none is plugged in; the keyboard drives as well" if works else said)


def _disk(folder: Path) -> Check:
    free_gb = shutil.disk_usage(folder).free / 1e9
    said = f"{free_gb:.1f} GB free in {folder}"
    return Check("disk", "ok", said) if free_gb >= ENOUGH_GB else Check("disk", "note", f"{said}: little for pictures")


def _environments() -> Check:
    ours = [f"pybullet/{t}-v0" for t in PYBULLET_TASKS] + [f"robosuite/{t}-v0" for t in ROBOSUITE_TASKS]
    return Check("environments", "ok", f"{', '.join(ours)}; and every Gymnasium id")
