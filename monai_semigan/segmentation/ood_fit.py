# SPDX-License-Identifier: Apache-2.0
"""Learn an `OodReference` from images that a network knows, and find the distance that parts others from them.

The Gaussians are of most of the known images; what is usual is of those kept apart, validation images among them, and
of the same *mildly changed*: blurred, with noise, with less contrast, with another gamma, as other devices would show
them. Such images must be accepted. The limit lies between them and the same images *made foreign*: turned around,
inverted, cropped to half, replaced by noise. Where these leave a gap it is in its middle; where they overlap, as skin
does that has no upright, it is what all but `HOME_SHARE` of the validation images keep below, so that few images of the
own kind are refused, whatever passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import InputError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.ood import OodReference, PartReference, image_parts

__all__ = [
    "FEWEST_IMAGES",
    "MOST_IMAGES",
    "learn_reference",
    "made_foreign",
    "mildly_changed",
    "score_images",
    "with_site",
]

FEWEST_IMAGES = 40
"""Known images; of fewer no distribution can be told."""

MOST_IMAGES = 2000
"""Of more known images some are taken, evenly: more do not change the Gaussians."""

KEPT_APART = 5
"""Every fifth known image."""

MOST_AXES = 32
"""Of a part's Gaussian; more cost memory and part hardly better."""

IMAGES_PER_AXIS = 4
"""At least, or an axis is noise."""

RARE_SHARE = 0.01
"""Of images kept apart, which are further away than one step from the median."""

MILD_SHARE = 0.05
"""Of mildly changed images, likewise."""

LEAST_STEP = 0.05
"""Of the logarithm of a distance: less would make much of nothing."""

HOME_SHARE = 0.03
"""Of validation images, as they are and mildly changed, that may be called unlike."""

FOREIGN_SHARE = 0.05
"""Of the images made foreign, at whose distance the gap to them ends."""

SITE_MARGIN = 1.25
"""Of the farthest image of a site that a bundle was adapted to, up to which others of it are expected."""

BATCH = 16


def mildly_changed(image: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return images ``(N, C, S, S)`` in [-1, 1] as other devices would show them, four kinds."""
    noise = torch.randn(image.shape, generator=generator)
    return [
        F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1) * 0.5 + image * 0.5,
        (image + 0.03 * noise).clamp(-1, 1),
        image * 0.9,
        ((image + 1) / 2).clamp(0, 1).pow(1.2) * 2 - 1,
    ]


def made_foreign(image: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Return what was ``(N, C, S, S)`` in [-1, 1]: turned around, inverted, four halves in full size, two noises."""
    size, half = image.shape[-1], image.shape[-1] // 2
    halves = image[..., :half, :], image[..., half:, :], image[..., :half], image[..., half:]
    noise = torch.randn(image.shape, generator=generator)
    coarse = F.interpolate(noise[..., :8, :8], size=size, mode="bilinear", align_corners=False)
    grown = [F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False) for part in halves]
    return [image.flip(2, 3), -image, *grown, (noise / 2).clamp(-1, 1), coarse.clamp(-1, 1)]


