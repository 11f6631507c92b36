# SPDX-License-Identifier: Apache-2.0
"""How unlike the images that a network knows an image is: its out-of-distribution score.

What the network makes of an image anyway is compared with what it made of images of its own kind, by the parts of
`ood_parts`. Each part has a Gaussian of low rank, whose squared distance grows with what is unusual among such images
and with what never occurs in them. The logarithm of a distance is measured in steps from its median to what is rare at
home. Beside the Gaussians, which know the own kind alone, a boundary was learned that parts it from the same images
made foreign. The parts' excesses and that beyond the boundary are added as squares.

Half, `USUAL_LIMIT`, is the distance that was found to part images of the bundle's own kind from others, see `ood_fit`;
a distance three times as large scores 0.75.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.networks.embedding import Embedding
from monai_semigan.segmentation.ood_parts import image_parts

__all__ = ["BOUNDARY", "USUAL_LIMIT", "Boundary", "OodReference", "PartReference"]

USUAL_LIMIT: Final = 0.5
"""Of a score, by its definition."""

BOUNDARY: Final = "boundary"
"""What the excess beyond the boundary is called beside the parts."""

MAX_AXES = 256
"""Of a part's Gaussian."""

FARTHEST = 1e6
"""Steps that stand for a distance that is no number."""

FARTHEST_PLACE = 6.0
"""Standard deviations along an axis, beyond which a boundary sees no difference."""

FARTHEST_STEPS = 20.0
"""Of a part, likewise."""

Tensors = TypeVar("Tensors", "PartReference", "Boundary")


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

    @property
    def num_features(self) -> int:
        """What `features` gives, 2 R + 1."""
        return 2 * len(self.spread) + 1

    def log_distance(self, numbers: Tensor) -> Tensor:
        """Return the logarithm of the mean squared distance of ``(N, D)`` to the nearer centre, ``(N,)``."""
        found = [self._squared(numbers, center) for center in (self.center, self.site)]
        return torch.minimum(*found).clamp(min=1e-12).log()

    def steps(self, numbers: Tensor) -> Tensor:
        """Return how far above the median ``(N, D)`` are, in steps, ``(N,)`` float64; 0 below it."""
        steps = (self.log_distance(numbers) - self.usual) / self.step
        return steps.nan_to_num(nan=FARTHEST, posinf=FARTHEST).clamp(0, FARTHEST).double()

    def features(self, numbers: Tensor) -> Tensor:
        """Return what a `Boundary` sees of ``(N, D)``: ``(N, 2 R + 1)``.

        The place along each axis from the nearer centre, in standard deviations; how far that is; and the steps, also
        below the median.
        """
        is_nearer = self._squared(numbers, self.site) < self._squared(numbers, self.center)
        scaled = (numbers - torch.where(is_nearer[:, None], self.site, self.center)) / self.scale
        places = (scaled @ self.axes.T / self.spread.sqrt()).nan_to_num(nan=FARTHEST_PLACE)
        places = places.clamp(-FARTHEST_PLACE, FARTHEST_PLACE)
        steps = ((self.log_distance(numbers) - self.usual) / self.step).nan_to_num(nan=FARTHEST_STEPS)
        return torch.cat([places, places.abs(), steps.clamp(-FARTHEST_STEPS, FARTHEST_STEPS)[:, None]], dim=1)

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
class Boundary:
    """A linear boundary between images of the own kind and images made foreign, over all parts' features.

    Attributes:
        weights: Of the features, ``(F,)``.
        bias: ``()``; the sum is 0 at the median at home, and at what is rare there as far as the Gaussians' distance.
    """

    weights: Tensor
    bias: Tensor

    def steps(self, features: Tensor) -> Tensor:
        """Return how far ``(N, F)`` are beyond the median, ``(N,)`` float64; 0 before it."""
        return (features @ self.weights + self.bias).clamp(0, FARTHEST).double()

    def check(self, size: int) -> None:
        """Refuse weights that are not of so many features, or no numbers.

        Raises:
            ConfigError: They are so.
        """
        for name, value, shape in (("weights", self.weights, (size,)), ("bias", self.bias, ())):
            if value.shape != shape or not bool(value.isfinite().all()):
                raise ConfigError(f"`{name}` must be finite and of shape {shape}, got {tuple(value.shape)}.")


@dataclass(frozen=True)
class OodReference:
    """What the images are like that a network knows.

    Attributes:
        parts: By name.
        boundary: To images made foreign.
        limit: Distance, in steps, at which a score is `USUAL_LIMIT`, above 0.
    """

    parts: Mapping[str, PartReference]
    boundary: Boundary
    limit: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of what steps are told of, in order: P - 1 parts and the boundary."""
        return (*self.parts, BOUNDARY)

    @torch.no_grad()
    def __call__(self, image: Tensor, encoded: Embedding, reconstruction: Tensor, label_logits: Tensor) -> Tensor:
        """Return the steps by part of images, ``(N, P)`` float64; for arguments see `image_parts`."""
        return self.steps(image_parts(image, encoded, reconstruction, label_logits))

    def steps(self, numbers: Mapping[str, Tensor]) -> Tensor:
        """Return the steps of what `image_parts` gave, ``(N, P)`` float64."""
        by_part = [part.steps(numbers[name]) for name, part in self.parts.items()]
        return torch.stack([*by_part, self.boundary.steps(self.features(numbers))], dim=1)

    def features(self, numbers: Mapping[str, Tensor]) -> Tensor:
        """Return what the boundary sees of what `image_parts` gave, ``(N, F)``."""
        return torch.cat([part.features(numbers[name]) for name, part in self.parts.items()], dim=1)

    @staticmethod
    def distance(steps: Tensor) -> Tensor:
        """Return the distances of steps, ``(..., P)`` to ``(...)``."""
        return (steps[..., :-1].square().mean(dim=-1) + steps[..., -1].square()).sqrt()

    def score(self, steps: Tensor) -> Tensor:
        """Return the scores in [0, 1] of steps, ``(..., P)`` to ``(...)``."""
        return self._squashed(self.distance(steps))

    def part_scores(self, steps: Tensor) -> Tensor:
        """Return the score of each part as if all were as far, of the same shape."""
        return self._squashed(steps)

    def to(self, device: torch.device) -> OodReference:
        """Move to a device, as float32."""
        return OodReference(
            {name: _moved(part, device) for name, part in self.parts.items()}, _moved(self.boundary, device), self.limit
        )

    def _squashed(self, distance: Tensor) -> Tensor:
        return distance / (distance + self.limit)


def _moved(tensors: Tensors, device: torch.device) -> Tensors:
    return type(tensors)(*(getattr(tensors, field.name).to(device).float() for field in fields(tensors)))
