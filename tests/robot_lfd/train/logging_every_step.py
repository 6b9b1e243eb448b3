"""`lfd` that logs every step and begins to learn early: what torchrun starts in test_several_devices."""

from __future__ import annotations

import sys

from robot_lfd import cli
from robot_lfd.train import loop, pixels

if __name__ == "__main__":
    loop.LOG_EVERY, pixels.WARM_UP_ROWS = 1, 10
    sys.exit(cli.call(sys.argv[1:]))
