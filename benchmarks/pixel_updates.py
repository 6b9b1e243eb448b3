"""Updates a second from pictures: ours beside a plain DrQ-v2 step, at equal batch, image size and architecture.

The plain step is written from the paper (Yarats et al. 2022, Sec. 3.1 and appendix B): replay in RAM with frame stacks
formed when drawn, random shift by bilinear sampling of float pictures, one encoder pass with gradient for what is seen
and one without for what follows, clipped double Q with target critics, actor on detached features; NCHW layout. Ours is
`PixelSoft`, critics on the simulator's state or on pictures, from the same arrays. Both take turns on one thread; CPU
seconds are counted, drawing included. What single choices give is measured in the same run. On a GPU wall time is
counted: the plain step's batches travel there, as they do in DrQ-v2's loader; ours lie there.

End to end is what a training run waits for: an update and the control steps between two updates, with both cameras'
pictures, in robosuite's Lift; plain: robosuite as it comes. DrQ-v2 updates at every second step, IQ-Learn here at each.

    MUJOCO_GL=egl python benchmarks/pixel_updates.py --encoder small --out benchmarks/results/pixel_updates.json
    python benchmarks/pixel_updates.py --on cuda --rounds 30 --out benchmarks/results/pixel_updates_gpu.json
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from measured import machine
from torch import nn

from policies.augment import random_shift
from policies.encoders import ENCODERS, make_encoder
from policies.iq_learn import IqConfig, iq_loss
from policies.looking import Compute
from policies.networks import Normaliser
from policies.pixel_actor import Sight, as_float
from policies.pixel_soft import PixelSoft, PixelSoftConfig
from policies.soft_agent import SoftConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.envs.registry import NO_LIMIT, make_env
from robot_lfd.envs.robosuite_world import robosuite
from robot_lfd.train.images import Sights, draw_transitions

SIZE_PX, PROPRIO, STATE, ACTIONS, HIDDEN, WIDTH, GAMMA = 84, 6, 13, 4, (128, 128), 64, 0.97
STORED = 3000  # observations
WARM_UP = 2  # rounds that do not count


def perceptron(*sizes: int) -> nn.Sequential:
    """Returns layers with ReLU between them."""
    layers = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class PlainShift(nn.Module):
    """DrQ's random shift as published: edges repeated, then a whole-pixel shift by bilinear sampling."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns float pictures (B, C, H, H) shifted by up to four pixels."""
        size, pad = x.shape[-1], 4
        padded = F.pad(x, (pad, pad, pad, pad), "replicate")
        eps = 1.0 / (size + 2 * pad)
        along = torch.linspace(-1.0 + eps, 1.0 - eps, size + 2 * pad, device=x.device)[:size]
        grid = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1)[None].repeat(len(x), 1, 1, 1)
        by = torch.randint(0, 2 * pad + 1, (len(x), 1, 1, 2), device=x.device).float() * 2.0 / (size + 2 * pad)
        return F.grid_sample(padded, grid + by, padding_mode="zeros", align_corners=False)


