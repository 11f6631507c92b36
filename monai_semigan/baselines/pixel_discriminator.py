# SPDX-License-Identifier: Apache-2.0
"""A fully convolutional network that says something of every pixel of a label map."""

from __future__ import annotations

import itertools
import math

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PixelDiscriminator"]

CELLS = 10.0
"""Side of the coarsest map: five halvings of the 321 px in Hung et al. 2018, fewer of smaller images."""

MAX_WIDTH = 512


class PixelDiscriminator(nn.Module):
    """Convolutions of 4 x 4 with stride 2 and leaky ReLU, then one output, brought back to full size.

    Layers and widths are those of Hung et al. 2018, section 3.2, from ``base_channels`` on doubled at each.

    Args:
        channels: Of the input.
        image_size: Side of the input, pixels.
        base_channels: Width of the first convolution.

    Shapes:
        ``(N, channels, S, S)`` -> logits ``(N, 1, S, S)``.
    """

    def __init__(self, *, channels: int, image_size: int, base_channels: int) -> None:
        super().__init__()
        count = max(round(math.log2(image_size / CELLS)), 1)
        widths = [channels, *(min(base_channels * 2**at, MAX_WIDTH) for at in range(count))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.layers(x), size=x.shape[2:], mode="bilinear", align_corners=False)
