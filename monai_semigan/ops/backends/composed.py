# SPDX-License-Identifier: Apache-2.0
"""Larger ops made of smaller ones, for backends that have no kernel for the whole."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DEMODULATION_EPSILON", "UP_GAIN", "convolve", "epilogue_of", "epilogue_padding", "scaled_activations_of"]

DEMODULATION_EPSILON = 1e-8
"""Keeps the demodulation finite (StyleGAN2, equation 3)."""

UP_GAIN = 4.0
"""The taps sum to 1 and the zeros between samples are three quarters of the upsampled map: this keeps the mean."""


def epilogue_padding(num_taps: int) -> tuple[int, int]:
    """Padding of the filter, ``(before, after)``: a transposed convolution's ``2H + 1`` pixels become ``2H``."""
    excess = num_taps - 2
    return (excess + 1) // 2, excess // 2


def epilogue_of(upfirdn2d: Callable[..., Tensor], bias_act: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make a ``styled_epilogue`` of two other kernels: filter, factors, noise, activation, one after the other."""

    def styled_epilogue(
        x: Tensor,
        demodulation: Tensor | None,
        noise: Tensor | None,
        bias: Tensor | None,
        up_taps: Tensor | None,
        slope: float,
        gain: float,
    ) -> Tensor:
        if up_taps is not None:
            x = upfirdn2d(x, up_taps, 1, 1, epilogue_padding(len(up_taps)), UP_GAIN)
        if demodulation is not None:
            x = x * demodulation.to(x.dtype)[:, :, None, None]
        if noise is not None:
            x = x + noise.to(x.dtype)
        if bias is None and slope == gain == 1:
            return x
        return bias_act(x, bias, slope, gain)

    return styled_epilogue


def convolve(x: Tensor, weight: Tensor, up: bool) -> Tensor:
    """Convolve with PyTorch: to the same size, or transposed with stride 2 to ``(N, O, 2H + 1, 2W + 1)``."""
    if up:
        return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def scaled_activations_of(run: Callable[[Tensor, Tensor, bool], Tensor]) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """Make a ``modulated_conv2d`` of a convolution: scale the input channels before it, and the output after it."""

    def modulated_conv2d(
        x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up: bool
    ) -> tuple[Tensor, Tensor | None]:
        y = run(x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype), up)
        if not demodulate:
            return y, None
        # Summed in the order of the weight's memory: a result in the other order takes five times as long.
        squares = weight.transpose(0, 1).square().sum(dim=(2, 3)) if up else weight.square().sum(dim=(2, 3)).T
        energy = style.square() @ squares.to(style.dtype)  # (N, I) @ (I, O)
        return y, torch.rsqrt(energy + DEMODULATION_EPSILON)

    return modulated_conv2d
