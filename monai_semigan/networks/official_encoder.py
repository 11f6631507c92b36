# SPDX-License-Identifier: Apache-2.0
"""The encoder of the official SemanticGAN code, so that what was trained with it can be used: 211 M parameters.

A ResNet-50 (He et al. 2016, with the stride in the 3x3 convolution), a feature pyramid (Lin et al. 2017), and one head
of convolutions per style (Richardson et al. 2021, pixel2style2pixel, figure 2). It is for imported weights: its batch
normalization has fixed statistics, as it had in most of their training, and it has no mean of w. `Encoder` is smaller,
faster and trainable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.networks.downsampling import check_downsampling, reduced
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.layers import EqualizedLinear

__all__ = ["STAGE_DEPTHS", "OfficialEncoder"]

STAGE_DEPTHS = (3, 4, 6, 3)
"""Bottlenecks per stage of ResNet-50."""

EXPANSION = 4
"""A bottleneck's output channels, relative to its inner ones."""

HEAD_CONVS = (4, 5, 6)
"""Convolutions of a head on the pyramid's level of stride 16, 8 and 4: at 256 px they end at one pixel."""

COARSE_LAYERS = 3
"""Styles 0 to 2 come from the level of stride 16."""

MEDIUM_LAYERS = 4
"""Styles 3 to 6 come from the level of stride 8; all further ones from the level of stride 4."""

LARGEST_IMAGE = 256
"""Above, the heads would not end at one pixel."""


class FixedNorm(nn.Module):
    """Batch normalization with the statistics of a training that is over.

    Shapes:
        ``(N, C, H, W)`` -> ``(N, C, H, W)``.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class NormedConv(nn.Module):
    """Convolution without bias, then normalization.

    Shapes:
        ``(N, I, H, W)`` -> ``(N, O, H / stride, W / stride)``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
        )
        self.norm = FixedNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class Bottleneck(nn.Module):
    """Three convolutions of 1, 3 and 1 pixels beside a shortcut (He et al. 2016, figure 5 right)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, has_shortcut: bool) -> None:
        super().__init__()
        self.layer1 = NormedConv(in_channels, channels, 1)
        self.layer2 = NormedConv(channels, channels, 3, stride=stride)
        self.layer3 = NormedConv(channels, EXPANSION * channels, 1)
        self.shortcut = NormedConv(in_channels, EXPANSION * channels, 1, stride=stride) if has_shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer3(F.relu(self.layer2(F.relu(self.layer1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class StyleHead(nn.Module):
    """Halve a map until one pixel is left, then map it to a style.

    Shapes:
        ``(N, C, H, W)`` with sides up to ``2 ** num_convs`` -> ``(N, w_dim)``.
    """

    def __init__(self, channels: int, w_dim: int, *, num_convs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(num_convs))
        self.linear = EqualizedLinear(channels, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.01)
        style: Tensor = self.linear(x.flatten(1))
        return style


class OfficialEncoder(nn.Module):
    """Predict the styles of an image, as absolute points of W+; its embeddings have no offsets.

    Args:
        image_size: Side of the image; reduced, a power of two from 32 to 256.
        image_channels: 1 or 3.
        num_layers: Styles L of the generator.
        w_dim: Size of a style.
        channels: Inner channels of the four stages' bottlenecks.
        head_channels: Width of the pyramid and of the heads.
        downsampling: Factor by which the image is reduced first, see `networks.downsampling`.

    Shapes:
        ``(N, image_channels, S, S)`` in [-1, 1] -> w_plus ``(N, L, w_dim)``.

    Raises:
        ConfigError: The reduced image is above 256 px, or there are not four stages.
    """

    def __init__(
        self,
        *,
        image_size: int,
        image_channels: int = 3,
        num_layers: int,
        w_dim: int = 512,
        channels: Sequence[int] = (64, 128, 256, 512),
        head_channels: int = 512,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        check_downsampling(downsampling)
        if image_size // downsampling > LARGEST_IMAGE:
            most = LARGEST_IMAGE * downsampling
            raise ConfigError(f"`image_size` must be at most {most} for this encoder, got {image_size}.")
        if len(channels) != len(STAGE_DEPTHS):
            raise ConfigError(f"`channels` must have {len(STAGE_DEPTHS)} widths, got {list(channels)}.")
        self.image_size, self.image_channels, self.downsampling = image_size, image_channels, downsampling
        self.num_layers, self.w_dim = num_layers, w_dim
        self.stem = NormedConv(image_channels, channels[0], 7, stride=2)
        self.stages: Sequence[nn.Sequential] = nn.ModuleList()  # type: ignore[assignment]
        width = channels[0]
        for index, (inner, depth) in enumerate(zip(channels, STAGE_DEPTHS, strict=True)):
            blocks = nn.Sequential()
            for at in range(depth):
                stride = 2 if index and not at else 1
                blocks.append(Bottleneck(width, inner, stride=stride, has_shortcut=at == 0))
                width = EXPANSION * inner
            self.stages.append(blocks)  # type: ignore[attr-defined]
        widths = [EXPANSION * inner for inner in channels]
        self.top = nn.Conv2d(widths[3], head_channels, 1)
        self.laterals = nn.ModuleList(nn.Conv2d(widths[at], head_channels, 1) for at in (2, 1, 0))  # coarse to fine
        self.smooths = nn.ModuleList(nn.Conv2d(head_channels, head_channels, 3, padding=1) for _ in range(3))
        self.head_convs = [HEAD_CONVS[_level(style)] for style in range(num_layers)]
        self.heads = nn.ModuleList(StyleHead(head_channels, w_dim, num_convs=count) for count in self.head_convs)

    def forward(self, image: Tensor) -> Embedding:
        check_shape("image", image.shape, f"N {self.image_channels} {self.image_size} {self.image_size}")
        x = F.max_pool2d(F.relu(self.stem(reduced(image, self.downsampling))), 3, stride=2, padding=1)
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        top: Tensor = self.top(maps[3])
        levels: list[Tensor] = []  # strides 16, 8, 4
        for at in range(3):
            lateral = self.laterals[at](maps[2 - at])
            top = lateral + F.interpolate(top, size=lateral.shape[2:], mode="bilinear", align_corners=False)
            levels.append(self.smooths[at](top))
        return Embedding(torch.stack([head(levels[_level(style)]) for style, head in enumerate(self.heads)], dim=1))


def _level(style: int) -> int:
    """Return which level of the pyramid, coarse to fine, a style comes from."""
    return (style >= COARSE_LAYERS) + (style >= COARSE_LAYERS + MEDIUM_LAYERS)
