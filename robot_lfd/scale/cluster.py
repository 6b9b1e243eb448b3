"""Ray, started on this machine or joined by its address: what `--workers` and `--address` mean."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from robot_lfd.errors import LfdError

OBJECTS_BYTES = 256 << 20  # shared memory for what travels between processes: weights and rows, no datasets
ANSWER_S = 5.0  # for the port to open
HEALTH_S = 30.0  # for Ray to answer behind it


@dataclass
class Cluster:
    """A Ray that this process has joined.

    Attributes:
        ray: the module. idle: workers that wait for jobs; each has loaded what its earlier jobs needed.
    """

    ray: Any
    idle: list[Any] = field(default_factory=list)

    def places(self, workers: int | None) -> int:
        """Returns how many jobs run at once: what was told, else a job for each core of the cluster."""
        return int(self.ray.cluster_resources().get("CPU", 1)) if workers is None else workers

    def free(self) -> None:
        """Lets the workers go, which keep a core each."""
        while self.idle:
            self.ray.kill(self.idle.pop())


_joined: Cluster | None = None  # Ray itself knows one a process
_joined_at: str | None = None


def is_asked_for(workers: int | None, address: str | None) -> bool:
    """Returns whether the options ask for Ray. Raises LfdError where they make no sense."""
    if workers is not None and workers < 1:
        raise LfdError(f"--workers is {workers}, expected at least 1")
    return workers is not None or address is not None


@contextlib.contextmanager
def joined(workers: int | None, address: str | None) -> Iterator[Cluster]:
    """Gives the cluster that is joined already, the one at `address`, or a new one on this machine.

    A new one listens on the loopback alone, with a token of its own, opens no dashboard, tells nobody that it is used,
    and is gone afterwards, processes and files; where this process is killed, its logs stay.

    Raises:
        LfdError: Ray is not installed, nothing answers at the address, or it refuses; another one is joined already.
    """
    global _joined, _joined_at
    if _joined is not None:
        if address not in (None, _joined_at):
            _require_answer(address)
            raise LfdError(f"this process has joined another Ray cluster, so not {address}; use a process of its own")
        yield _joined
        return
    prepare(on_this_machine=address is None)
    ray = _imported()
    with _begun(ray, cores() if workers is None else workers) if address is None else _at(ray, address):
        _joined, _joined_at = Cluster(ray), address
        try:
            yield _joined
        finally:
            _joined, _joined_at = None, None


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def prepare(*, on_this_machine: bool) -> None:
    """Says by Ray's own variables how it has to behave; where it listens it reads once, while it is imported."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters arrives as an exception
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")  # on a busy machine its 30 s are not enough
    os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")
    os.environ.setdefault("RAY_worker_niceness", "0")  # its 15 starves workers wherever anything else runs
    if (
        on_this_machine and "ray" not in sys.modules
    ):  # Ray's own switch for machines whose firewall asks: everything on 127.0.0.1
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray leaves one in the home folder


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise LfdError("several workers need Ray, which is not installed: pip install 'robot-lfd[ray]'") from error
    return ray


@contextlib.contextmanager
def _begun(ray: Any, workers: int) -> Iterator[None]:
    home = tempfile.mkdtemp(prefix="lfd-ray-")
    try:
        try:
            ray.init(
                num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                object_store_memory=OBJECTS_BYTES, _temp_dir=home,
            )  # fmt: skip
        except Exception as error:
            raise LfdError(f"Ray does not start on this machine: {_first_line(error)}") from error
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _at(ray: Any, address: str) -> Iterator[None]:
    _require_answer(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise LfdError(f"the Ray cluster at {address} cannot be joined: {_first_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raises LfdError where no Ray answers: joining would try for minutes."""
    found = re.fullmatch(r"([^:/]+):(\d{1,5})", address)
    if found is None:
        raise LfdError(f"--address is '{address}', expected HOST:PORT of a Ray head, as ray start --head prints it")
    try:
        socket.create_connection((found[1], int(found[2])), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise LfdError(f"nothing answers at {address} ({error}); start it with: ray start --head") from error
    words = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=HEALTH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LfdError(f"what listens at {address} does not answer as Ray does; is it the port of the head?") from error
    if asked.returncode != 0:
        said = "token" in (asked.stdout + asked.stderr).lower() or "auth" in (asked.stdout + asked.stderr).lower()
        why = "it does not accept this token; see RAY_AUTH_TOKEN" if said else "is it the port of a Ray head?"
        raise LfdError(f"the Ray cluster at {address} refuses: {why}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
