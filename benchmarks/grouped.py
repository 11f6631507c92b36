# SPDX-License-Identifier: Apache-2.0
"""Our networks computed the way StyleGAN2's public programs compute them: the base of the ratios without a checkout.

This is a stand-in written from the papers' formulas, not anyone's program. A network becomes grouped by a deep copy
whose layers change class: weights stay the same, so results must be equal.

* Modulation makes one weight per sample, and the batch runs as one convolution with as many groups as samples
  (Karras et al. 2020, appendix B).
* The FIR filter sees every channel as a one-channel image, ``(N * C, 1, H, W)``, after zeros were put in between.
* Tensors are contiguous, ``(N, C, H, W)``; bias, noise, activation and gain are one pass each.
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.networks.layers import EqualizedConv2d
from monai_semigan.networks.synthesis import Noise, OutputHead, StyledConv, SynthesisNetwork
from monai_semigan.ops.backends.composed import DEMODULATION_EPSILON
from monai_semigan.ops.bias_act import ACTIVATION_GAIN, LEAKY_SLOPE
from monai_semigan.ops.fir import downsample_padding, upsample_padding

__all__ = ["grouped"]

N = TypeVar("N", bound=nn.Module)


def grouped(network: N) -> N:
    """Copy a network; the copy computes the same in the grouped formulation."""
    twin = copy.deepcopy(network)
    for module in twin.modules():
        module.__class__ = TWINS.get(type(module), type(module))
    for parameter in twin.parameters():
        parameter.data = parameter.data.contiguous()
    return twin


class GroupedStyledConv(StyledConv):
    """Per-sample weights in one grouped convolution."""

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "fixed") -> Tensor:
        y = _modulated(x, self.weight, self.affine(w), demodulate=True, taps=self.taps if self.up else None)
        if noise != "none":
            maps = self.noise_const if noise == "fixed" else torch.randn_like(y[:, :1])
            y = y + maps * self.noise_strength
        return _activate(y, self.bias)


class GroupedHead(OutputHead):
    """The same for a head."""

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return _modulated(x, self.weight, self.affine(w), demodulate=False, taps=None) + self.bias[:, None, None]


class GroupedSynthesis(SynthesisNetwork):
    """Skips through the one-channel filter."""

    def _add_skip(self, skip: Tensor | None, output: Tensor) -> Tensor:
        if skip is None:
            return output
        return _fir(skip, self.taps, up=2, padding=upsample_padding(len(self.taps)), gain=4.0) + output


class GroupedConv2d(EqualizedConv2d):
    """Contiguous tensors; a downsampling 1x1 convolution filters the whole map first."""

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        if self.down:
            x = _fir(x, self.taps, padding=downsample_padding(len(self.taps), kernel_size=size))
        padding = 0 if self.down else size // 2
        x = F.conv2d(x, self.weight * self.weight_gain, stride=2 if self.down else 1, padding=padding)
        return x if self.bias is None else _activate(x, self.bias)


TWINS: dict[type, type] = {
    StyledConv: GroupedStyledConv,
    OutputHead: GroupedHead,
    SynthesisNetwork: GroupedSynthesis,
    EqualizedConv2d: GroupedConv2d,
}


def _modulated(x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool, taps: Tensor | None) -> Tensor:
    n, channels, height, width = x.shape
    out, _, size, _ = weight.shape
    weights = weight[None] * (style * (1 / math.sqrt(channels * size**2)))[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        weights = weights * torch.rsqrt(weights.square().sum(dim=(2, 3, 4), keepdim=True) + DEMODULATION_EPSILON)
    joined = x.reshape(1, n * channels, height, width)
    if taps is None:
        kernel = weights.reshape(n * out, channels, size, size)
        y = F.conv2d(joined, kernel, padding=size // 2, groups=n)
        return y.reshape(n, out, height, width)
    kernel = weights.transpose(1, 2).reshape(n * channels, out, size, size)
    y = F.conv_transpose2d(joined, kernel, stride=2, groups=n)
    y = y.reshape(n, out, *y.shape[2:])
    excess = len(taps) - 2
    return _fir(y, taps, padding=((excess + 1) // 2, excess // 2), gain=4.0)


def _fir(x: Tensor, taps: Tensor, *, up: int = 1, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    n, channels, height, width = x.shape
    x = x.reshape(n * channels, 1, height, width)
    if up > 1:
        spread = x.new_zeros(n * channels, 1, height, up, width, up)
        spread[:, :, :, 0, :, 0] = x
        x = spread.reshape(n * channels, 1, height * up, width * up)
    x = F.pad(x, (*padding, *padding))
    kernel = (taps.flip(0)[:, None] * taps.flip(0)[None, :] * gain)[None, None]
    y = F.conv2d(x, kernel)
    return y.reshape(n, channels, *y.shape[2:])


def _activate(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias[:, None, None], LEAKY_SLOPE) * ACTIVATION_GAIN
