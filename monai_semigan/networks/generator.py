# SPDX-License-Identifier: Apache-2.0
"""The generator: mapping and synthesis, from a latent code to an image and its label map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_semigan.errors import ConfigError
from monai_semigan.networks.mapping import MappingNetwork
from monai_semigan.networks.synthesis import Noise, SynthesisNetwork

__all__ = ["Generator"]


class Generator(nn.Module):
    """Joint generator of images and label maps (SemanticGAN, Li et al. 2021, on StyleGAN2, Karras et al. 2020).

    Args:
        image_size: Side of image and label map in pixels, a power of two from 32 to 1024.
        num_classes: Label classes K >= 2, background included.
        image_channels: 1 (grey) or 3 (RGB).
        z_dim: Size of the latent code.
        w_dim: Size of a style.
        num_mapping_layers: Layers of the mapping network.
        channels: Feature channels at 4, 8, ... ``image_size / downsampling`` pixels; None for StyleGAN2's table.
        downsampling: Factor by which what is rendered is smaller than the image, see `networks.downsampling`.

    Shapes:
        z ``(N, z_dim)`` -> image ``(N, image_channels, S, S)``, label_logits ``(N, K, S, S)``.

    Raises:
        ConfigError: A setting is out of range.
    """

    def __init__(
        self,
        *,
        image_size: int,
        num_classes: int,
        image_channels: int = 1,
        z_dim: int = 512,
        w_dim: int = 512,
        num_mapping_layers: int = 8,
        channels: Sequence[int] | None = None,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ConfigError(f"`num_classes` must be >= 2 (background counts), got {num_classes}.")
        if image_channels not in (1, 3):
            raise ConfigError(f"`image_channels` must be 1 or 3, got {image_channels}.")
        self.synthesis = SynthesisNetwork(
            image_size=image_size,
            num_classes=num_classes,
            image_channels=image_channels,
            w_dim=w_dim,
            channels=channels,
            downsampling=downsampling,
        )
        self.mapping = MappingNetwork(
            z_dim=z_dim, w_dim=w_dim, num_layers=self.synthesis.num_layers, num_mapping_layers=num_mapping_layers
        )

    @property
    def image_size(self) -> int:
        """Side of the image in pixels."""
        return self.synthesis.image_size

    @property
    def num_layers(self) -> int:
        """Number of styles L."""
        return self.synthesis.num_layers

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0, noise: Noise = "random") -> tuple[Tensor, Tensor]:
        """Draw image and label logits for latent codes ``(N, z_dim)``."""
        image, label_logits = self.synthesis(self.mapping(z, truncation_psi=truncation_psi), noise=noise)
        return image, label_logits
