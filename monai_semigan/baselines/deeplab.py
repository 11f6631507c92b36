# SPDX-License-Identifier: Apache-2.0
"""DeepLabv3+ (Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution) for small images.

As in the paper: a residual trunk whose last stages keep their resolution by atrous convolutions, an atrous spatial
pyramid with image-level pooling, and a decoder that joins it with fine features narrowed by a 1 x 1 convolution. Other
than there, as images of 64 to 256 px have little to lose: the trunk is small, with random first weights and an output
stride of 8; the decoder's fine features are those at half of the image's size; and group norm stands for batch norm.
The rates of the pyramid are the paper's shares of the map's side. Blocks are MONAI's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from monai.networks.blocks.aspp import SimpleASPP
from monai.networks.blocks.convolutions import Convolution, ResidualUnit
from torch import Tensor, nn

from monai_semigan.baselines.frame import Sizes
from monai_semigan.settings import Range, check_settings

__all__ = ["DeepLabSettings", "DeepLabV3Plus"]

STRIDE = 8
"""Of the trunk's output."""

RATE_SHARES = (12 / 65, 24 / 65, 36 / 65)
"""Rates 12, 24 and 36 of the paper, on the map of 65 px that its images of 513 px have at a stride of 8."""

GROUPS = 8
NORM = ("group", {"num_groups": GROUPS})
ACT = "RELU"

Width = Annotated[int, Range(1, 128)]


@dataclass(frozen=True, kw_only=True)
class DeepLabSettings:
    """Widths, in groups of 8 channels.

    Attributes:
        trunk: Of the trunk's four stages.
        pyramid: Of each branch of the pyramid, and of the decoder.
        fine: Of the decoder's fine features.
    """

    trunk: tuple[Width, Width, Width, Width] = (4, 8, 16, 32)
    pyramid: Width = 8
    fine: Width = 3

    def __post_init__(self) -> None:
        check_settings(self)


class DeepLabV3Plus(nn.Module):
    """Trunk, pyramid, decoder.

    Args:
        sizes: Of images and labels; the side a multiple of 8.
        settings: Widths.

    Shapes:
        ``(N, C, S, S)`` in [-1, 1] -> label logits ``(N, K, S, S)``.
    """

    def __init__(self, sizes: Sizes, settings: DeepLabSettings) -> None:
        super().__init__()
        first, second, third, last = (GROUPS * width for width in settings.trunk)
        width, fine = GROUPS * settings.pyramid, GROUPS * settings.fine
        self.stem = _residual(sizes.image_channels, first, stride=2)
        self.trunk = nn.Sequential(
            _residual(first, second, stride=2), _residual(second, third, stride=2), _residual(third, last, dilation=2)
        )
        side = max(sizes.image_size // STRIDE, 1)
        rates = [max(round(side * share), 1) for share in RATE_SHARES]
        self.pyramid = SimpleASPP(
            2, last, width, kernel_sizes=(1, 3, 3, 3), dilations=(1, *rates), norm_type=NORM, acti_type=ACT
        )
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(last, width, 1), nn.ReLU())
        self.joined = _convolution(5 * width, width, kernel=1)
        self.fine = _convolution(first, fine, kernel=1)
        self.decoder = nn.Sequential(
            _convolution(width + fine, width, kernel=3),
            _convolution(width, width, kernel=3),
            nn.Conv2d(width, sizes.num_classes, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        fine = self.stem(image)  # (N, ., S / 2, S / 2)
        coarse = self.trunk(fine)  # (N, ., S / 8, S / 8)
        pooled = self.pooled(coarse).expand(-1, -1, *coarse.shape[2:])
        joined = _resized(self.joined(torch.cat([self.pyramid(coarse), pooled], dim=1)), fine)
        return _resized(self.decoder(torch.cat([joined, self.fine(fine)], dim=1)), image)


def _residual(before: int, after: int, *, stride: int = 1, dilation: int = 1) -> nn.Module:
    unit: nn.Module = ResidualUnit(
        2, before, after, strides=stride, subunits=2, act=ACT, norm=NORM, dilation=dilation, bias=False
    )
    return unit


def _convolution(before: int, after: int, *, kernel: int) -> nn.Module:
    made: nn.Module = Convolution(2, before, after, kernel_size=kernel, act=ACT, norm=NORM, bias=False)
    return made


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)
