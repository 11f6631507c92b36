# SPDX-License-Identifier: Apache-2.0
"""The deployed network: image in, label logits out, with the parts that inversion needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_semigan.errors import CheckpointError, ConfigError, check_shape
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.embedding import check_feature_sizes
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.label_unet import LabelUNet, check_direct
from monai_semigan.networks.official_encoder import OfficialEncoder

__all__ = ["ENCODER_KINDS", "SemiGanSegmenter"]

ENCODER_KINDS = ("pyramid", "official")
"""`Encoder`, and the one of the official SemanticGAN code, for imported weights."""


class SemiGanSegmenter(nn.Module):
    """Encode an image and read the label branch of the generator: ``G_y(E(x))``.

    This is the ``network_def`` of a bundle. Test-time optimization lives in the inferer, which reaches ``encoder``,
    ``generator`` and ``d_image`` (whose features measure how alike two images are).

    Args:
        image_size: Side of the network's square, pixels.
        num_classes: Label classes K, background included.
        image_channels: 1 or 3.
        z_dim: Size of the latent code.
        w_dim: Size of a style.
        num_mapping_layers: Layers of the mapping network.
        channels: Feature channels of generator and discriminator at 4, 8, ... ``image_size / downsampling`` px; None
            for StyleGAN2's.
        encoder_channels: Widths of the encoder's trunk.
        head_channels: Width of the encoder's pyramid.
        encoder_kind: ``pyramid`` for `Encoder`, ``official`` for `OfficialEncoder`.
        feature_sizes: Resolutions whose features the encoder shifts, pixels, ascending; empty for styles alone.
        label_offsets: The encoder shifts the label logits too; needs ``feature_sizes``.
        direct_widths: Channels of the direct route; empty for none.
        direct_share: Its weight in the label, in [0, 1].
        downsampling: Factor by which the image is reduced, see `networks.downsampling`.

    Raises:
        ConfigError: A setting is out of range.

    Shapes:
        ``(N, image_channels, S, S)`` in [-1, 1] -> label logits ``(N, K, S, S)``; other sides S are a `ShapeError`.

    State:
        is_trained: ``()``, 0 until trained weights are loaded. Some hosts load weights non-strictly; this buffer, which
        no partial load fills by accident, makes a network without its weights refuse to segment.
    """

    is_trained: Tensor

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
        encoder_channels: Sequence[int] = (32, 64, 128, 192, 192),
        head_channels: int = 64,
        encoder_kind: str = "pyramid",
        feature_sizes: Sequence[int] = (),
        label_offsets: bool = False,
        direct_widths: Sequence[int] = (),
        direct_share: float = 0.0,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        self.generator = Generator(
            image_size=image_size,
            num_classes=num_classes,
            image_channels=image_channels,
            z_dim=z_dim,
            w_dim=w_dim,
            num_mapping_layers=num_mapping_layers,
            channels=channels,
            downsampling=downsampling,
        )
        if encoder_kind not in ENCODER_KINDS:
            raise ConfigError(f"`encoder_kind` must be one of {', '.join(ENCODER_KINDS)}, got {encoder_kind!r}.")
        encoder_settings: dict[str, Any] = {
            "image_channels": image_channels,
            "num_layers": self.generator.num_layers,
            "w_dim": w_dim,
            "channels": encoder_channels,
            "head_channels": head_channels,
            "downsampling": downsampling,
        }
        num_levels = 0 if encoder_kind == "official" else len(encoder_channels)
        reduced_size = image_size // downsampling
        check_feature_sizes(feature_sizes, image_size=reduced_size, num_levels=num_levels)
        widths = self.generator.synthesis.widths
        feature_channels = {(reduced_size // size).bit_length() - 1: widths[size] for size in feature_sizes}
        check_direct(direct_widths, direct_share, image_size=reduced_size, num_levels=num_levels)
        self.encoder: Encoder | OfficialEncoder = (
            OfficialEncoder(image_size=image_size, **encoder_settings)
            if encoder_kind == "official"
            else Encoder(
                **encoder_settings,
                feature_channels=feature_channels,
                label_classes=num_classes if label_offsets else 0,
            )
        )
        self.d_image = ImageDiscriminator(
            image_size=image_size, image_channels=image_channels, channels=channels, downsampling=downsampling
        )
        if isinstance(self.encoder, Encoder) and direct_widths:  # last: the other first weights do not depend on it
            self.encoder.direct = LabelUNet(
                image_channels=image_channels,
                num_classes=num_classes,
                widths=direct_widths,
                downsampling=downsampling,
            )
            self.encoder.direct_share = direct_share
        self.register_buffer("is_trained", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        size = self.generator.image_size
        check_shape("image", image.shape, f"N C {size} {size}")
        label_logits: Tensor = self.generator.synthesis(self.encoder(image))[1]
        return label_logits

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.is_trained.device

    def require_trained(self) -> None:
        """Refuse to go on without trained weights.

        Raises:
            CheckpointError: The weights were never loaded, or only some of them.
        """
        if float(self.is_trained) != 1.0:
            raise CheckpointError(
                "The network must have trained weights, but `is_trained` is not set: none were loaded, or a host "
                "loaded them non-strictly from another architecture. Load the bundle's models/model.pt."
            )
