# SPDX-License-Identifier: Apache-2.0
"""The direct route: an image to its label, without the generator.

A small U-Net (Ronneberger et al. 2015), narrow at full resolution, where a channel is dear, and wide where it is cheap.
Instance normalization, as in MONAI's `BasicUNet`: what a scanner does to contrast is gone at the first layer, and a
prediction never depends on its batch mates. Of finer images it takes d x d pixels as channels of one, and gives as many
logits back (Shi et al. 2016, sub-pixel convolution): full resolution, where a CPU is slow, is left out.

It is what labels unlabelled images in training (`training.teacher`), and where a bundle says so its logits are mixed
with the generator's (`Encoder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.errors import ConfigError, ShapeError, check_shape
from monai_semigan.networks.downsampling import check_downsampling

__all__ = ["DIRECT_WIDTHS", "LabelUNet", "check_direct", "check_direct_widths"]

DIRECT_WIDTHS = (8, 24, 48, 96, 192)
"""Channels that are enough for images of 64 px."""

MAX_WIDTHS = 9
"""Each but the first halves the resolution."""

SMALLEST_SIZE = 2
"""Pixels of the coarsest resolution: one pixel has no variance to normalize by."""

SLOPE = 0.1
"""Of the leaky ReLU."""


class LabelUNet(nn.Module):
    """Draw the label of an image.

    Args:
        image_channels: 1 or 3.
        num_classes: K, background included.
        widths: Channels at the resolution that it works at and at each halving; at least two.
        downsampling: Factor d from the image's resolution to the one that it works at.

    Shapes:
        ``(N, image_channels, H, W)`` in [-1, 1], H and W divisible by ``d * 2 ** (len(widths) - 1)``
        -> logits ``(N, K, H, W)``.

    Raises:
        ConfigError: The widths are too few or too many, or the factor is none of `networks.downsampling`.
        ShapeError: An image is not of such a shape.
    """

    def __init__(
        self,
        *,
        image_channels: int,
        num_classes: int,
        widths: Sequence[int] = DIRECT_WIDTHS,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        check_direct_widths(widths)
        check_downsampling(downsampling)
        self.image_channels, self.downsampling = image_channels, downsampling
        self.stride = downsampling * 2 ** (len(widths) - 1)
        self.downs = nn.ModuleList(_Convs(i, o) for i, o in pairwise((image_channels * downsampling**2, *widths)))
        self.ups = nn.ModuleList(_Convs(coarse + fine, fine) for fine, coarse in reversed(list(pairwise(widths))))
        self.output = nn.Conv2d(widths[0], num_classes * downsampling**2, 1)
        # Its convolutions take their weights so; loading, copying and optimizing keep the layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        _, height, width = check_shape("image", image.shape, f"N {self.image_channels} H W").values()
        if height % self.stride or width % self.stride:
            raise ShapeError(f"`image` must have sides divisible by {self.stride}, got {height} x {width}.")
        x = F.pixel_unshuffle(image, self.downsampling).clone(memory_format=torch.channels_last)
        x = self.downs[0](x)
        finer: list[Tensor] = []
        for down in self.downs[1:]:
            finer.append(x)
            x = down(F.max_pool2d(x, 2))
        for up in self.ups:
            skip = finer.pop()
            enlarged = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([enlarged, skip], dim=1))
        return F.pixel_shuffle(self.output(x), self.downsampling)


class _Convs(nn.Module):
    """Two convolutions, ``(N, I, H, W)`` -> ``(N, O, H, W)``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # The normalization takes any bias away. Groups of one channel are instances, and faster on a CPU.
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm1, self.norm2 = (nn.GroupNorm(out_channels, out_channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE, inplace=True)
        return F.leaky_relu(self.norm2(self.conv2(x)), SLOPE, inplace=True)


def check_direct_widths(widths: Sequence[int]) -> None:
    """Check the widths of a direct route.

    Raises:
        ConfigError: There are fewer than two, or more than `MAX_WIDTHS`.
    """
    if not 2 <= len(widths) <= MAX_WIDTHS:
        raise ConfigError(f"The direct route must have 2 to {MAX_WIDTHS} widths, got {list(widths)}.")


def check_direct(widths: Sequence[int], share: float, *, image_size: int, num_levels: int) -> None:
    """Check a network's direct route, ``direct_widths`` and ``direct_share``.

    Args:
        widths: Its channels; empty for none.
        share: Its weight in the label.
        image_size: Side of the image, reduced, pixels.
        num_levels: See `networks.embedding.check_feature_sizes`.

    Raises:
        ConfigError: There are too few or too many widths, the image is too small for them, the encoder is the official
            one, or the weight is out of range.
    """
    if not widths:
        if share:
            raise ConfigError(f"`direct_share` must be 0 without `direct_widths`, got {share}.")
        return
    check_direct_widths(widths)
    if not num_levels:
        raise ConfigError(f"`direct_widths` must be empty for the official encoder, got {list(widths)}.")
    if image_size >> (len(widths) - 1) < SMALLEST_SIZE:
        raise ConfigError(
            f"`direct_widths` must be at most {(image_size // SMALLEST_SIZE).bit_length()} for images of "
            f"{image_size} px, got {list(widths)}: each but the first halves the image."
        )
    if not 0 <= share <= 1:
        raise ConfigError(f"`direct_share` must be in [0, 1], got {share}.")
