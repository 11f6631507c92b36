# SPDX-License-Identifier: Apache-2.0
"""Perturb the encoder's inputs while its targets stay clean, so that it sees the anatomy through a scanner's habits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from monai_semigan.settings import Range, check_settings
from monai_semigan.transforms.blur import even_blur
from monai_semigan.transforms.sample_draws import SampleDraws
from monai_semigan.transforms.smooth_field import smooth_field

__all__ = ["STRONG", "PerturbSettings", "perturb"]

Share = Annotated[float, Range(0, 1)]
Strength = Annotated[float, Range(0, 10)]

BLUR = 1.0
"""Standard deviation in pixels of a 64-pixel image, as `even_blur` has it."""


@dataclass(frozen=True, kw_only=True)
class PerturbSettings:
    """How strongly inputs are perturbed; image range is [-1, 1].

    Attributes:
        sample_probability: Chance that a sample is perturbed at all. Below 1 a network also learns images as they are.
        probability: Chance of each kind per sample that is.
        log2_gamma: Standard deviation of log2 of the exponent on the range [0, 1].
        contrast: Standard deviation of log2 of the contrast.
        brightness: Standard deviation of the offset.
        bias_field: Standard deviation of a smooth additive field.
        noise: Largest standard deviation of white noise.
        blur: Largest share of a Gaussian blur of one pixel of a 64-pixel image, two of 128.
        patch: Largest side of a patch of one grey value, as a share of the image's side.
    """

    sample_probability: Share = 1.0
    probability: Share = 0.5
    log2_gamma: Strength = 0.5
    contrast: Strength = 0.3
    brightness: Strength = 0.15
    bias_field: Strength = 0.3
    noise: Strength = 0.12
    blur: Share = 1.0
    patch: Annotated[float, Range(0, 2)] = 0.3

    def __post_init__(self) -> None:
        check_settings(self)


STRONG = PerturbSettings(log2_gamma=0.7, contrast=0.4, brightness=0.25, bias_field=0.4, noise=0.15, patch=0.35)
"""For what learns from labelled images alone, and must label any look."""


def perturb(image: Tensor, settings: PerturbSettings) -> Tensor:
    """Perturb images ``(N, C, H, W)`` in [-1, 1], each in its own way, from the global random state."""
    image = image.clamp(-1, 1)
    draws = SampleDraws(image, settings.probability)
    maybe, normal, uniform = draws.maybe, draws.normal, draws.uniform
    x = ((image + 1) / 2) ** torch.exp2(maybe(normal(settings.log2_gamma))) * 2 - 1
    x = x + maybe(smooth_field(x) * settings.bias_field)
    x = x * torch.exp2(maybe(normal(settings.contrast))) + maybe(normal(settings.brightness))
    x = x.lerp(even_blur(x, BLUR), maybe(uniform(settings.blur)))
    x = x + maybe(uniform(settings.noise)) * torch.randn_like(x)
    x = _paste_patch(x, maybe(uniform(settings.patch))).clamp(-1, 1)
    return draws.some_as_they_are(x, settings.sample_probability)


def _paste_patch(x: Tensor, side: Tensor) -> Tensor:
    """Cover a rectangle of about ``side`` (a share of the image) with one grey value: a device, a label, a dressing."""
    n, _, h, w = x.shape
    center = torch.rand(n, 2, 1, 1, device=x.device, dtype=x.dtype)
    aspect = torch.exp2(torch.randn(n, 1, 1, 1, device=x.device, dtype=x.dtype) * 0.5)
    rows = torch.linspace(0, 1, h, device=x.device, dtype=x.dtype).reshape(1, 1, h, 1)
    columns = torch.linspace(0, 1, w, device=x.device, dtype=x.dtype).reshape(1, 1, 1, w)
    inside = ((rows - center[:, :1]).abs() < side * aspect / 2) & ((columns - center[:, 1:]).abs() < side / aspect / 2)
    value = torch.rand(n, 1, 1, 1, device=x.device, dtype=x.dtype) * 2 - 1
    return torch.where(inside, value, x)
