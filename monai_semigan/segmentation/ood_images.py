# SPDX-License-Identifier: Apache-2.0
"""What becomes of an image of the own kind when it is mildly changed, and when it is made one of another kind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.transforms.blur import even_blur

__all__ = ["made_foreign", "mildly_changed"]

MILD_BLUR = 0.8
"""Standard deviation in pixels of a 64-pixel image."""


def mildly_changed(image: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return images ``(N, C, S, S)`` in [-1, 1] as other devices would show them, four kinds."""
    noise = torch.randn(image.shape, generator=generator)
    return [
        image.lerp(even_blur(image, MILD_BLUR), 0.5),
        (image + 0.03 * noise).clamp(-1, 1),
        image * 0.9,
        ((image + 1) / 2).clamp(0, 1).pow(1.2) * 2 - 1,
    ]


def made_foreign(image: Tensor, generator: torch.Generator, *, has_upright: bool = True) -> list[Tensor]:
    """Return what was ``(N, C, S, S)`` in [-1, 1] and is of another kind, as many of each.

    Inverted, four halves in full size, four images in one, fine and coarse noise, one grey alone; in color also without
    it, with full contrast, and with exchanged colors; turned around, if that makes a difference.

    Args:
        image: Of the own kind.
        generator: Of the noise.
        has_upright: Whether an image that is turned around is of another kind.
    """
    _, channels, size, _ = image.shape
    half = size // 2
    halves = image[..., :half, :], image[..., half:, :], image[..., :half], image[..., half:]
    noise = torch.randn(image.shape, generator=generator)
    coarse = F.interpolate(noise[..., :8, :8], size=size, mode="bilinear", align_corners=False)
    grown = [F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False) for part in halves]
    small = F.adaptive_avg_pool2d(image, half)
    other = small.roll(1, dims=0)
    tiles = torch.cat([torch.cat([small, other], 3), torch.cat([other.flip(2), small.flip(3)], 3)], 2)
    plain = image.mean(dim=(2, 3), keepdim=True) + 0.01 * noise
    made = [-image, *grown, tiles, (noise / 2).clamp(-1, 1), coarse.clamp(-1, 1), plain.clamp(-1, 1)]
    if channels == 3:
        grey = image.mean(dim=1, keepdim=True)
        low, high = grey.amin(dim=(2, 3), keepdim=True), grey.amax(dim=(2, 3), keepdim=True)
        made += [((grey - low) / (high - low).clamp(min=1e-3) * 2 - 1).expand_as(image), image.roll(1, dims=1)]
    return [*made, image.flip(2, 3)] if has_upright else made
