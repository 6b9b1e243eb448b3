"""Augmentation of pictures (B, K, S, H, W, 3) uint8: B rows, K cameras, S stacked frames. A stack moves as one."""

from __future__ import annotations

import torch

from policies.sharing import Share


def random_shift(
    pictures: torch.Tensor, most_px: int, generator: torch.Generator, share: Share = Share()
) -> torch.Tensor:
    """Returns the pictures moved by up to `most_px` each way, edges repeated, each camera of each row on its own.

    Source: Yarats, Kostrikov, Fergus, "Image Augmentation Is All You Need" (DrQ), ICLR 2021, Sec. 3.1.
    """
    if most_px == 0:
        return pictures
    rows, cameras, stack, height, width, _ = pictures.shape
    flat = pictures.reshape(rows * cameras, stack, height, width, 3)
    shape = (2, rows * share.count, cameras)
    by = torch.randint(-most_px, most_px + 1, shape, generator=generator, device=generator.device)
    by = share.of(by, 1).reshape(2, len(flat), 1)
    down = (torch.arange(height, device=by.device) + by[0]).clamp(0, height - 1)  # (B K, H)
    across = (torch.arange(width, device=by.device) + by[1]).clamp(0, width - 1)  # (B K, W)
    moved = moved_in_turn(flat, down, across) if flat.device.type == "cpu" else moved_at_once(flat, down, across)
    return moved.reshape(pictures.shape)


def moved_in_turn(flat: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """Returns pictures (N, S, H, W, 3) with rows `down` (N, H) and columns `across` (N, W), which ascend by one within.

    Quick on a CPU: whole rows are copied, then whole pieces of them, and no pixel on its own.
    """
    moved, last = torch.empty_like(flat), flat.shape[3] - 1
    first, end = across[:, 0].tolist(), across[:, -1].tolist()
    for out, picture, rows, a, b in zip(moved, flat, down, first, end, strict=True):
        rowed = picture.index_select(1, rows)
        if a > 0:  # to the left: the last column repeats
            out[:, :, : last + 1 - a] = rowed[:, :, a:]
            out[:, :, last + 1 - a :] = rowed[:, :, last:]
        else:
            by = last - b  # to the right: the first column repeats
            out[:, :, by:] = rowed[:, :, : last + 1 - by]
            out[:, :, :by] = rowed[:, :, :1]
    return moved


def moved_at_once(flat: torch.Tensor, down: torch.Tensor, across: torch.Tensor) -> torch.Tensor:
    """Returns what `moved_in_turn` does, in one kernel: for a GPU."""
    number = torch.arange(len(flat), device=flat.device)[:, None, None, None]
    frame = torch.arange(flat.shape[1], device=flat.device)[None, :, None, None]
    return flat[number, frame, down[:, None, :, None], across[:, None, None, :]]


def colour_jitter(
    pictures: torch.Tensor, strength: float, generator: torch.Generator, share: Share = Share()
) -> torch.Tensor:
    """Returns float pictures (B, K, S, H, W, 3) in [-0.5, 0.5] with gain and offset of each colour drawn anew.

    Args:
        strength: largest relative gain, and largest offset, of a colour of one camera of one row.
    """
    if strength == 0.0:
        return pictures
    shape = (2, len(pictures) * share.count, pictures.shape[1], 1, 1, 1, 3)
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    gain, offset = (2 * share.of(drawn, 1) - 1) * strength
    return (pictures * (1 + gain) + offset).clamp(-0.5, 0.5)
