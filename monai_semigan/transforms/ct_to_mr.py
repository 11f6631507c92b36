# SPDX-License-Identifier: Apache-2.0
"""Make CT slices look as foreign as MR, so that an encoder reads anatomy and not Hounsfield units.

A scanner of another kind keeps edges and changes all else: which tissue is bright, how evenly, how sharply, with which
noise. Each sample gets its own mixture, from the global random state:

1. `dark_tissue`: what CT pictures show black inside the body (fat, gas below 0 HU) gets a grey of its own.
2. `remap`: a random curve of grey values. Half of the curves keep the order of grey values; the others bend back, so
   that bone turns dark, vessels bright, the liver any grey. Black stays black: air has no signal.
3. `bias_field`: a smooth factor, as near a surface coil.
4. `blur`: along rows and columns by different amounts.
5. `noise`: of the magnitude of a complex signal (Gudbjartsson and Patz 1995): air gets grey, too.

Random curves for domain transfer follow the idea of Bezier remapping (Zhou et al. 2019, Models Genesis, section 3) and
of SynthSeg's random contrasts (Billot et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import check_shape
from monai_semigan.settings import Range, check_settings
from monai_semigan.transforms.blur import gaussian_blur
from monai_semigan.transforms.sample_draws import SampleDraws
from monai_semigan.transforms.smooth_field import smooth_field

__all__ = ["CrossModalitySettings", "cross_modality", "random_curves"]

NUM_KNOTS = 7
"""Knots of a random curve, the one at black included."""

CURVE_SAMPLES = 64
"""Samples of a curve; grey values between them are interpolated."""

DARK_LEVEL = 0.08
"""Grey values below this, on a range of [0, 1], are filled inside the body: 20 of 255 HU."""

Share = Annotated[float, Range(0, 1)]
Strength = Annotated[float, Range(0, 10)]


@dataclass(frozen=True, kw_only=True)
class CrossModalitySettings:
    """How far images are taken from their modality; image range is [-1, 1].

    Attributes:
        sample_probability: Chance that a sample is changed at all. Below 1 a network also learns the modality as it is.
        probability: Chance of each kind per sample that is.
        non_monotone: Chance that a curve bends back.
        remap: How much of the curve is applied, at most: 0 nothing, 1 all.
        dark_tissue: Largest grey, on a range of [0, 1], of what is black inside the body.
        bias_field: Standard deviation of the factor's logarithm.
        noise: Largest standard deviation of each part of the complex signal, on a range of [0, 1].
        blur: Largest standard deviation of the blur along an axis, in pixels of a 64-pixel image.
    """

    sample_probability: Share = 1.0
    probability: Share = 0.7
    non_monotone: Share = 0.5
    remap: Share = 1.0
    dark_tissue: Share = 0.4
    bias_field: Strength = 0.3
    noise: Strength = 0.06
    blur: Strength = 1.0

    def __post_init__(self) -> None:
        check_settings(self)


def cross_modality(image: Tensor, settings: CrossModalitySettings) -> Tensor:
    """Change the looks of images ``(N, C, S, S)`` in [-1, 1], each in its own way; returns the same shape and range."""
    check_shape("image", image.shape, "N C H W")
    image = image.clamp(-1, 1)
    draws = SampleDraws(image, settings.probability)
    maybe, uniform = draws.maybe, draws.uniform
    x = (image + 1) / 2
    level = maybe(uniform(settings.dark_tissue))
    x = x + level * _inside_body(x) * (1 - x / DARK_LEVEL).clamp(0, 1)
    curves = random_curves(len(x), non_monotone=settings.non_monotone, like=x)
    x = x.lerp(_apply_curves(x, curves), maybe(torch.full_like(level, settings.remap)))
    x = x * torch.exp(maybe(smooth_field(x) * settings.bias_field))
    x = gaussian_blur(x, maybe(uniform(settings.blur)), maybe(uniform(settings.blur)), largest=settings.blur)
    sigma = maybe(uniform(settings.noise))
    x = torch.hypot(x + sigma * torch.randn_like(x), sigma * torch.randn_like(x))
    return draws.some_as_they_are((x * 2 - 1).clamp(-1, 1), settings.sample_probability)


def random_curves(num: int, *, non_monotone: float, like: Tensor) -> Tensor:
    """Draw curves from [0, 1] to [0, 1] that start at 0.

    Args:
        num: Number of curves N.
        non_monotone: Chance that a curve is not kept ascending.
        like: Tensor whose type and device the curves get.

    Returns:
        ``(N, CURVE_SAMPLES)``, at evenly spaced grey values; ascending curves end at 1.
    """
    steps = -torch.log(torch.rand(num, NUM_KNOTS - 1, dtype=like.dtype, device=like.device).clamp_min(1e-6))
    ascending = steps.cumsum(dim=1) / steps.sum(dim=1, keepdim=True)
    free = torch.rand(num, NUM_KNOTS - 1, dtype=like.dtype, device=like.device)
    free = free / free.amax(dim=1, keepdim=True)
    bends = torch.rand(num, 1, dtype=like.dtype, device=like.device) < non_monotone
    knots = F.pad(torch.where(bends, free, ascending), (1, 0))  # (N, NUM_KNOTS), black stays black
    return F.interpolate(knots[:, None], size=CURVE_SAMPLES, mode="linear", align_corners=True)[:, 0]


def _apply_curves(x: Tensor, curves: Tensor) -> Tensor:
    """Look grey values in [0, 1] up in one curve per sample."""
    n = len(x)
    place = x.reshape(n, -1).clamp(0, 1) * (CURVE_SAMPLES - 1)
    lower = place.long().clamp_max(CURVE_SAMPLES - 2)
    low, high = curves.gather(1, lower), curves.gather(1, lower + 1)
    return low.lerp(high, place - lower).reshape(x.shape)


def _inside_body(x: Tensor) -> Tensor:
    """How far inside the body a pixel lies, ``(N, 1, H, W)`` in [0, 1]: there is tissue on its four sides."""
    tissue = (x.amax(dim=1, keepdim=True) > DARK_LEVEL).to(x.dtype)
    tissue = (F.avg_pool2d(tissue, 3, stride=1, padding=1) > 0.5).to(x.dtype)  # no single pixels
    inside = torch.ones_like(tissue)
    for axis in (2, 3):
        before = tissue.cummax(dim=axis).values
        after = tissue.flip(axis).cummax(dim=axis).values.flip(axis)
        inside = inside * before * after
    return F.avg_pool2d(inside, 3, stride=1, padding=1) * inside
