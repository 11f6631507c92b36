# SPDX-License-Identifier: Apache-2.0
"""The numbers of an image, by part, by which it is told from images of other kinds.

The styles and the offsets of the encoder's embedding, the label, the grey values, how they change from pixel to pixel,
how their variance is spread over scales and directions, and a few numbers for the whole image, its reconstruction error
and the label's uncertainty among them. All of it is from the encoder's embedding: inversion changes none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.segmenter import SemiGanSegmenter

__all__ = ["PARTS", "image_parts", "part_sizes"]

PARTS = ("styles", "offsets", "label", "texture", "image", "scales", "whole")
"""What is compared; a network without offsets lacks theirs."""

OFFSET_CELLS, LABEL_CELLS, TEXTURE_CELLS, IMAGE_CELLS = 4, 8, 4, 16
"""Side of the grid of cells over which a part is averaged: where things are survives, at any image size."""

SCALE_CELLS = (16, 4)
"""Sides of the grids whose share of an image's variance is told."""

EVENNESS_CELLS = 7
"""Side of the grid over which it is told how evenly edges are spread: noise has as many everywhere."""

LEAST = 1e-4
"""Added to squares before their logarithm: flat regions differ by nothing then."""


def image_parts(image: Tensor, encoded: Embedding, reconstruction: Tensor, label_logits: Tensor) -> dict[str, Tensor]:
    """Return the numbers of images by part, ``(N, D)`` float32 each.

    Args:
        image: As the network sees it, ``(N, C, S, S)`` in [-1, 1].
        encoded: The encoder's embedding.
        reconstruction: The image that the generator makes of that, as ``image``.
        label_logits: The label that it makes of it, ``(N, K, S, S)``.
    """
    image = image.float()
    p = label_logits.float().softmax(dim=1)
    steps = [F.pad(image.diff(dim=axis), pad).square() for axis, pad in ((2, (0, 0, 0, 1)), (3, (0, 1)))]
    bend = (image - F.avg_pool2d(image, 3, stride=1, padding=1, count_include_pad=False)).square()
    texture = torch.cat([F.adaptive_avg_pool2d(part, TEXTURE_CELLS) for part in (steps[0] + steps[1], bend)], dim=1)
    parts = {
        "styles": encoded.w_plus.float(),
        "label": F.adaptive_avg_pool2d(p[:, 1:], LABEL_CELLS),
        "texture": (texture + LEAST).log(),
        "image": F.adaptive_avg_pool2d(image, IMAGE_CELLS),
        "scales": _scales(image, steps, bend),
        "whole": _whole(image, reconstruction.float(), p, bend),
    }
    if encoded.features:
        pooled = [F.adaptive_avg_pool2d(offsets.float(), OFFSET_CELLS).flatten(1) for offsets in encoded.features]
        parts["offsets"] = torch.cat(pooled, dim=1)
    return {name: parts[name].flatten(1) for name in PARTS if name in parts}


def _scales(image: Tensor, steps: list[Tensor], bend: Tensor) -> Tensor:
    """Return logarithms of variance: of all, its share by scale, down against across; and how uneven edges are."""
    everywhere = (1, 2, 3)
    variance = image.var(dim=everywhere)
    by_scale = [F.adaptive_avg_pool2d(image, cells).var(dim=everywhere) for cells in SCALE_CELLS]
    down, across = (part.mean(dim=everywhere) for part in steps)
    total, fine, *coarse, down, across = (
        (value + LEAST).log() for value in (variance, bend.mean(dim=everywhere), *by_scale, down, across)
    )
    edges = F.adaptive_avg_pool2d((steps[0] + steps[1]).mean(dim=1, keepdim=True), EVENNESS_CELLS)
    unevenness = (edges + LEAST).log().std(dim=everywhere)
    return torch.stack([total, fine - total, *(part - total for part in coarse), across - down, unevenness], dim=1)


def _whole(image: Tensor, reconstruction: Tensor, p: Tensor, bend: Tensor) -> Tensor:
    """Return what is a number for the whole image: error, uncertainty, sharpness, classes, grey, contrast, color."""
    error = (reconstruction - image).square().mean(dim=(1, 2, 3))
    uncertainty = -(p * (p + LEAST).log()).sum(dim=1).mean(dim=(1, 2))
    logs = (torch.stack([error, uncertainty, bend.mean(dim=(1, 2, 3))], dim=1).clamp(min=0) + LEAST).log()
    color = image.diff(dim=1).abs().mean(dim=(2, 3))
    amounts = p[:, 1:].mean(dim=(2, 3))
    return torch.cat([logs, amounts, image.mean(dim=(2, 3)), image.std(dim=(2, 3)), color], dim=1)


def part_sizes(network: SemiGanSegmenter) -> dict[str, int]:
    """Return how many numbers each part of a network has."""
    size, device = network.generator.image_size, network.device
    image = torch.zeros(1, network.encoder.image_channels, size, size, device=device)
    logits = torch.zeros(1, network.generator.synthesis.num_classes, size, size, device=device)
    with torch.inference_mode():
        encoded = network.encoder(image)
    return {name: part.shape[1] for name, part in image_parts(image, encoded, image, logits).items()}