@torch.no_grad()
def learn_reference(
    network: SemiGanSegmenter,
    known: Tensor,
    validation: Tensor,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> OodReference:
    """Learn what images are like that a network knows.

    Args:
        network: Trained.
        known: Images that it was trained on, ``(M, C, S, S)`` in [-1, 1].
        validation: Images of the same kind that it was not, ``(V, C, S, S)``; without any, the known ones kept apart.
        seed: Of the changes.
        progress: Called with the images done and their number.

    Raises:
        InputError: There are fewer than `FEWEST_IMAGES` known images.
    """
    if len(known) < FEWEST_IMAGES:
        raise InputError(
            f"The data list must have {FEWEST_IMAGES} images or more to tell what is out of distribution, got "
            f"{len(known)}."
        )
    generator = torch.Generator().manual_seed(seed)
    known = known[torch.linspace(0, len(known) - 1, min(len(known), MOST_IMAGES)).long()].float()
    is_apart = torch.arange(len(known)) % KEPT_APART == KEPT_APART - 1
    home = validation.float() if len(validation) else known[is_apart]
    sets = [known[~is_apart], known[is_apart], home]
    sets += [torch.cat(mildly_changed(home, generator)), torch.cat(made_foreign(home, generator))]
    total, done = sum(map(len, sets)), 0
    measured = []
    for images in sets:
        measured.append(_measured(network, images))
        done += len(images)
        if progress is not None:
            progress(done, total)
    learned, apart, own, mild, foreign = measured
    parts = {}
    for name, numbers in learned.items():
        part = _gaussian(numbers)
        usual = torch.cat([part.log_distance(apart[name]), part.log_distance(own[name])])
        rare = torch.stack(
            [usual.quantile(1 - RARE_SHARE), part.log_distance(mild[name]).quantile(1 - MILD_SHARE)]
        ).amax()
        median = usual.quantile(0.5)
        parts[name] = replace(part, usual=median, step=(rare - median).clamp(min=LEAST_STEP))
    reference = OodReference(parts, 1.0)
    accepted = torch.cat([_distance(reference, own), _distance(reference, mild)]).quantile(1 - HOME_SHARE)
    others = _distance(reference, foreign).quantile(FOREIGN_SHARE)
    limit = (accepted * others).sqrt() if others > accepted else accepted
    return replace(reference, limit=max(float(limit), LEAST_STEP))


@torch.no_grad()
def score_images(reference: OodReference, network: SemiGanSegmenter, images: Tensor) -> Tensor:
    """Return the out-of-distribution scores of prepared images ``(N, C, S, S)`` in [-1, 1], ``(N,)`` in [0, 1]."""
    distance = _distance(reference, _measured(network, images.float()))
    return distance / (distance + reference.limit)


@torch.no_grad()
def with_site(reference: OodReference, network: SemiGanSegmenter, images: Tensor) -> OodReference:
    """Let a reference know a site's images too, as an adapted network sees them.

    Their mean is a second centre, and the limit rises until all of them lie below it with a margin.

    Args:
        reference: Of the bundle before.
        network: After the adaptation.
        images: Of the site, ``(N, C, S, S)`` in [-1, 1].
    """
    numbers = _measured(network, images.float())
    parts = {name: replace(part, site=numbers[name].mean(dim=0)) for name, part in reference.parts.items()}
    known = replace(reference, parts=parts)
    return replace(known, limit=max(reference.limit, SITE_MARGIN * float(_distance(known, numbers).max())))


def _measured(network: SemiGanSegmenter, images: Tensor) -> dict[str, Tensor]:
    """Return the numbers of images by part, on the CPU."""
    found: list[dict[str, Tensor]] = []
    for start in range(0, len(images), BATCH):
        image = images[start : start + BATCH].to(network.device)
        encoded = network.encoder(image)
        parts = image_parts(image, encoded, *network.generator.synthesis(encoded))
        found.append({name: part.cpu() for name, part in parts.items()})
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


def _distance(reference: OodReference, numbers: dict[str, Tensor]) -> Tensor:
    steps = torch.stack([part.steps(numbers[name]) for name, part in reference.parts.items()], dim=1)
    return steps.square().mean(dim=1).sqrt()


def _gaussian(numbers: Tensor) -> PartReference:
    """Fit ``(N, D)``; a number that hardly varies gets a share of what the others do, lest it count most."""
    count, size = numbers.shape
    center, scale = numbers.mean(dim=0), numbers.std(dim=0)
    scale = scale + 0.01 * scale.mean() + 1e-6
    scaled = (numbers - center) / scale
    # The eigenvectors of the smaller of the two matrices of products give the axes.
    rank = max(1, min(MOST_AXES, count // IMAGES_PER_AXIS, size - 1))
    values, vectors = torch.linalg.eigh((scaled @ scaled.T if count < size else scaled.T @ scaled).double() / count)
    spread, vectors = values[-rank:].flip(0).float(), vectors[:, -rank:].flip(1).float()
    axes = F.normalize(scaled.T @ vectors if count < size else vectors, dim=0).T
    total = scaled.square().sum() / count
    rest = ((total - spread.sum()) / max(1, size - rank)).clamp(min=1e-3)
    zero = torch.zeros(())
    return PartReference(center, scale, axes, spread + rest, rest, zero, zero + 1, center)
