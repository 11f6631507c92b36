# SPDX-License-Identifier: Apache-2.0
"""What follows a styled convolution, in one kernel: blur, demodulation, noise, bias, leaky ReLU and gain.

With blur B, demodulation d, noise n and bias b: ``y = gain * leaky(d * B x + n + b)``. The slope of the activation is
read off the sign of y, so of the whole chain only x and y are kept. With g the gradient at the argument of the
activation, the gradients are ``d * B^T g`` for x, ``sum(x * B^T g)`` for d, and sums of g for noise and bias. They are
made of ops that can be differentiated again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from monai_semigan.ops.backends.triton.launch import Finish, Resampling, accumulator, launch
from monai_semigan.ops.backends.triton.upfirdn2d import adjoint, resample

__all__ = ["NO_FILTER", "Operands", "run", "styled_epilogue"]

UPSAMPLED_GAIN = 2.0
"""Per axis: every other sample of the transposed convolution is a zero."""

NO_FILTER = Resampling(None)

Operands = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Demodulation, noise and bias."""


def styled_epilogue(
    x: Tensor,
    demodulation: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    up_taps: Tensor | None,
    slope: float,
    gain: float,
) -> Tensor:
    """Blur, demodulate, add noise and bias, activate.

    Args:
        x: What the convolution returned: ``(N, O, H, W)``, with ``up_taps`` ``(N, O, 2H + 1, 2W + 1)``; any strides.
        demodulation: Factors of the channels, ``(N, O)``.
        noise: ``(N, 1, H', W')`` or ``(1, 1, H', W')`` with the height and width of the result.
        bias: ``(O,)``.
        up_taps: FIR taps ``(T,)``, T >= 2, that sum to 1: blur with gain 4. Not differentiated.
        slope: Slope of the activation below zero, >= 0; 1 makes it linear.
        gain: Factor of the result, > 0.

    Returns:
        ``(N, O, H, W)``, with ``up_taps`` ``(N, O, 2H, 2W)``; dtype and memory format of ``x``.
    """
    height, width = x.shape[2:]
    resampling = NO_FILTER
    if up_taps is not None:
        height, width = height - 1, width - 1  # the padding is T - 2 in all
        before = (len(up_taps) - 1) // 2
        resampling = Resampling(up_taps.detach().to(accumulator(x)) * UPSAMPLED_GAIN, before=before)
    return run(x, (demodulation, noise, bias), (height, width), resampling, slope, gain)


def run(
    x: Tensor, operands: Operands, size: tuple[int, int], resampling: Resampling, slope: float, gain: float
) -> Tensor:
    """Apply an epilogue whose result has ``size``; checks nothing."""
    y: Tensor = _Epilogue.apply(x, *operands, _Settings(size, resampling, slope, gain))  # type: ignore[no-untyped-call]
    return y


class _Settings(NamedTuple):
    size: tuple[int, int]
    resampling: Resampling
    slope: float
    gain: float


class _Epilogue(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, demodulation: Tensor | None, noise: Tensor | None, bias: Tensor | None, settings: _Settings
    ) -> Tensor:
        size, resampling, slope, gain = settings
        y = launch(x, size, resampling, Finish(demodulation, noise, bias, slope=slope, gain=gain))
        ctx.settings, ctx.x_size = settings, x.shape[2:]
        ctx.noise_like, ctx.bias_dtype = (
            noise if noise is None else (len(noise), noise.dtype),
            bias if bias is None else bias.dtype,
        )
        ctx.save_for_backward(None if demodulation is None else x, demodulation, None if slope == 1 else y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, demodulation, y = ctx.saved_tensors
        grad = _through_activation(grad, y, ctx.settings)
        grad_x = grad_demodulation = grad_noise = grad_bias = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            grad_x = _through_filter(grad, ctx.x_size, ctx.settings.resampling)
            if ctx.needs_input_grad[1]:
                grad_demodulation = (grad_x * x).sum((2, 3), dtype=accumulator(x)).to(demodulation.dtype)
            if demodulation is not None:
                grad_x = grad_x * demodulation.to(grad_x.dtype)[:, :, None, None]
        if ctx.needs_input_grad[2]:
            batch, dtype = ctx.noise_like
            grad_noise = grad.sum((0, 1) if batch == 1 else 1, keepdim=True, dtype=accumulator(grad)).to(dtype)
        if ctx.needs_input_grad[3]:
            grad_bias = grad.sum((0, 2, 3), dtype=accumulator(grad)).to(ctx.bias_dtype)
        return grad_x, grad_demodulation, grad_noise, grad_bias, None


def _through_filter(grad: Tensor, size: tuple[int, int], resampling: Resampling) -> Tensor:
    return grad if resampling.taps is None else resample(grad, size, adjoint(resampling), 1.0)


def _through_activation(grad: Tensor, y: Tensor | None, settings: _Settings) -> Tensor:
    if y is None:
        return grad if settings.gain == 1 else grad * settings.gain
    gated: Tensor = _Gate.apply(grad, y, settings.slope, settings.gain)  # type: ignore[no-untyped-call]
    return gated


class _Gate(torch.autograd.Function):
    """The derivative of the activation times ``grad``: linear in ``grad``, and flat in y almost everywhere."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, y: Tensor, slope: float, gain: float) -> Tensor:
        ctx.settings = slope, gain
        ctx.save_for_backward(y)
        height, width = y.shape[2:]
        return launch(grad, (height, width), NO_FILTER, Finish(gate=y, slope=slope, gain=gain))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        gated: Tensor = _Gate.apply(grad, y, *ctx.settings)  # type: ignore[no-untyped-call]
        return gated, None, None, None
