# SPDX-License-Identifier: Apache-2.0
"""What other sites do to images, as far as it can be imitated: kinds of changes to prepared images and their labels.

What must hold elsewhere is found on these, as images of other sites are for the last table alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.ops.affine_warp import affine_warp
from monai_semigan.training.perturb import STRONG, PerturbSettings, perturb

__all__ = ["AS_THEY_ARE", "disturbed"]

AS_THEY_ARE = "as they are"

Pair = tuple[Tensor, Tensor]


def disturbed(image: Tensor, target: Tensor, *, seed: int = 0) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield name, images and labels of each disturbance; the first is none.

    Args:
        image: ``(N, C, S, S)`` in [-1, 1].
        target: ``(N, K, S, S)`` in [0, 1].
        seed: Of what is random; other random numbers go on as if nothing had been drawn.
    """
    yield AS_THEY_ARE, image, target
    for name, change in DISTURBANCES.items():
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            yield name, *change(image, target)


def _perturbed(strength: float) -> Callable[[Tensor, Tensor], Pair]:
    """Gamma, contrast, brightness, bias field, noise, blur and a patch, in that share of `training.perturb.STRONG`."""
    numbers = {part.name: getattr(STRONG, part.name) * strength for part in fields(PerturbSettings)}
    often = {"sample_probability": 1.0, "probability": 0.7 if strength <= 1 else 1.0}
    numbers |= often | {"blur": min(STRONG.blur * strength, 1.0)}
    settings = replace(STRONG, **numbers)
    return lambda image, target: (perturb(image, settings), target)


def _moved(*, zoom: float = 1.0, degrees: float = 0.0, right: float = 0.0, down: float = 0.0) -> Callable[..., Pair]:
    """Another part of the body in the frame, image and label alike; shifts are shares of half the side."""
    cos, sin = (f(math.radians(degrees)) / zoom for f in (math.cos, math.sin))
    matrix = torch.tensor([[cos, -sin, right], [sin, cos, down]])

    def change(image: Tensor, target: Tensor) -> Pair:
        places = matrix.expand(len(image), 2, 3)
        return affine_warp(image, places), affine_warp(target, places)

    return change


def _covered(image: Tensor, target: Tensor) -> Pair:
    """Two soft bright shadows."""
    size = image.shape[-1]
    at = torch.linspace(0, 1, size)
    rows, columns = at.reshape(1, 1, size, 1), at.reshape(1, 1, 1, size)
    for _ in range(2):
        row, column, width = (torch.rand(len(image), 1, 1, 1) for _ in range(3))
        square = (rows - 0.3 - 0.5 * row) ** 2 + (columns - 0.15 - 0.7 * column) ** 2
        share = 0.8 * torch.exp(-square / (2 * (0.08 + 0.1 * width) ** 2))
        image = image.lerp(torch.full_like(image, 0.57), share.expand_as(image))
    return image, target


def _noised(deviation: float) -> Callable[[Tensor, Tensor], Pair]:
    return lambda image, target: ((image + deviation * torch.randn_like(image)).clamp(-1, 1), target)


def _blurred(image: Tensor, target: Tensor) -> Pair:
    """No finer than 16 pixels across, whatever the image's size."""
    small = F.avg_pool2d(image, max(image.shape[-1] // 16, 1))
    return F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False), target


DISTURBANCES: dict[str, Callable[[Tensor, Tensor], Pair]] = {
    **{f"{strength:g} of a scanner's habits": _perturbed(strength) for strength in (0.5, 1.0, 1.5, 2.5)},
    "shadows": _covered,
    "nearer by 1.25": _moved(zoom=1.25),
    "nearer by 1.5": _moved(zoom=1.5),
    "further by 0.75": _moved(zoom=0.75),
    "turned by 15 degrees": _moved(degrees=15),
    "turned by 30 degrees": _moved(degrees=30),
    "shifted": _moved(right=0.3, down=0.2),
    "noise of 0.2": _noised(0.2),
    "noise of 0.3": _noised(0.3),
    "blurred": _blurred,
    "0.4 of the contrast": lambda image, target: (image * 0.4, target),
}
"""By name, images in [-1, 1]."""
