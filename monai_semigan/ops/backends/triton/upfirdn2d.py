# SPDX-License-Identifier: Apache-2.0
"""Pad, upsample, filter and downsample in one kernel; see `monai_semigan.ops.upfirdn2d` for the definition.

The operation is linear. Its adjoint is an operation of the same kind: factors swapped, taps flipped, and the padding
that puts output pixel 0 where input pixel 0 was. So its gradient is itself again, to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_semigan.ops.backends.triton.launch import Finish, Resampling, accumulator, launch

__all__ = ["adjoint", "resample", "upfirdn2d"]


def upfirdn2d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Resample ``x`` by ``up / down`` through a separable FIR filter.

    Args:
        x: ``(N, C, H, W)``, any strides.
        taps: ``(T,)``, applied along H and W. Not differentiated.
        up: Upsampling factor, >= 1.
        down: Downsampling factor, >= 1.
        padding: ``(before, after)`` on both axes, in upsampled pixels; negative values crop.
        gain: Factor of the whole operation.

    Returns:
        ``(N, C, H', W')`` with ``H' = (H * up + sum(padding) - T) // down + 1``; dtype and memory format of ``x``.
    """
    height, width = ((length * up + sum(padding) - len(taps)) // down + 1 for length in x.shape[2:])
    resampling = Resampling(taps.detach().to(accumulator(x)).contiguous(), up, down, padding[0])
    return resample(x, (height, width), resampling, gain)


def resample(x: Tensor, size: tuple[int, int], resampling: Resampling, gain: float) -> Tensor:
    """Apply a filter whose result has ``size``; checks nothing."""
    y: Tensor = _Resample.apply(x, size, resampling, gain)  # type: ignore[no-untyped-call]
    return y


def adjoint(resampling: Resampling) -> Resampling:
    """Return the filter that carries a gradient back."""
    assert resampling.taps is not None
    return Resampling(
        resampling.taps.flip(0), resampling.down, resampling.up, len(resampling.taps) - 1 - resampling.before
    )


class _Resample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, int], resampling: Resampling, gain: float) -> Tensor:
        ctx.settings = x.shape[2:], resampling, gain
        return launch(x, size, resampling, Finish(gain=gain))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        size, resampling, gain = ctx.settings
        return resample(grad, size, adjoint(resampling), gain), None, None, None
