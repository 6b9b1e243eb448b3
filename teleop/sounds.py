"""Sound cues: short tones, made here; a machine without sound stays silent."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import numpy as np
import pygame

RATE_HZ = 44_100
CUES: dict[str, tuple[tuple[float, float], ...]] = {  # (pitch in Hz, seconds) one after the other
    "start": ((660.0, 0.07), (880.0, 0.10)),
    "count": ((660.0, 0.06),),
    "pause": ((440.0, 0.10),),
    "keep": ((660.0, 0.07), (880.0, 0.07), (1320.0, 0.14)),
    "discard": ((440.0, 0.09), (330.0, 0.14)),
    "undo": ((880.0, 0.06), (660.0, 0.06), (440.0, 0.10)),
    "solved": ((880.0, 0.08), (1175.0, 0.16)),
    "trouble": ((220.0, 0.12), (0.0, 0.05), (220.0, 0.12)),
}
LOUDNESS = 0.25
FADE_S = 0.01


class Sounds:
    """Plays cues, unless it is muted or there is no sound device."""

    def __init__(self) -> None:
        self._cues: dict[str, pygame.mixer.Sound] = {}
        try:
            with _silent_stderr():
                pygame.mixer.init(RATE_HZ, -16, 1, 512)
            self._cues = {name: pygame.mixer.Sound(buffer=waveform(name).tobytes()) for name in CUES}
        except (pygame.error, NotImplementedError):
            self._cues = {}

    def play(self, name: str) -> None:
        """Plays a cue and returns at once."""
        if name in self._cues:
            self._cues[name].play()

    def close(self) -> None:
        """Gives the sound device back."""
        self._cues = {}
        if pygame.mixer.get_init():
            pygame.mixer.quit()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Sends what the system's sound library prints to nowhere: a machine without sound is no error."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def waveform(name: str) -> np.ndarray:
    """Returns a cue as samples, (N,) int16, each tone faded in and out so that it does not click."""
    tones = []
    for pitch, seconds in CUES[name]:
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        edge = np.minimum(1.0, np.minimum(t, t[::-1]) / FADE_S)
        tones.append(np.sin(2 * np.pi * pitch * t) * edge)
    return np.round(np.concatenate(tones) * LOUDNESS * 32767).astype(np.int16)
