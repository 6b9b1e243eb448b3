"""PyBullet, without what its C code prints: standard output belongs to the command line's answers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Sends what is printed meanwhile, by C code too, to nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {fd: os.dup(fd) for fd in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in kept:
        os.dup2(nowhere, fd)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # C buffers its prints
        for fd, old in kept.items():
            os.dup2(old, fd)
            os.close(old)
        os.close(nowhere)


with silent():
    import pybullet
    import pybullet_data
    from pybullet_utils.bullet_client import BulletClient


class Client(BulletClient):
    """A physics client that counts in `repainted` how often a shape's look has been changed."""

    repainted = 0

    def changeVisualShape(self, *args: Any, **kwargs: Any) -> Any:
        """Changes a shape's colour, as pybullet does."""
        self.repainted += 1
        return pybullet.changeVisualShape(*args, **kwargs, physicsClientId=self._client)


__all__ = ["Client", "pybullet", "pybullet_data", "silent"]
