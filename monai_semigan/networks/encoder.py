# SPDX-License-Identifier: Apache-2.0
"""The encoder: an image to its embedding.

A feature pyramid (Lin et al. 2017) whose coarse levels predict the coarse styles and whose fine levels the fine ones,
as offsets from the mean of w (Richardson et al. 2021, pixel2style2pixel, section 3). A second pyramid predicts the
embedding's spatial part, if the generator is to get one, and a narrow way on from it to full resolution the offsets of
the label; both start at zero. Group normalization instead of
batch normalization: a prediction never depends on its batch mates, and training and inference compute the same.

Beside them a direct route may draw the label of the image without the generator. The two routes err differently, so the
mean of their logits is often better than either; by which weight, if any, a bundle's validation images say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_semigan.errors import ConfigError, ShapeError, check_shape
from monai_semigan.networks.downsampling import check_downsampling, enlarged, reduced
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.label_unet import LabelUNet

__all__ = ["Encoder"]

COARSE_LAYERS = 3
"""Styles 0 to 2 come from the coarsest level (SemanticGAN's assignment)."""

MEDIUM_LAYERS = 4
"""Styles 3 to 6 come from the middle level."""

LABEL_WIDTH = 16
"""Channels at the resolutions that the label alone reads: full resolution is dear."""

HEAD_GRID = 4
"""Heads read their level pooled to 4 x 4 cells: where things are survives, at any image size."""


class EncoderBlock(nn.Module):
    """Residual block with group normalization; halves the resolution.

    Shapes:
        ``(N, I, H, W)`` -> ``(N, O, H / 2, W / 2)``.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _group_norm(in_channels), _group_norm(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + self.skip(F.avg_pool2d(x, 2))


class FeaturePyramid(nn.Module):
    """Go down the trunk's levels, from the coarsest to the finest that is asked for, and predict offsets on the way.

    Its modules are named by the level's halvings of the image: weights mean the same whichever levels are asked for.

    Args:
        widths: Of the trunk's levels, full resolution first.
        head_channels: Its own width.
        outputs: Channels of the offsets by level, 0 for full resolution.

    Shapes:
        levels ``(N, widths[i], H / 2 ** i, W / 2 ** i)`` -> ``(N, outputs[i], H / 2 ** i, W / 2 ** i)`` for each i of
        ``outputs``, coarse to fine; and its own finest level, ``(N, head_channels, ...)``.
    """

    def __init__(self, widths: Sequence[int], head_channels: int, outputs: Mapping[int, int]) -> None:
        super().__init__()
        self.levels = range(len(widths) - 1, min(outputs) - 1, -1)  # coarse to fine
        self.laterals = nn.ModuleDict({str(at): nn.Conv2d(widths[at], head_channels, 1) for at in self.levels})
        self.smooths = nn.ModuleDict({str(at): _smooth(head_channels) for at in self.levels})
        self.outputs = nn.ModuleDict(
            {str(at): nn.Conv2d(head_channels, outputs[at], 3, padding=1) for at in self.levels if at in outputs}
        )
        for output in self.outputs.values():
            _start_at_zero(output)

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        offsets: list[Tensor] = []
        top: Tensor | None = None
        for at in self.levels:
            level = self.laterals[str(at)](levels[at])
            if top is not None:
                level = level + _as_large_as(top, level)
            top = self.smooths[str(at)](level)
            if str(at) in self.outputs:
                offsets.append(self.outputs[str(at)](top))
        assert top is not None
        return offsets, top


class LabelOffsets(nn.Module):
    """Go on from the feature pyramid to full resolution and predict the offsets of the label logits.

    Args:
        widths: Of the trunk's levels that are finer than the pyramid's finest, full resolution first; may be empty.
        in_channels: Of the pyramid.
        num_classes: K.

    Shapes:
        top ``(N, in_channels, H / 2 ** i, W / 2 ** i)`` with i = ``len(widths)``,
        levels ``(N, widths[i], H / 2 ** i, W / 2 ** i)`` -> ``(N, K, H, W)``.
    """

    def __init__(self, widths: Sequence[int], in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, LABEL_WIDTH, 1)
        self.laterals = nn.ModuleList(nn.Conv2d(width, LABEL_WIDTH, 1) for width in reversed(widths))  # coarse to fine
        self.smooths = nn.ModuleList(_smooth(LABEL_WIDTH) for _ in self.laterals)
        self.output = nn.Conv2d(LABEL_WIDTH, num_classes, 3, padding=1)
        _start_at_zero(self.output)

    def forward(self, top: Tensor, levels: Sequence[Tensor]) -> Tensor:
        x = self.narrow(top)
        finer = reversed(levels[: len(self.laterals)])
        for lateral, smooth, level in zip(self.laterals, self.smooths, finer, strict=True):
            x = smooth(lateral(level) + _as_large_as(x, level))
        offsets: Tensor = self.output(x)
        return offsets


class Encoder(nn.Module):
    """Predict the embedding of an image.

    Args:
        image_channels: 1 or 3.
        num_layers: Styles L of the generator.
        w_dim: Size of a style.
        channels: Widths of the trunk: the first at the reduced image's resolution, each further one at half the size of
            the one before; at least four.
        head_channels: Width of the pyramid levels that the heads read.
        feature_channels: Channels of the generator's features that get offsets, by how often the reduced image's side
            is halved to theirs; at most the trunk's halvings. Empty for styles alone.
        label_classes: Classes K of the label if its logits get offsets too, else 0; needs ``feature_channels``.
        downsampling: Factor d by which the image is reduced for the trunk, see `networks.downsampling`.

    Attributes:
        direct: The direct route, None at first: whoever builds the network gives it one.
        direct_share: Weight of the direct route in the label, in [0, 1]; with 0, as here at first, it is not computed.

    Shapes:
        ``(N, image_channels, H, W)`` in [-1, 1], H and W divisible by ``d * 2 ** (len(channels) - 1)``
        -> w_plus ``(N, L, w_dim)``, features ``(N, C, H / d / 2 ** i, W / d / 2 ** i)`` for each i of
        ``feature_channels``, coarse to fine, label ``(N, K, H, W)`` if there are offsets of it or a direct route.

    State:
        latent_avg: ``(w_dim,)``, the generator's mean of w, which the heads' output is added to.
    """

    latent_avg: Tensor

    def __init__(
        self,
        *,
        image_channels: int = 1,
        num_layers: int,
        w_dim: int,
        channels: Sequence[int] = (32, 64, 128, 192, 192),
        head_channels: int = 64,
        feature_channels: Mapping[int, int] | None = None,
        label_classes: int = 0,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        check_downsampling(downsampling)
        if len(channels) < 4:
            raise ConfigError(f"`channels` must have at least four widths, got {list(channels)}.")
        self.image_channels, self.num_layers, self.w_dim = image_channels, num_layers, w_dim
        self.downsampling, self.stride = downsampling, downsampling * 2 ** (len(channels) - 1)
        self.stem = nn.Conv2d(image_channels, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(EncoderBlock(i, o) for i, o in pairwise(channels))
        self.laterals = nn.ModuleList(nn.Conv2d(width, head_channels, 1) for width in channels[-3:])  # fine to coarse
        self.smooths = nn.ModuleList(nn.Conv2d(head_channels, head_channels, 3, padding=1) for _ in range(3))
        coarse = min(COARSE_LAYERS, num_layers)
        medium = min(MEDIUM_LAYERS, num_layers - coarse)
        sizes = (num_layers - coarse - medium, medium, coarse)  # fine to coarse, as the pyramid levels
        heads = [nn.Linear(head_channels * HEAD_GRID**2, size * w_dim) for size in sizes]
        self.heads = nn.ModuleList(heads)
        for head in heads:
            # Start at the mean of w: the first reconstructions are plausible images.
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)
        self.register_buffer("latent_avg", torch.zeros(w_dim))
        if feature_channels and not 0 <= min(feature_channels) <= max(feature_channels) < len(channels):
            raise ConfigError(
                f"`feature_channels` must be of halvings from 0 to {len(channels) - 1}, got {sorted(feature_channels)}."
            )
        if label_classes and not feature_channels:
            raise ConfigError("`label_classes` must be 0 without `feature_channels`: its offsets go on from theirs.")
        self.pyramid = FeaturePyramid(channels, head_channels, feature_channels) if feature_channels else None
        self.label_offsets: LabelOffsets | None = None
        if feature_channels and label_classes:
            self.label_offsets = LabelOffsets(channels[: min(feature_channels)], head_channels, label_classes)
        self.direct: LabelUNet | None = None
        self.direct_share = 0.0
        # Its convolutions take their weights so; loading, copying and optimizing keep the layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Embedding:
        embedding = self.drawn(image)
        if self.direct is not None and self.direct_share:
            embedding = embedding.mixed_with(self.direct(image), self.direct_share)
        return embedding

    def drawn(self, image: Tensor) -> Embedding:
        """Return the embedding whose label is the generator's alone."""
        n, height, width = check_shape("image", image.shape, f"N {self.image_channels} H W").values()
        if height % self.stride or width % self.stride:
            raise ShapeError(f"`image` must have sides divisible by {self.stride}, got {height} x {width}.")
        # A copy has the strides of its layout also where there is one channel, so that the convolution keeps it.
        x = self.stem(reduced(image, self.downsampling).clone(memory_format=torch.channels_last))
        levels: list[Tensor] = [x]
        for block in self.blocks:
            x = block(x)
            levels.append(x)
        offsets: list[Tensor] = []
        top: Tensor | None = None
        for at in (2, 1, 0):  # coarse to fine
            level = self.laterals[at](levels[at - 3])
            if top is not None:
                level = level + _as_large_as(top, level)
            top = level
            pooled = F.adaptive_avg_pool2d(F.silu(self.smooths[at](F.silu(level))), HEAD_GRID)
            offsets.append(self.heads[at](pooled.flatten(1)).reshape(n, -1, self.w_dim))
        w_plus: Tensor = self.latent_avg + torch.cat(offsets, dim=1)  # (N, L, w_dim)
        if self.pyramid is None:
            return Embedding(w_plus)
        features, finest = self.pyramid(levels)
        if self.label_offsets is None:
            return Embedding(w_plus, tuple(features))
        return Embedding(w_plus, tuple(features), enlarged(self.label_offsets(finest, levels), self.downsampling))


def _smooth(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), _group_norm(channels), nn.SiLU())


def _as_large_as(coarse: Tensor, fine: Tensor) -> Tensor:
    return F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)


def _start_at_zero(output: nn.Module) -> None:
    """Make the first embeddings those without offsets."""
    for parameter in output.parameters():
        nn.init.zeros_(parameter)


def _group_norm(channels: int) -> nn.GroupNorm:
    groups = next(count for count in (8, 4, 2, 1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)
