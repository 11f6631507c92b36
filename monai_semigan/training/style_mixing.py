# SPDX-License-Identifier: Apache-2.0
"""Give an image the look of another site and leave its anatomy where it is.

The amplitudes of the lowest spatial frequencies say how an image is lit and exposed, the phases where its edges are.
Exchanging the former between two images moves one to the other's scanner (Yang and Soatto 2020, "FDA: Fourier Domain
Adaptation for Semantic Segmentation", equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from monai_semigan.errors import check_shape
from monai_semigan.settings import Range, check_settings

__all__ = ["StyleMixingSettings", "mix_styles"]


@dataclass(frozen=True, kw_only=True)
class StyleMixingSettings:
    """How often and how far images take each other's look.

    Attributes:
        probability: Chance per image.
        max_frequency: Highest frequency that is exchanged, cycles per image along either axis; each image draws its own
            from 0 (the mean grey alone) to this.
        strength: Largest share of the other image's amplitude; each image draws its own.
    """

    probability: Annotated[float, Range(0, 1)] = 0.5
    max_frequency: Annotated[int, Range(0, 16)] = 3
    strength: Annotated[float, Range(0, 1)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self)


def mix_styles(image: Tensor, others: Tensor, settings: StyleMixingSettings) -> Tensor:
    """Give each image the low-frequency amplitudes of the image at its place in ``others``.

    From the global random state.

    Args:
        image: ``(N, C, H, W)`` in [-1, 1].
        others: The same shape.
        settings: How often and how far.

    Returns:
        The images, the same shape, in [-1, 1].

    Raises:
        ShapeError: The shapes differ.
    """
    check_shape("others", others.shape, " ".join(str(size) for size in image.shape))
    n, _, height, width = image.shape
    spectrum, other = (torch.fft.rfft2((x + 1) / 2) for x in (image, others))  # from black 0 on: the mean is a size
    rows = torch.fft.fftfreq(height, 1 / height, device=image.device).abs().reshape(1, 1, height, 1)
    columns = torch.fft.rfftfreq(width, 1 / width, device=image.device).reshape(1, 1, 1, -1)
    limit = torch.randint(settings.max_frequency + 1, (n, 1, 1, 1), device=image.device)
    share = torch.rand(n, 1, 1, 1, device=image.device) * settings.strength
    share = share * (torch.rand(n, 1, 1, 1, device=image.device) < settings.probability)
    low = (torch.maximum(rows, columns) <= limit) * share
    amplitude = spectrum.abs()
    mixed = torch.lerp(amplitude, other.abs(), low.expand_as(amplitude))
    # A frequency that the image lacks has no phase to keep: it stays absent.
    factor = torch.where(amplitude > 0, mixed / amplitude.clamp(min=torch.finfo(amplitude.dtype).tiny), 1.0)
    mixed_image: Tensor = torch.fft.irfft2(spectrum * factor, s=(height, width)) * 2 - 1
    return mixed_image.clamp(-1, 1)
