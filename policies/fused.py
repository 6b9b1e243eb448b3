"""The networks of `networks`, evaluated for training: the same numbers from fewer passes, with gradients by hand.

torch's autograd writes and reads every layer several times (bias, mean, deviation, gain, relu, and the same backwards)
in some 1,800 operations a gradient step. Here a layer is one matrix product and one compiled loop (`kernels`), forwards
and backwards, and a whole network is one operation to autograd; losses stay ordinary torch. First derivatives only: a
gradient penalty wants `networks`. The tests compare both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from policies.flat import Flat
from policies.kernels import bias_norm_relu, bias_norm_relu_backward, bias_relu, bias_relu_backward
from policies.networks import Ensemble, TanhGaussianActor, leading_inside


class _Layer(NamedTuple):
    """One layer of N members, or the gradients of its parameters: views made once, tensors and the arrays they are."""

    weights: list[torch.Tensor]  # N of (in, out)
    turned: list[torch.Tensor]  # N of (out, in)
    bias: torch.Tensor  # (N, 1, out)
    bias_array: Any
    norm: tuple[Any, Any] | None  # gain and shift, arrays (N, 1, out); none without LayerNorm, nor in the last layer


class _Room(NamedTuple):
    """Where a hidden layer is worked out for B rows. Arrays and tensors are views of the same memory."""

    h: list[torch.Tensor]  # N of (B, width): the product, then what its loop makes of it
    out: list[torch.Tensor]  # N of (B, width) after relu; h itself where there is no LayerNorm
    turned: list[torch.Tensor]  # N of (width, B): out
    h_array: Any
    out_array: Any
    deviation: Any  # (N, B) 1 / std
    slope: list[torch.Tensor]  # N of (B, width)
    slope_array: Any


class Stack:
    """The N perceptrons of an ensemble, or the one of an actor, as a function of their (normalised) inputs.

    The module's parameters then lie in one vector, `flat`, and are still the module's: what changes one, changes both.
    """

    def __init__(self, module: Ensemble | TanhGaussianActor) -> None:
        self.flat = Flat(module)
        self._layers = _layers(module, self.flat.pieces(self.flat.vector.detach()))
        self.inputs = self._layers[0].weights[0].shape[0]
        self._gradient = torch.zeros_like(self.flat.vector)
        self._slopes = _layers(module, self.flat.pieces(self._gradient))
        self._rooms: dict[int, list[list[_Room]]] = {}  # those not in use, by B

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the last layer's output (N, B, out) for x (B, in)."""
        return _Perceptrons.apply(x, self.flat.vector, self)  # pyright: ignore[reportReturnType]

    def frozen(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the same, with a gradient for x but none for the parameters: half the work backwards."""
        return _Perceptrons.apply(x, None, self)  # pyright: ignore[reportReturnType]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[_Room]]:
        """Returns the output (N, B, out) and what `backward` needs, or `leave`."""
        rooms, seen = self._enter(len(x)), [x] * len(self._layers[0].weights)
        for layer, room in zip(self._layers, rooms, strict=False):
            _multiply(seen, layer.weights, room.h)
            if layer.norm is None:
                bias_relu(room.h_array, layer.bias_array)
            else:
                gain, shift = layer.norm
                bias_norm_relu(room.h_array, layer.bias_array, gain, shift, room.out_array, room.deviation)
            seen = room.out
        last = self._layers[-1]
        out = torch.stack([torch.mm(s, w) for s, w in zip(seen, last.weights, strict=True)])
        return out.add_(last.bias), rooms

    def backward(
        self, x: torch.Tensor, rooms: list[_Room], slope: torch.Tensor, *, inside: bool, before: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Returns the slope of x and that of `flat`, as far as wanted, for that of the output (N, B, out)."""
        here = list(slope.unbind(0))
        self._gradient.zero_()
        torch.sum(slope, 1, keepdim=True, out=self._slopes[-1].bias)
        for i in reversed(range(len(self._layers))):
            if inside:
                _multiply(rooms[i - 1].turned if i else [x.t()] * len(here), here, self._slopes[i].weights)
            if i == 0:
                break
            room, layer, found = rooms[i - 1], self._layers[i - 1], self._slopes[i - 1]
            _multiply(here, self._layers[i].turned, room.slope)
            here = room.slope
            if layer.norm is None or found.norm is None:
                bias_relu_backward(room.slope_array, room.out_array, found.bias_array)
            else:
                bias_norm_relu_backward(
                    room.slope_array, room.h_array, room.out_array, layer.norm[0], room.deviation,
                    found.bias_array, found.norm[0], found.norm[1],
                )  # fmt: skip
        earlier = [torch.mm(s, w) for s, w in zip(here, self._layers[0].turned, strict=True)] if before else []
        self.leave(len(x), rooms)
        return torch.stack(earlier).sum(0) if before else None, self._gradient.clone() if inside else None

    def leave(self, rows: int, rooms: list[_Room]) -> None:
        """Gives back what `forward` worked in."""
        self._rooms[rows].append(rooms)

    def _enter(self, rows: int) -> list[_Room]:
        free = self._rooms.setdefault(rows, [])
        return free.pop() if free else [_room(layer, rows) for layer in self._layers[:-1]]


def _layers(module: Ensemble | TanhGaussianActor, pieces: Sequence[torch.Tensor]) -> list[_Layer]:
    """Returns the layers of `module` whose parameters, in its own order, are `pieces`."""
    if isinstance(module, TanhGaussianActor):  # weight (out, in) and bias (out,), layer by layer
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        return [_layer(w.t().unsqueeze(0), b.reshape(1, 1, -1), None) for w, b in pairs]
    count = len(module.weights)
    ends = 0, count, 2 * count, 3 * count - 1, 4 * count - 2
    weights, biases, gains, shifts = (pieces[a:b] for a, b in itertools.pairwise(ends))
    norms = [(g.numpy(), s.numpy()) if module.layer_norm else None for g, s in zip(gains, shifts, strict=True)]
    return [_layer(w, b, n) for w, b, n in zip(weights, biases, [*norms, None], strict=True)]


def _layer(weights: torch.Tensor, bias: torch.Tensor, norm: tuple[Any, Any] | None) -> _Layer:
    return _Layer(list(weights.unbind(0)), list(weights.mT.unbind(0)), bias, bias.numpy(), norm)


def _room(layer: _Layer, rows: int) -> _Room:
    h, slope = (torch.empty(len(layer.weights), rows, layer.bias.shape[-1]) for _ in range(2))
    out = h if layer.norm is None else torch.empty_like(h)
    deviation = torch.empty(h.shape[:2]).numpy()
    return _Room(
        list(h.unbind(0)), list(out.unbind(0)), list(out.mT.unbind(0)), h.numpy(), out.numpy(), deviation,
        list(slope.unbind(0)), slope.numpy(),
    )  # fmt: skip


def _multiply(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
    """Writes the product of each pair to `out`. One after the other: batched products are slower on a CPU (LOG.md)."""
    for a, b, c in zip(left, right, out, strict=True):
        torch.mm(a, b, out=c)


class PlainStack:
    """The same of torch's own operations, for devices without compiled loops."""

    def __init__(self, module: Ensemble | TanhGaussianActor) -> None:
        self.flat, self.module = Flat(module), module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the last layer's output (N, B, out) for x (B, in)."""
        if isinstance(self.module, TanhGaussianActor):
            return self.module.head(self.module.trunk(x)).unsqueeze(0)
        return self.module.outputs(x)

    def frozen(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the same, with a gradient for x but none for the parameters."""
        self.module.requires_grad_(False)
        out = self(x)
        self.module.requires_grad_(True)
        return out


def make_stack(module: Ensemble | TanhGaussianActor) -> Stack | PlainStack:
    """Returns the fastest evaluation on the module's device. It gives the module's parameters new places."""
    return Stack(module) if next(module.parameters()).is_cpu else PlainStack(module)


class _Perceptrons(torch.autograd.Function):
    """A Stack as one operation of autograd's."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, vector: torch.Tensor | None, stack: Stack) -> torch.Tensor:
        x = x.detach()
        out, rooms = stack.forward(x)
        if any(ctx.needs_input_grad):
            ctx.stack, ctx.x, ctx.rooms = stack, x, rooms
        else:
            stack.leave(len(x), rooms)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        before, inside, _ = ctx.needs_input_grad
        found = ctx.stack.backward(ctx.x, ctx.rooms, slope, inside=inside, before=before)
        del ctx.rooms  # given back: another forward works there now
        return *found, None


class _TanhGaussian(torch.autograd.Function):
    """TanhGaussianActor.sample from the head's output on: action and log density, with their slopes in closed form."""

    @staticmethod
    def forward(
        ctx: Any, head: torch.Tensor, noise: torch.Tensor, least: torch.Tensor, most: torch.Tensor, noise_learns: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, raw = head.chunk(2, -1)
        log_std = raw.clamp(least, most)
        spread = log_std.exp() * noise  # (B, A)
        before = mean + spread
        action = torch.tanh(before)
        squash = (before + F.softplus(-2.0 * before)).sub_(math.log(2.0)).mul_(2.0)  # -log(1 - tanh(before)^2)
        gaussian = torch.addcmul(log_std, noise, noise, value=0.5)  # -log of the Gaussian, up to a constant
        constant = most.sum() - 0.5 * math.log(2.0 * math.pi) * len(most)
        ctx.save_for_backward(action, spread, raw < least, raw > most)
        ctx.noise_learns = noise_learns
        return action, squash.sub_(gaussian).sum(-1).add_(constant)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_action: torch.Tensor, d_log_prob: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore
        action, spread, below, above = ctx.saved_tensors
        d_log_prob = d_log_prob.unsqueeze(-1)
        # d tanh(x) / dx = 1 - tanh(x)^2; d log density / dx = 2 tanh(x); d log density / d log_std = -1, noise as it is
        d_mean = torch.addcmul(d_action, action, 2.0 * d_log_prob - d_action * action)
        d_log_std = torch.addcmul(-d_log_prob, d_mean, spread)
        if ctx.noise_learns:
            d_log_std = leading_inside(d_log_std, below, above)
        else:
            d_log_std.masked_fill_(below | above, 0.0)
        return torch.cat([d_mean, d_log_std], -1), None, None, None, None


def tanh_gaussian(
    actor: TanhGaussianActor, head: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns action (B, A) and log density (B,) as TanhGaussianActor.sample does, from the head's output (B, 2 A)."""
    bounds = actor.log_std_min, actor.log_std_max
    return _TanhGaussian.apply(head, noise, *bounds, actor.noise_learns)  # pyright: ignore[reportReturnType]
