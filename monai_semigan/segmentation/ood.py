# SPDX-License-Identifier: Apache-2.0
"""How unlike the images that a network knows an image is: its out-of-distribution score.

What the network makes of an image anyway is compared with what it made of images of its own kind, by parts: the styles
and the offsets of the encoder's embedding, the label, the grey values, how they change from pixel to pixel, and a few
numbers for the whole image, its reconstruction error and the label's uncertainty among them. Each part has a Gaussian
of low rank, whose squared distance grows with what is unusual among such images and with what never occurs in them. The
logarithm of a distance is measured in steps from its median to what is rare at home; the parts' excesses are averaged
as squares. All of it is from the encoder's embedding: inversion changes no score.

Half, `USUAL_LIMIT`, is the distance that was found to part images of the bundle's own kind from others, see `ood_fit`;
a distance three times as large scores 0.75.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.segmenter import SemiGanSegmenter

__all__ = ["PARTS", "USUAL_LIMIT", "OodReference", "PartReference", "image_parts", "part_sizes"]

USUAL_LIMIT: Final = 0.5
"""Of a score, by its definition."""

PARTS = ("styles", "offsets", "label", "texture", "image", "whole")
"""What is compared; a network without offsets lacks theirs."""

OFFSET_CELLS, LABEL_CELLS, TEXTURE_CELLS, IMAGE_CELLS = 4, 8, 4, 16
"""Side of the grid of cells over which a part is averaged: where things are survives, at any image size."""

MAX_AXES = 256
"""Of a part's Gaussian."""

LEAST = 1e-4
"""Added to the squares of the texture before their logarithm: flat regions differ by nothing then."""

FARTHEST = 1e6
"""Steps that stand for a distance that is no number."""


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
        "whole": _whole(image, reconstruction.float(), p, bend),
    }
    if encoded.features:
        pooled = [F.adaptive_avg_pool2d(offsets.float(), OFFSET_CELLS).flatten(1) for offsets in encoded.features]
        parts["offsets"] = torch.cat(pooled, dim=1)
    return {name: parts[name].flatten(1) for name in PARTS if name in parts}


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


@dataclass(frozen=True)
class PartReference:
    """A Gaussian of low rank over the D numbers of a part, and how far from it is usual.

    Attributes:
        center: Mean, ``(D,)``.
        scale: Standard deviation of each number, ``(D,)``, above 0.
        axes: Orthonormal directions of most variance of the scaled numbers, ``(R, D)``.
        spread: Variance along each axis, ``(R,)``, above 0.
        rest: Variance in every other direction, ``()``, above 0.
        usual: Median of the logarithm of the distance at home, ``()``.
        step: From there to what is rare at home, ``()``, above 0.
        site: Mean of further images that a bundle was adapted to, ``(D,)``; equal to ``center`` without.
    """

    center: Tensor
    scale: Tensor
    axes: Tensor
    spread: Tensor
    rest: Tensor
    usual: Tensor
    step: Tensor
    site: Tensor

    def log_distance(self, numbers: Tensor) -> Tensor:
        """Return the logarithm of the mean squared distance of ``(N, D)`` to the nearer centre, ``(N,)``."""
        found = [self._squared(numbers, center) for center in (self.center, self.site)]
        return torch.minimum(*found).clamp(min=1e-12).log()

    def steps(self, numbers: Tensor) -> Tensor:
        """Return how far above the median ``(N, D)`` are, in steps, ``(N,)`` float64; 0 below it."""
        steps = (self.log_distance(numbers) - self.usual) / self.step
        return steps.nan_to_num(nan=FARTHEST, posinf=FARTHEST).clamp(0, FARTHEST).double()

    def _squared(self, numbers: Tensor, center: Tensor) -> Tensor:
        scaled = (numbers - center) / self.scale
        along = scaled @ self.axes.T
        across = (scaled.square().sum(dim=1) - along.square().sum(dim=1)).clamp(min=0)
        return ((along.square() / self.spread).sum(dim=1) + across / self.rest) / len(center)

    def check(self, size: int) -> None:
        """Refuse tensors that do not belong together, or are no numbers.

        Raises:
            ConfigError: They are so.
        """
        rank = len(self.spread) if self.spread.ndim == 1 else 0
        shapes = {"center": (size,), "scale": (size,), "site": (size,), "axes": (rank, size), "spread": (rank,)}
        for part in fields(self):
            value: Tensor = getattr(self, part.name)
            if value.shape != shapes.get(part.name, ()) or not bool(value.isfinite().all()):
                raise ConfigError(
                    f"`{part.name}` must be finite and of shape {shapes.get(part.name, ())}, got {tuple(value.shape)}."
                )
            if part.name in ("scale", "spread", "rest", "step") and not bool((value > 0).all()):
                raise ConfigError(f"`{part.name}` must be above 0.")
        if not 1 <= rank <= MAX_AXES:
            raise ConfigError(f"`spread` must have 1 to {MAX_AXES} values, got {tuple(self.spread.shape)}.")


@dataclass(frozen=True)
class OodReference:
    """What the images are like that a network knows.

    Attributes:
        parts: By name.
        limit: Distance, in steps, at which a score is `USUAL_LIMIT`, above 0.
    """

    parts: Mapping[str, PartReference]
    limit: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts, in order."""
        return tuple(self.parts)

    @torch.no_grad()
    def __call__(self, image: Tensor, encoded: Embedding, reconstruction: Tensor, label_logits: Tensor) -> Tensor:
        """Return the steps by part of images, ``(N, P)`` float64; for arguments see `image_parts`."""
        numbers = image_parts(image, encoded, reconstruction, label_logits)
        return torch.stack([part.steps(numbers[name]) for name, part in self.parts.items()], dim=1)

    def score(self, steps: Tensor) -> Tensor:
        """Return the scores in [0, 1] of steps by part, ``(..., P)`` to ``(...)``."""
        return self._squashed(steps.square().mean(dim=-1).sqrt())

    def part_scores(self, steps: Tensor) -> Tensor:
        """Return the score of each part as if all were as far, of the same shape."""
        return self._squashed(steps)

    def to(self, device: torch.device) -> OodReference:
        """Move to a device, as float32."""
        return OodReference(
            {
                name: PartReference(*(getattr(part, field.name).to(device).float() for field in fields(part)))
                for name, part in self.parts.items()
            },
            self.limit,
        )

    def _squashed(self, distance: Tensor) -> Tensor:
        return distance / (distance + self.limit)