class PlainAgent:
    """DrQ-v2's update with an encoder a camera and proprioception beside the pictures."""

    def __init__(self, sight: Sight, device: torch.device) -> None:
        def encoder() -> nn.Module:
            made = make_encoder(sight.encoder, 3 * sight.stack, sight.size_px, sight.width)
            return made.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]

        seen = sight.cameras * sight.width + PROPRIO
        self.shift = PlainShift()
        self.encoders = nn.ModuleList(encoder() for _ in range(sight.cameras)).to(device)
        self.actor = perceptron(seen, *HIDDEN, ACTIONS).to(device)
        self.critics = nn.ModuleList(perceptron(seen + ACTIONS, *HIDDEN, 1) for _ in range(2)).to(device)
        self.targets = copy.deepcopy(self.critics)
        self.encoder_optimiser = torch.optim.Adam(self.encoders.parameters(), lr=1e-4)
        self.actor_optimiser = torch.optim.Adam(self.actor.parameters(), lr=1e-4)
        self.critic_optimiser = torch.optim.Adam(self.critics.parameters(), lr=1e-4)

    def look(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns what is seen and felt for uint8 pictures (B, K, C, H, W)."""
        moved = [self.shift(pictures[:, i].float()) / 255.0 - 0.5 for i in range(len(self.encoders))]
        return torch.cat([*(e(m) for e, m in zip(self.encoders, moved, strict=True)), proprio], 1)

    def action(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns a noisy action."""
        mean = torch.tanh(self.actor(seen))
        return (mean + (0.1 * torch.randn_like(mean)).clamp(-0.3, 0.3)).clamp(-1.0, 1.0)

    def update(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Does one step of critics and encoders, and one of the actor."""
        seen = self.look(batch["pictures"], batch["proprio"])
        with torch.no_grad():
            after = self.look(batch["next_pictures"], batch["next_proprio"])
            chosen = torch.cat([after, self.action(after)], 1)
            target = batch["reward"] + GAMMA * torch.min(*(t(chosen)[:, 0] for t in self.targets))
        both = torch.cat([seen, batch["action"]], 1)
        critic_loss = torch.stack([F.mse_loss(c(both)[:, 0], target) for c in self.critics]).sum()
        self.encoder_optimiser.zero_grad()
        self.critic_optimiser.zero_grad()
        critic_loss.backward()
        self.critic_optimiser.step()
        self.encoder_optimiser.step()
        seen = seen.detach()
        own = torch.cat([seen, self.action(seen)], 1)
        actor_loss = -torch.min(*(c(own) for c in self.critics)).mean()
        self.actor_optimiser.zero_grad()
        actor_loss.backward()
        self.actor_optimiser.step()
        with torch.no_grad():
            for target_p, p in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                target_p.copy_(0.99 * target_p + 0.01 * p)
        return {"critic_loss": critic_loss.item(), "actor_loss": actor_loss.item()}


class PlainReplay:
    """Pictures (M, C, H, W) a camera; stacks are formed transition by transition, as DrQ-v2's loader does."""

    def __init__(self, sights: Sights, stack: int, device: torch.device) -> None:
        self.sights, self.stack, self.device = sights, stack, device
        self.pictures = [np.ascontiguousarray(p.transpose(0, 3, 1, 2)) for p in sights.pictures]

    def _stacked(self, i: int) -> np.ndarray:
        frames = [max(i - k, int(self.sights.first[i])) for k in range(self.stack - 1, -1, -1)]
        return np.stack([np.concatenate([camera[f] for f in frames]) for camera in self.pictures])

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, torch.Tensor]:
        """Returns a batch."""
        s, which = self.sights, rng.integers(len(self.sights.row), size=rows)
        seen = s.row[which]
        columns = {
            "pictures": np.stack([self._stacked(int(i)) for i in seen]),
            "next_pictures": np.stack([self._stacked(int(i) + 1) for i in seen]),
            "proprio": s.proprio[seen], "next_proprio": s.proprio[seen + 1],
            "action": s.action[which], "reward": np.ones(rows, np.float32),
        }  # fmt: skip
        return {k: torch.from_numpy(v).to(self.device) for k, v in columns.items()}


def make_sights(cameras: int) -> Sights:
    """Returns random pictures of episodes of 100 steps."""
    rng = np.random.default_rng(0)
    pictures = tuple(rng.integers(0, 256, (STORED, SIZE_PX, SIZE_PX, 3), dtype=np.uint8) for _ in range(cameras))
    index = np.arange(STORED)
    row = index[(index + 1) % 100 != 0]

    def normal(rows: int, width: int) -> np.ndarray:
        return rng.normal(size=(rows, width)).astype(np.float32)

    return Sights(
        pictures, normal(STORED, PROPRIO), normal(STORED, STATE), index - index % 100, row,
        np.tanh(normal(len(row), ACTIONS)), np.zeros(len(row), bool),
    )  # fmt: skip


def make_ours(sight: Sight, critic_sees: Any, device: torch.device) -> PixelSoft:
    """Returns our agent with the default recipe."""
    by: Any = "actor" if critic_sees == "state" else "critic"

    def unit(width: int) -> Normaliser:
        return Normaliser(torch.zeros(width), torch.ones(width))

    config = PixelSoftConfig(critic_sees, by, state_weight=1.0 if critic_sees == "state" else 0.0)
    loss = functools.partial(iq_loss, config=IqConfig(GAMMA))
    known = unit(STATE) if critic_sees == "state" else None
    gpu = device.type == "cuda"
    spread, compute = torch.full((ACTIONS,), 0.5), Compute(device, half=gpu, compile=gpu)
    return PixelSoft(loss, 33.0, sight, unit(PROPRIO), known, spread, SoftConfig(), config, 0, compute)


def ms(step: Callable[[], object], device: torch.device) -> float:
    """Returns the CPU milliseconds of a step; on a GPU those until it has ended."""
    if device.type == "cpu":
        began = time.process_time()
        step()
        return 1000 * (time.process_time() - began)
    torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began)


