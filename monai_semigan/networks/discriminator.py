# SPDX-License-Identifier: Apache-2.0
"""D_r, the image discriminator: StyleGAN2's residual discriminator (Karras et al. 2020, figure 7c)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from monai_semigan.errors import check_shape
from monai_semigan.networks.downsampling import reduced
from monai_semigan.networks.layers import EqualizedConv2d, EqualizedLinear, minibatch_stddev
from monai_semigan.networks.synthesis import check_channels

__all__ = ["ImageDiscriminator"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second with stride 2, and a 1x1 skip; both halves scaled to keep the variance.

    Shapes:
        ``(N, I, H, W)`` -> ``(N, O, H / 2, W / 2)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = EqualizedConv2d(in_channels, in_channels, 3)
        self.conv2 = EqualizedConv2d(in_channels, out_channels, 3, down=True)
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) * math.sqrt(0.5)


class ImageDiscriminator(nn.Module):
    """Judge whether images are real; its features also serve as a perceptual metric that needs no download.

    Args:
        image_size: Side of the image, a power of two from 32 to 1024.
        image_channels: 1 or 3.
        channels: Feature channels at 4, 8, ... ``image_size / downsampling`` pixels; None for StyleGAN2's table.
        stddev_group: Largest group of the minibatch standard deviation.
        downsampling: Factor by which the image is reduced first, see `networks.downsampling`.

    Shapes:
        ``(N, image_channels, S, S)`` in [-1, 1] -> logits ``(N,)``, float32; positive means real. Any N >= 1.
    """

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 1,
        channels: Sequence[int] | None = None,
        stddev_group: int = 4,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        table = check_channels(image_size, channels, downsampling)[::-1]  # the finest ... 4
        self.downsampling = downsampling
        self.image_size, self.image_channels, self.stddev_group = image_size, image_channels, stddev_group
        self.compute_dtype: torch.dtype | None = None
        self.from_image = EqualizedConv2d(image_channels, table[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(i, o) for i, o in pairwise(table))
        self.final_conv = EqualizedConv2d(table[-1] + 1, table[-1], 3)
        self.final_linear = EqualizedLinear(table[-1] * 16, table[-1], activate=True)
        self.output = EqualizedLinear(table[-1], 1)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the map after each residual block, finest first, to ``(N, C, 4, 4)``."""
        check_shape("image", image.shape, f"N {self.image_channels} {self.image_size} {self.image_size}")
        x = self.from_image(reduced(image, self.downsampling).to(self.compute_dtype or image.dtype))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)[-1].to(self.output.weight.dtype)
        x = self.final_conv(minibatch_stddev(x, group_size=self.stddev_group))
        logits: Tensor = self.output(self.final_linear(x.flatten(1)))
        return logits.squeeze(1)
