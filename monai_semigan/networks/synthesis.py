# SPDX-License-Identifier: Apache-2.0
"""The synthesis network: an embedding to an image and its label map.

StyleGAN2 (Karras et al. 2020) with output skips, and beside each image head a label head that reads the same features
and the same style (SemanticGAN, Li et al. 2021, section 3.1 and figure 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from monai_semigan.errors import ConfigError, ShapeError, check_shape
from monai_semigan.networks.downsampling import check_downsampling, enlarged
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.layers import EqualizedLinear
from monai_semigan.ops.fir import normalized_taps, upsample_padding
from monai_semigan.ops.modulated_conv2d import modulated_conv2d, styled_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d

__all__ = ["Noise", "SynthesisNetwork", "check_channels", "default_channels"]

Noise = Literal["fixed", "random", "none"]
"""Where the noise maps come from: the stored buffers, the global random state, or nowhere."""


def default_channels(image_size: int, *, multiplier: int = 2) -> tuple[int, ...]:
    """Feature channels at 4, 8, ... ``image_size`` pixels of StyleGAN2's configuration F (multiplier 2)."""
    sizes = [2**i for i in range(2, image_size.bit_length())]
    return tuple(min(512, multiplier * 16384 // size) for size in sizes)


def check_channels(image_size: int, channels: Sequence[int] | None, downsampling: int = 1) -> tuple[int, ...]:
    """Validate an image size, how much smaller the generator's is, and its channel table; None for the default one.

    Raises:
        ConfigError: ``image_size`` is no power of two from 32 to 1024, ``downsampling`` none of its values or one that
            leaves less than 32 px, or the table has another number of entries.
    """
    if image_size < 32 or image_size > 1024 or image_size & (image_size - 1):
        raise ConfigError(f"`image_size` must be a power of two from 32 to 1024, got {image_size}.")
    check_downsampling(downsampling)
    size = image_size // downsampling
    if size < 32:
        raise ConfigError(f"`downsampling` must leave 32 px, got {downsampling} for images of {image_size} px.")
    table = default_channels(size) if channels is None else tuple(channels)
    expected = size.bit_length() - 2
    if len(table) != expected or min(table) < 1:
        raise ConfigError(f"`channels` must have {expected} positive entries (4, 8, ... {size} px), got {list(table)}.")
    return table


def _laid_out(weight: Tensor, *, up: bool) -> Tensor:
    """Lay a weight ``(O, I, k, k)`` out in memory as its convolution takes it, which saves a tenth of its time.

    A transposed convolution takes ``(I, O, k, k)``. Loading, copying and optimizing keep the layout.
    """
    if up:
        return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
    return weight.contiguous(memory_format=torch.channels_last)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; optionally upsampling by 2.

    Shapes:
        x ``(N, I, H, W)``, w ``(N, w_dim)`` -> ``(N, O, H', W')`` with ``H' = size``.

    State:
        noise_const: ``(1, 1, size, size)``, the fixed noise; a buffer, saved with the weights.
    """

    noise_const: Tensor
    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, *, size: int, up: bool = False) -> None:
        super().__init__()
        self.size, self.up = size, up
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(_laid_out(torch.randn(out_channels, in_channels, 3, 3), up=up))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(1, 1, size, size))
        self.register_buffer("taps", normalized_taps(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "fixed") -> Tensor:
        maps = None
        if noise == "fixed":
            maps = self.noise_const
        elif noise == "random":
            maps = torch.randn(x.shape[0], 1, self.size, self.size, dtype=x.dtype, device=x.device)
        return styled_conv2d(
            x,
            self.weight,
            self.affine(w),
            noise=None if maps is None else maps * self.noise_strength,
            bias=self.bias,
            up_taps=self.taps if self.up else None,
        )


class OutputHead(nn.Module):
    """Modulated 1x1 convolution without demodulation, plus bias: features to image or label channels.

    Shapes:
        x ``(N, I, H, W)``, w ``(N, w_dim)`` -> ``(N, out_channels, H, W)`` in float32 or better.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        y = modulated_conv2d(x, self.weight, self.affine(w), demodulate=False)
        # The skips add up over resolutions: their sum stays in the dtype of the weights.
        return y.to(self.weight.dtype) + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    """One resolution: an upsampling convolution (absent at 4 px), a plain one, the two heads."""

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        w_dim: int,
        *,
        size: int,
        image_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        up = in_channels is not None
        self.conv_up = StyledConv(in_channels, out_channels, w_dim, size=size, up=True) if in_channels else None
        self.conv = StyledConv(out_channels, out_channels, w_dim, size=size)
        self.to_image = OutputHead(out_channels, image_channels, w_dim)
        self.to_label = OutputHead(out_channels, num_classes, w_dim)
        self.num_convs = 2 if up else 1

    def forward(self, x: Tensor, styles: Sequence[Tensor], noise: Noise) -> Tensor:
        if self.conv_up is not None:
            x = self.conv_up(x, styles[0], noise)
        return self.conv(x, styles[self.num_convs - 1], noise)


class SynthesisNetwork(nn.Module):
    """Turn an embedding into an image and a label map.

    The style of layer ``i`` is ``w_plus[:, i]``: index 0 for the convolution at 4 px, then for the block at
    ``2 ** (b + 2)`` px indices ``2b - 1`` and ``2b`` for its convolutions and ``2b + 1`` for both of its heads, which
    the next block's first convolution shares. Offsets of a resolution are added to what its block returns, so that the
    heads and all later blocks see them; those of the label to the sum of the label heads. Blocks go up to
    S / ``downsampling`` px; the heads' sums are enlarged to S px.

    Shapes:
        w_plus ``(N, L, w_dim)``, features ``(N, C_r, r, r)``, label ``(N, num_classes, S, S)``
        -> image ``(N, image_channels, S, S)``, about [-1, 1] but unbounded; label_logits ``(N, num_classes, S, S)``,
        unbounded. ``L = 2 log2(S / downsampling) - 2``.
    """

    taps: Tensor

    def __init__(
        self,
        *,
        image_size: int,
        num_classes: int,
        image_channels: int = 1,
        w_dim: int = 512,
        channels: Sequence[int] | None = None,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        table = check_channels(image_size, channels, downsampling)
        self.image_size, self.num_classes, self.image_channels, self.w_dim = (
            image_size,
            num_classes,
            image_channels,
            w_dim,
        )
        self.downsampling, self.num_layers = downsampling, 2 * len(table)
        self.compute_dtype: torch.dtype | None = None
        self.const = nn.Parameter(torch.randn(1, table[0], 4, 4))
        self.blocks: Sequence[SynthesisBlock] = nn.ModuleList(  # type: ignore[assignment]
            SynthesisBlock(
                table[i - 1] if i else None,
                width,
                w_dim,
                size=4 * 2**i,
                image_channels=image_channels,
                num_classes=num_classes,
            )
            for i, width in enumerate(table)
        )
        self.register_buffer("taps", normalized_taps(), persistent=False)

    @property
    def widths(self) -> dict[int, int]:
        """Feature channels by resolution in pixels, from 4 on."""
        return {block.conv.size: block.conv.weight.shape[0] for block in self.blocks}

    def forward(self, embedding: Embedding | Tensor, *, noise: Noise = "fixed") -> tuple[Tensor, Tensor]:
        """Render image and label logits.

        Args:
            embedding: Styles and offsets; a tensor ``(N, L, w_dim)`` is styles alone.
            noise: Source of the noise maps; ``fixed`` is deterministic.

        Raises:
            ShapeError: Styles or offsets are not of this network's shapes.
        """
        image, label_logits = self._render(embedding, noise, with_label=True)
        assert label_logits is not None
        return image, label_logits

    def image(self, embedding: Embedding | Tensor, *, noise: Noise = "fixed") -> Tensor:
        """Render the image alone: the label heads are skipped."""
        return self._render(embedding, noise, with_label=False)[0]

    def _render(self, embedding: Embedding | Tensor, noise: Noise, *, with_label: bool) -> tuple[Tensor, Tensor | None]:
        if isinstance(embedding, Tensor):
            embedding = Embedding(embedding)
        n = check_shape("w_plus", embedding.w_plus.shape, f"N {self.num_layers} {self.w_dim}")["N"]
        offsets = self._offsets(embedding)
        x = self.const.expand(n, -1, -1, -1).to(self.compute_dtype or self.const.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        label_logits: Tensor | None = None
        styles = embedding.w_plus.unbind(dim=1)
        for index, block in enumerate(self.blocks):
            first = max(2 * index - 1, 0)
            x = block(x, styles[first:], noise)
            if block.conv.size in offsets:
                x = x + offsets[block.conv.size].to(x.dtype)
            head_style = styles[2 * index + 1]
            image = self._add_skip(image, block.to_image(x, head_style))
            if with_label:
                label_logits = self._add_skip(label_logits, block.to_label(x, head_style))
        assert image is not None
        image = enlarged(image, self.downsampling)
        if label_logits is not None:
            label_logits = enlarged(label_logits, self.downsampling)
            if embedding.label is not None:
                check_shape("label", embedding.label.shape, " ".join(map(str, label_logits.shape)))
                label_logits = embedding.label_share * label_logits + embedding.label
        return image, label_logits

    def _offsets(self, embedding: Embedding) -> dict[int, Tensor]:
        """Return the offsets by resolution, checked."""
        if not embedding.features:
            return {}
        n, widths, offsets = len(embedding), self.widths, {}
        for offset in embedding.features:
            size = int(offset.shape[-1])
            if size not in widths or size in offsets:
                raise ShapeError(
                    f"`features` must be of different resolutions among {', '.join(map(str, widths))}, got {size}."
                )
            check_shape("features", offset.shape, f"{n} {widths[size]} {size} {size}")
            offsets[size] = offset
        return offsets

    def _add_skip(self, skip: Tensor | None, output: Tensor) -> Tensor:
        if skip is None:
            return output
        return upfirdn2d(skip, self.taps, up=2, padding=upsample_padding(len(self.taps)), gain=4.0) + output
