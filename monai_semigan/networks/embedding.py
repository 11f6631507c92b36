# SPDX-License-Identifier: Apache-2.0
"""What an image is to the generator: its styles, and offsets that say where things are.

Styles alone round every border, as they are a few numbers for the whole image. Offsets, added to the generator's
features at a few resolutions, are a spatial part of the embedding (Kang et al. 2021, "GAN Inversion for Out-of-Range
Images"); offsets of the label logits draw the last pixels of a border, which the image alone cannot ask for. Without
them an embedding is a point of W+, as in SemanticGAN.

An embedding also carries what a direct route says of the label, already weighted: the generator's own logits then
count for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError

__all__ = ["Embedding", "Parts", "check_feature_sizes"]

Parts = Literal["styles", "features", "both"]
"""Of an embedding: ``w_plus``, the features' offsets, or both; the image depends on nothing else."""


@dataclass(frozen=True)
class Embedding:
    """An image as the generator takes it, N images.

    Attributes:
        w_plus: Styles, ``(N, L, w_dim)``.
        features: Offsets that are added to the generator's features, ``(N, C_r, r, r)`` each, of any resolutions r;
            empty for none.
        label: Offsets that are added to its label logits, ``(N, K, S, S)``; None for none. They change no image, so
            inversion leaves them as they are.
        label_share: Factor of the generator's own label logits before that, in [0, 1].
    """

    w_plus: Tensor
    features: tuple[Tensor, ...] = ()
    label: Tensor | None = None
    label_share: float = 1.0

    def __len__(self) -> int:
        return len(self.w_plus)

    def __getitem__(self, rows: Any) -> Embedding:
        """Take images by what indexes a tensor's first axis and keeps it: a slice, a list, a tensor."""
        return self._each(lambda value: value[rows])

    def to(self, *target: Any) -> Embedding:
        """Move or cast, as `torch.Tensor.to` does."""
        return self._each(lambda value: value.to(*target))

    def cpu(self) -> Embedding:
        """Move to the CPU."""
        return self._each(Tensor.cpu)

    def detach(self) -> Embedding:
        """Leave the graph."""
        return self._each(Tensor.detach)

    def with_styles(self, w_plus: Tensor) -> Embedding:
        """Replace the styles; the offsets stay."""
        return replace(self, w_plus=w_plus)

    def mixed_with(self, direct: Tensor, share: float) -> Embedding:
        """Mix the label with a direct route's logits ``(N, K, S, S)``, which count for ``share``."""
        label = share * direct
        if self.label is not None:
            label = label + (1 - share) * self.label
        return replace(self, label=label, label_share=(1 - share) * self.label_share)

    def packed(self, parts: Parts = "both") -> Tensor:
        """Return the styles' and features' numbers, or one's, as one tensor, ``(N, 1, M)``: what an optimizer moves."""
        flat = [value.flatten(1) for value in self._chosen(parts)]
        return (flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)).unsqueeze(1)

    def unpacked(self, packed: Tensor, parts: Parts = "both") -> Embedding:
        """Return an embedding of this one's shapes with numbers that `packed` made; the other parts are this one's."""
        chosen = self._chosen(parts)
        flat = torch.split(packed.squeeze(1), [value[0].numel() for value in chosen], dim=1)
        values = [part.reshape(-1, *value.shape[1:]) for part, value in zip(flat, chosen, strict=True)]
        w_plus = self.w_plus if parts == "features" else values.pop(0)
        return replace(self, w_plus=w_plus, features=self.features if parts == "styles" else tuple(values))

    def feature_distance(self, other: Embedding | None = None) -> Tensor:
        """Return the mean square of the offsets, or of their distance to another's, ``(N,)``; 0 without offsets."""
        if not self.features:
            return self.w_plus.new_zeros(len(self))
        apart = self.packed("features")
        if other is not None:
            apart = apart - other.packed("features")
        return apart.square().flatten(1).mean(dim=1)

    def _chosen(self, parts: Parts) -> tuple[Tensor, ...]:
        return {"styles": (self.w_plus,), "features": self.features, "both": (self.w_plus, *self.features)}[parts]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Embedding:
        label = None if self.label is None else change(self.label)
        return replace(self, w_plus=change(self.w_plus), features=tuple(map(change, self.features)), label=label)


def check_feature_sizes(sizes: Sequence[int], *, image_size: int, num_levels: int) -> None:
    """Check the resolutions of offsets, pixels.

    Args:
        sizes: The resolutions.
        image_size: Side of the image, pixels.
        num_levels: Widths of the encoder's trunk: the first at the image's size, each further one at half of it; 0 for
            the official encoder.

    Raises:
        ConfigError: They do not rise, or one is no resolution above 4 that the encoder's trunk has.
    """
    if not sizes:
        return
    if not num_levels:
        raise ConfigError(
            f"`feature_sizes` must be empty for the official encoder, which predicts styles alone, got {list(sizes)}."
        )
    levels = [image_size >> level for level in reversed(range(num_levels)) if image_size >> level > 4]
    if list(sizes) != [size for size in levels if size in sizes]:
        raise ConfigError(
            f"`feature_sizes` must be some of {', '.join(map(str, levels))} in this order, got {list(sizes)}. They are "
            "the resolutions above 4 px of the encoder's trunk, whose number of widths can be changed."
        )
