# SPDX-License-Identifier: Apache-2.0
"""The definitions, slow and easy to check, on any device and in any floating dtype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.ops.backend import register_backend
from monai_semigan.ops.backends.composed import DEMODULATION_EPSILON, convolve, epilogue_of

__all__ = ["bias_act", "modulated_conv2d", "styled_epilogue", "upfirdn2d"]


def upfirdn2d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    """Resample along H, then along W."""
    taps = taps.to(x.dtype)
    y = _upfirdn1d(x.mT, taps, up, down, padding).mT
    return _upfirdn1d(y, taps, up, down, padding) * gain


def _upfirdn1d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    *lead, length = x.shape
    upsampled = x.new_zeros(*lead, length, up)
    upsampled[..., 0] = x
    padded = F.pad(upsampled.reshape(*lead, length * up), padding)
    window = padded.unfold(-1, len(taps), 1)  # (..., out, T)
    return (window * taps.flip(0)).sum(-1)[..., ::down]


def bias_act(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    """Shift, bend, scale."""
    shifted = x if bias is None else x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    return torch.where(shifted >= 0, shifted, shifted * slope) * gain


styled_epilogue = epilogue_of(upfirdn2d, bias_act)


def modulated_conv2d(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up: bool) -> tuple[Tensor, None]:
    """Build each sample's weights and convolve it alone."""
    weights = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        energy = weights.square().sum(dim=(2, 3, 4), keepdim=True)
        weights = weights * torch.rsqrt(energy + DEMODULATION_EPSILON)
    samples = zip(x, weights.to(x.dtype), strict=True)
    return torch.cat([convolve(sample[None], own, up) for sample, own in samples]), None


register_backend(
    "reference",
    kernels={
        "bias_act": bias_act,
        "modulated_conv2d": modulated_conv2d,
        "styled_epilogue": styled_epilogue,
        "upfirdn2d": upfirdn2d,
    },
)
