# SPDX-License-Identifier: Apache-2.0
"""The numbers that describe a network, checked before anything of it is built."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from monai_semigan.errors import ConfigError
from monai_semigan.networks.embedding import check_feature_sizes
from monai_semigan.networks.encoder import LABEL_WIDTH
from monai_semigan.networks.label_unet import check_direct
from monai_semigan.networks.official_encoder import EXPANSION, HEAD_CONVS, STAGE_DEPTHS
from monai_semigan.networks.synthesis import check_channels
from monai_semigan.settings import Range, check_settings, to_json

__all__ = ["EncoderKind", "NetworkSettings"]

EncoderKind = Literal["pyramid", "official"]
"""`Encoder`, and the one of the official SemanticGAN code, for imported weights."""

Width = Annotated[int, Range(1, 4096)]

MAX_PARAMETERS = 400_000_000
"""Of generator, encoder and D_r together. The official encoder has 211 million, StyleGAN2's tables 60 million at 1024
pixels; a description that asks for more would fill the memory before its weights were looked at."""

MAX_ENCODER_WIDTHS = 10
"""Each halves the image, and the largest image has 1024 pixels."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Arguments of `SemiGanSegmenter`.

    Attributes:
        image_size: Side of the network's square, pixels, a power of two.
        num_classes: Label classes, background included.
        image_channels: 1 (grey) or 3 (RGB).
        z_dim: Size of the latent code.
        w_dim: Size of a style.
        num_mapping_layers: Layers of the mapping network.
        channels: Feature channels of generator and discriminator at 4, 8, ... ``image_size / downsampling`` pixels;
            null for StyleGAN2's table.
        encoder_channels: Widths of the encoder's trunk.
        head_channels: Width of the encoder's pyramid.
        encoder_kind: ``pyramid`` for `Encoder`, ``official`` for `OfficialEncoder`.
        feature_sizes: Resolutions, pixels, whose features the encoder shifts, a spatial part of the embedding; each is
            above 4 and one of the encoder's trunk: ``image_size / downsampling`` halved less often than
            ``encoder_channels`` has widths. Empty for styles alone, as the paper has it.
        label_offsets: The encoder shifts the label logits as well; needs ``feature_sizes``.
        direct_widths: Channels of the direct route, a small U-Net from the image to the label: at
            ``image_size / downsampling`` pixels and at each halving. Empty for none.
        direct_share: Weight of the direct route in the label, in [0, 1]; the rest is the generator's. `tune` finds it
            on validation images.
        downsampling: 1, 2 or 4: by how much the image is reduced for the generator, the discriminators and the
            encoder's trunk. What the generator renders is enlarged by as much; the direct route takes the pixels as
            channels instead, and sees the image whole.
    """

    image_size: Annotated[int, Range(32, 1024)]
    num_classes: Annotated[int, Range(2, 255)]
    image_channels: Literal[1, 3] = 1
    z_dim: Width = 512
    w_dim: Width = 512
    num_mapping_layers: Annotated[int, Range(1, 32)] = 8
    channels: tuple[Width, ...] | None = None
    encoder_channels: tuple[Width, ...] = (32, 64, 128, 192, 192)
    head_channels: Width = 64
    encoder_kind: EncoderKind = "pyramid"
    feature_sizes: tuple[Annotated[int, Range(8, 1024)], ...] = ()
    label_offsets: bool = False
    direct_widths: tuple[Width, ...] = ()
    direct_share: Annotated[float, Range(0, 1)] = 0.0
    downsampling: Literal[1, 2, 4] = 1

    def __post_init__(self) -> None:
        check_settings(self)
        check_channels(self.image_size, self.channels, self.downsampling)
        most = len(STAGE_DEPTHS) if self.encoder_kind == "official" else MAX_ENCODER_WIDTHS
        if not 4 <= len(self.encoder_channels) <= most:
            raise ConfigError(f"`encoder_channels` must have 4 to {most} widths, got {len(self.encoder_channels)}.")
        num_levels = 0 if self.encoder_kind == "official" else len(self.encoder_channels)
        check_feature_sizes(self.feature_sizes, image_size=self._reduced_size, num_levels=num_levels)
        if self.label_offsets and not self.feature_sizes:
            raise ConfigError("`label_offsets` must be false without `feature_sizes`: its offsets go on from theirs.")
        check_direct(self.direct_widths, self.direct_share, image_size=self._reduced_size, num_levels=num_levels)
        if self.num_parameters > MAX_PARAMETERS:
            raise ConfigError(
                f"The network must have at most {MAX_PARAMETERS / 1e6:.0f} million parameters, "
                f"got about {self.num_parameters / 1e6:.0f} million."
            )

    @property
    def num_parameters(self) -> int:
        """Estimate the parameters of generator, encoder and D_r: weights alone, right to a few percent."""
        table, w = self._table, self.w_dim
        heads = self.image_channels + self.num_classes
        mapping = self.z_dim * w + (self.num_mapping_layers - 1) * w**2
        first = table[0] * (16 + 9 * table[0] + 2 * w + heads)
        synthesis = sum(9 * o * (i + o) + w * (i + 2 * o) + o * heads for i, o in pairwise(table))
        discriminator = sum(i * (9 * i + 10 * o) for o, i in pairwise(table)) + 25 * table[0] ** 2
        encoder = self._official_parameters if self.encoder_kind == "official" else self._pyramid_parameters
        return mapping + first + synthesis + discriminator + encoder + self._direct_parameters

    @property
    def _num_layers(self) -> int:
        return 2 * (self._reduced_size.bit_length() - 2)

    @property
    def _reduced_size(self) -> int:
        return self.image_size // self.downsampling

    @property
    def _table(self) -> tuple[int, ...]:
        return check_channels(self.image_size, self.channels, self.downsampling)

    @property
    def _pyramid_parameters(self) -> int:
        widths, head = self.encoder_channels, self.head_channels
        trunk = sum(o * (10 * i + 9 * o) for i, o in pairwise(widths))
        styles = head * sum(widths[-3:]) + 27 * head**2 + 16 * head * self.w_dim * self._num_layers
        return trunk + styles + self._feature_parameters

    @property
    def _feature_parameters(self) -> int:
        if not self.feature_sizes:
            return 0
        head, table = self.head_channels, self._table
        levels = self.encoder_channels[(self._reduced_size // max(self.feature_sizes)).bit_length() - 1 :]
        outputs = sum(table[size.bit_length() - 3] for size in self.feature_sizes)
        return head * (sum(levels) + 9 * head * len(levels) + 9 * outputs) + self._label_parameters

    @property
    def _label_parameters(self) -> int:
        if not self.label_offsets:
            return 0
        finer = self.encoder_channels[: (self._reduced_size // max(self.feature_sizes)).bit_length() - 1]
        smooths = 18 * LABEL_WIDTH**2 * len(finer)
        return LABEL_WIDTH * (self.head_channels + sum(finer) + 9 * self.num_classes) + smooths

    @property
    def _direct_parameters(self) -> int:
        if not self.direct_widths:
            return 0
        packed = self.downsampling**2  # pixels as channels
        downs = sum(9 * o * (i + o) for i, o in pairwise((self.image_channels * packed, *self.direct_widths)))
        ups = sum(9 * fine * (coarse + 2 * fine) for fine, coarse in pairwise(self.direct_widths))
        return downs + ups + self.num_classes * packed * self.direct_widths[0]

    @property
    def _official_parameters(self) -> int:
        head, width, trunk = self.head_channels, self.encoder_channels[0], 0
        for inner, depth in zip(self.encoder_channels, STAGE_DEPTHS, strict=True):
            out = EXPANSION * inner
            trunk += inner * (width + 9 * inner + out) + width * out  # the first bottleneck, with its shortcut
            trunk += (depth - 1) * inner * (2 * out + 9 * inner)
            width = out
        pyramid = EXPANSION * head * sum(self.encoder_channels) + 27 * head**2
        convs = sum(HEAD_CONVS[(style >= 3) + (style >= 7)] for style in range(self._num_layers))
        return trunk + pyramid + 9 * head**2 * convs + self._num_layers * head * self.w_dim

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `SemiGanSegmenter`, as JSON types."""
        arguments: dict[str, Any] = to_json(self)
        return arguments
