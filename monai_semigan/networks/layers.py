# SPDX-License-Identifier: Apache-2.0
"""Layers with equalized learning rate, and the minibatch standard deviation.

Weights are stored with unit variance and scaled at run time, so that Adam moves all layers at one relative speed
(Karras et al. 2018, Progressive Growing of GANs, section 4.1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.errors import check_shape
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.fir import downsample_padding, normalized_taps
from monai_semigan.ops.upfirdn2d import upfirdn2d

__all__ = ["EqualizedConv2d", "EqualizedLinear", "minibatch_stddev"]


class EqualizedLinear(nn.Module):
    """Linear layer, optionally with leaky ReLU.

    Shapes:
        ``(N, in_features)`` -> ``(N, out_features)``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        learning_rate_multiplier: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / learning_rate_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / learning_rate_multiplier))
        self.weight_gain = learning_rate_multiplier / math.sqrt(in_features)
        self.bias_gain = learning_rate_multiplier
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias * self.bias_gain
        if self.activate:
            return bias_act(F.linear(x, self.weight * self.weight_gain), bias)
        return F.linear(x, self.weight * self.weight_gain, bias)


class EqualizedConv2d(nn.Module):
    """Convolution, optionally after a FIR low-pass with stride 2, optionally with bias and leaky ReLU.

    Weights are cast to the dtype of the input, so one module serves float32 and bfloat16.

    Shapes:
        ``(N, I, H, W)`` -> ``(N, O, H, W)``, or ``(N, O, H / 2, W / 2)`` with ``down``.
    """

    taps: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, down: bool = False, activate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.down = down
        self.register_buffer("taps", normalized_taps(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel_size = self.weight.shape[-1]
        weight = (self.weight * self.weight_gain).to(x.dtype)
        if not self.down and kernel_size == 1:
            # As a product over the channels, whose result is channels_last even where the input has one channel.
            x = F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
        elif not self.down:
            x = F.conv2d(x, weight, padding=kernel_size // 2)
        elif kernel_size == 1:
            # A 1x1 convolution commutes with the stride: filter and drop pixels first, a quarter of the work.
            x = upfirdn2d(x, self.taps, down=2, padding=downsample_padding(len(self.taps)))
            x = F.conv2d(x, weight)
        else:
            x = upfirdn2d(x, self.taps, padding=downsample_padding(len(self.taps), kernel_size=kernel_size))
            x = F.conv2d(x, weight, stride=2)
        return x if self.bias is None else bias_act(x, self.bias)


def minibatch_stddev(x: Tensor, *, group_size: int = 4) -> Tensor:
    """Append one channel with the standard deviation over groups of samples (Karras et al. 2018, section 3).

    The batch is cut into equal groups of the largest size that divides it and is at most ``group_size``; members of a
    group are strided over the batch. Any batch size works (a prime one above ``group_size`` gives groups of 1, whose
    deviation is 0).

    Args:
        x: ``(N, C, H, W)``.
        group_size: Largest number of samples per group.

    Returns:
        ``(N, C + 1, H, W)``.
    """
    n, c, h, w = check_shape("x", x.shape, "N C H W").values()
    members = next(size for size in range(min(group_size, n), 0, -1) if n % size == 0)
    wide = x if x.dtype == torch.float64 else x.float()
    grouped = wide.reshape(members, n // members, c, h, w)
    centered = grouped - grouped.mean(dim=0)
    deviation = (centered.square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (N / members,)
    channel = deviation.repeat(members).reshape(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, channel.to(x.dtype)], dim=1)
