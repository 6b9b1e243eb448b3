"""Runs an import where it can do no harm: in a process with little memory and time, which may run nothing foreign."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.verify import verify
from robot_lfd.errors import LfdError

MEMORY_BYTES, WITH_SIMULATOR, SECONDS = 1 << 30, 6 << 30, 30  # MuJoCo reserves much that it does not touch
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "urllib.Request")


def import_in_sandbox(run: Callable[[Path], object], folder: Path, memory_bytes: int = MEMORY_BYTES) -> str:
    """Returns "read", or the plain error with which the import into `folder/out` was refused.

    Raises:
        AssertionError: anything else happened: another exception, a forbidden call, more memory or 30 s, a line
            break in the error, or something half-written.
    """
    said = _in_a_process(lambda: _attempt(run, folder / "out"), memory_bytes)
    assert said.startswith(("read", "refused: ")) and "\n" not in said, said
    if said != "read":
        assert not (folder / "out").exists(), f"half-written after: {said}"
    assert not list(folder.glob(".*.part")) and not list(folder.glob("EXECUTED")), said
    return said


def _attempt(run: Callable[[Path], object], out: Path) -> str:
    try:
        run(out)
    except LfdError as error:
        return f"refused: {error}"
    problems = verify(DemoStore.open(out)).problems
    return "read" if not problems else f"stored with problems: {problems}"


def _in_a_process(work: Callable[[], str], memory_bytes: int) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            _confine(memory_bytes)
            os.write(writer, work().encode()[:60_000])
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    return said if status == 0 else f"killed by signal {os.WTERMSIG(status)}: {said}"


def _confine(memory_bytes: int) -> None:
    signal.alarm(SECONDS)  # its default is to end the process
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes,) * 2)
    sys.addaudithook(_watch)


def _watch(event: str, args: tuple) -> None:
    if event in FORBIDDEN or (event == "subprocess.Popen" and "ffmpeg" not in str(args[0])):
        raise AssertionError(f"the import ran {event} {args!r}")