def parts(sight: Sight, rows: int) -> dict[str, Callable[[], object]]:
    """Returns single choices to measure on a CPU, ours and plain, on pictures of one batch half each."""
    channels = 3 * sight.stack
    flat = torch.randint(0, 256, (rows, channels, SIZE_PX, SIZE_PX), dtype=torch.uint8)
    ours = torch.randint(0, 256, (rows, 1, sight.stack, SIZE_PX, SIZE_PX, 3), dtype=torch.uint8)
    shift, generator = PlainShift(), torch.Generator().manual_seed(0)
    last = make_encoder(sight.encoder, channels, SIZE_PX, WIDTH)
    first = copy.deepcopy(last).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    nchw = as_float(flat)
    nhwc = nchw.contiguous(memory_format=torch.channels_last)

    def only_look() -> None:
        with torch.no_grad():
            last(nhwc)

    return {
        "shift, plain": lambda: shift(flat.float()) / 255.0 - 0.5,
        "shift, ours": lambda: as_float(random_shift(ours, 4, generator)),
        "encoder there and back, plain": lambda: first(nchw).square().mean().backward(),
        "encoder there and back, ours": lambda: last(nhwc).square().mean().backward(),
        "encoder there, ours": only_look,
    }


def simulators(cameras: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Returns a control step of robosuite's Lift with pictures, plain and ours."""
    plain = robosuite.make(
        "Lift", robots="Panda", has_offscreen_renderer=True, use_camera_obs=True, camera_names=list(cameras),
        camera_heights=SIZE_PX, camera_widths=SIZE_PX, reward_shaping=True, ignore_done=True, renderer="mujoco",
    )  # fmt: skip
    ours = make_env(
        "robosuite/Lift-v0", cameras=tuple(cameras), size_px=SIZE_PX, pictures="fast", max_episode_steps=NO_LIMIT
    )
    plain.reset()
    ours.reset(seed=0)
    action = np.full(ours.action_space.shape or (), 0.1, np.float32)
    return {
        "control step and pictures, plain": lambda: plain.step(action.astype(np.float64)),
        "control step and pictures, ours": lambda: ours.step(action),
    }


def measure(encoder: str, rows: int, args: argparse.Namespace) -> dict[str, Any]:
    """Returns CPU milliseconds of each in turn, and ratios."""
    sight = Sight(args.cameras, SIZE_PX, args.frame_stack, encoder, WIDTH)
    sights, rng, device = make_sights(args.cameras), np.random.default_rng(1), torch.device(args.on)
    plain, replay = PlainAgent(sight, device), PlainReplay(sights, sight.stack, device)
    kept = sights.moved_to(device)
    steps: dict[str, Callable[[], object]] = {"plain": lambda: plain.update(replay.draw(rng, rows))}
    for sees in ("state", "pixels"):
        agent = make_ours(sight, sees, device)
        steps[f"ours, critic sees {sees}"] = lambda agent=agent: agent.update(
            draw_transitions(rng, kept, None, rows // 2, sight.stack)
        )
    seen_by = ("agentview", "robot0_eye_in_hand")[: args.cameras]
    pieces = {**parts(sight, rows), **simulators(seen_by)} if args.on == "cpu" else {}
    found: dict[str, list[float]] = {k: [] for k in (*steps, *pieces)}
    for _ in range(WARM_UP + args.rounds):
        for name, step in {**steps, **pieces}.items():
            found[name].append(ms(step, device))
    each = {k: median(v[WARM_UP:]) for k, v in found.items()}
    ratios = {k: round(each["plain"] / each[k], 2) for k in steps if k != "plain"}
    whole = {}
    for count in (1, 2) if pieces else ():
        waits = {k: each[k] + count * each[f"control step and pictures, {k.split(',')[0]}"] for k in steps}
        whole[f"{count} control steps an update"] = {
            k: round(waits["plain"] / waits[k], 2) for k in steps if k != "plain"
        }
    return {
        "encoder": encoder, "batch": rows, "cameras": args.cameras, "frame_stack": args.frame_stack,
        "size_px": SIZE_PX, "on": args.on, "ms": {k: round(v, 2) for k, v in each.items()},
        "updates_per_s": {k: round(1000 / each[k], 2) for k in steps}, "plain_over_ours": ratios,
        "plain_over_ours_end_to_end": whole,
    }  # fmt: skip


def main() -> None:
    """Measures every encoder that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", nargs="+", default=["small", "drqv2"], choices=list(ENCODERS))
    parser.add_argument("--batch", type=int, default=128, help="rows of a step; ours: half of them the demos'")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--frame-stack", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--on", choices=["cpu", "cuda"], default="cpu", help="CPU time, or wall time on a GPU")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(encoder, args.batch, args) for encoder in args.encoder]
    gpu = {"gpu": torch.cuda.get_device_name()} if args.on == "cuda" else {}
    about = {
        "machine": machine(),
        **gpu,
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
        "rounds": args.rounds,
        "versions": software_versions(),
    }
    report = {"benchmark": "pixel_updates", **about, "rows": rows}
    print(json.dumps(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
