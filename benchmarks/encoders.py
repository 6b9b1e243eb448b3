"""CPU time of one forward and backward pass of each encoder over 64 pictures of 84x84, layouts in turn; one JSON line.

python benchmarks/encoders.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import torch

from policies.encoders import ENCODERS, make_encoder
from policies.pixel_actor import as_float

ROWS, SIZE_PX, WIDTH = 64, 84, 64
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def once(encoder: torch.nn.Module, pictures: torch.Tensor, layout: torch.memory_format) -> float:
    """Returns the CPU milliseconds of one pass, from uint8 pictures to gradients."""
    began = time.process_time()
    encoder(as_float(pictures).contiguous(memory_format=layout)).square().mean().backward()
    return 1000 * (time.process_time() - began)


def main() -> None:
    """Measures every encoder in both layouts, in turn, one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    pictures = torch.randint(0, 256, (ROWS, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8)
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds + 1):
        for name in ENCODERS:
            for layout, memory_format in LAYOUTS.items():
                encoder = make_encoder(name, 3, SIZE_PX, WIDTH).to(memory_format=memory_format)  # pyright: ignore
                taken.setdefault((name, layout), []).append(once(encoder, pictures, memory_format))
    medians = {f"{n} {layout}": round(statistics.median(ms[1:]), 1) for (n, layout), ms in taken.items()}
    about = {"rows": ROWS, "size_px": SIZE_PX, "threads": 1, "rounds": rounds, "load": os.getloadavg()[0]}
    print(json.dumps({"benchmark": "encoders", **about, "torch": torch.__version__, "cpu_ms": medians}))


if __name__ == "__main__":
    main()
