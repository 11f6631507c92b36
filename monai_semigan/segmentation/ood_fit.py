# SPDX-License-Identifier: Apache-2.0
"""Learn an `OodReference` from images that a network knows, and find the distance that parts others from them.

The Gaussians are of most of the known images; what is usual is of those kept apart, validation images among them, and
of the same *mildly changed*: blurred, with noise, with less contrast, with another gamma, as other devices would show
them. Such images must be accepted. The boundary is a logistic regression between known images, also mildly changed, and
the same *made foreign*: inverted, cropped to half, replaced by noise, turned around (Hendrycks, Mazeika, Dietterich
2019, Deep Anomaly Detection with Outlier Exposure; the outliers are made, as a hospital has no others at hand). The
limit lies between the images kept apart, with the validation images, and these made foreign. Where they leave a gap it
is in its middle; where they overlap it is what all but `HOME_SHARE` of the former keep below, so that few images of the
own kind are refused, whatever passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import InputError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.ood import Boundary, OodReference, PartReference
from monai_semigan.segmentation.ood_images import made_foreign, mildly_changed
from monai_semigan.segmentation.ood_parts import image_parts

__all__ = [
    "FEWEST_IMAGES",
    "MOST_IMAGES",
    "learn_reference",
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
"""Of known images kept apart and validation images, these also mildly changed, that may be called unlike."""

FOREIGN_SHARE = 0.05
"""Of the images made foreign, at whose distance the gap to them ends."""

MOST_EXPOSED = 300
"""Known images that the boundary is learned from, each in four mild and a dozen foreign ways."""

WEIGHT_DECAY = 0.01
"""Of the boundary: half a share of foreign images is told by hundreds of numbers, so few may decide alone."""

SITE_MARGIN = 1.25
"""Of the farthest image of a site that a bundle was adapted to, up to which others of it are expected."""

BATCH = 16


@torch.no_grad()
def learn_reference(
    network: SemiGanSegmenter,
    known: Tensor,
    validation: Tensor,
    *,
    has_upright: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> OodReference:
    """Learn what images are like that a network knows.

    Args:
        network: Trained.
        known: Images that it was trained on, ``(M, C, S, S)`` in [-1, 1].
        validation: Images of the same kind that it was not, ``(V, C, S, S)``; without any, the known ones kept apart.
        has_upright: Whether an image that is turned around is of another kind: a chest, not skin.
        seed: Of the changes and the noise.
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
    known = _evenly(known, MOST_IMAGES).float()
    is_apart = torch.arange(len(known)) % KEPT_APART == KEPT_APART - 1
    home = validation.float() if len(validation) else known[is_apart]
    learned_from = known[~is_apart]
    exposed = _evenly(learned_from, MOST_EXPOSED)
    sets = [learned_from, known[is_apart], home]
    sets += [torch.cat(mildly_changed(images, generator)) for images in (home, exposed)]
    sets += [torch.cat(made_foreign(images, generator, has_upright=has_upright)) for images in (home, exposed)]
    total, done = sum(map(len, sets)), 0
    measured = []
    for images in sets:
        measured.append(_measured(network, images))
        done += len(images)
        if progress is not None:
            progress(done, total)
    learned, apart, own, mild, mild_exposed, foreign, foreign_exposed = measured
    parts = {name: _part(learned[name], torch.cat([apart[name], own[name]]), mild[name]) for name in learned}
    size = sum(part.num_features for part in parts.values())
    reference = OodReference(parts, Boundary(torch.zeros(size), torch.zeros(())), 1.0)
    boundary = _boundary(*(reference.features(numbers) for numbers in (learned, mild_exposed, foreign_exposed)))
    at_home = [apart, own, mild]
    reference = replace(reference, boundary=_scaled(boundary, reference, at_home))
    accepted = torch.cat([_distance(reference, numbers) for numbers in at_home]).quantile(1 - HOME_SHARE)
    others = _distance(reference, foreign).quantile(FOREIGN_SHARE)
    limit = (accepted * others).sqrt() if others > accepted else accepted
    return replace(reference, limit=max(float(limit), LEAST_STEP))


@torch.no_grad()
def score_images(reference: OodReference, network: SemiGanSegmenter, images: Tensor) -> Tensor:
    """Return the out-of-distribution scores of prepared images ``(N, C, S, S)`` in [-1, 1], ``(N,)`` in [0, 1]."""
    return reference.score(reference.steps(_measured(network, images.float())))


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


def _evenly(images: Tensor, most: int) -> Tensor:
    return images[torch.linspace(0, len(images) - 1, min(len(images), most)).long()]


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
    return reference.distance(reference.steps(numbers))


def _boundary(known: Tensor, mild: Tensor, foreign: Tensor) -> Boundary:
    """Part features of known images, as they are and mildly changed, from foreign ones, ``(N, F)`` each."""
    features = torch.cat([known, mild, foreign])
    is_foreign = torch.arange(len(features)) >= len(known) + len(mild)
    share = torch.where(is_foreign, 1 / len(foreign), 0.5 / len(mild))
    share[: len(known)] = 0.5 / len(known)
    mean, deviation = features.mean(dim=0), features.std(dim=0) + 1e-3
    scaled, wanted = (features - mean) / deviation, is_foreign.float()
    weights, bias = torch.zeros(features.shape[1]), torch.zeros(())
    with torch.enable_grad():
        weights.requires_grad_(), bias.requires_grad_()
        optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            wrong = F.binary_cross_entropy_with_logits(scaled @ weights + bias, wanted, reduction="none")
            value = (share * wrong).sum() + WEIGHT_DECAY * weights.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights, bias = weights.detach(), bias.detach()
    return Boundary(weights / deviation, bias - (weights * mean / deviation).sum())


def _scaled(boundary: Boundary, reference: OodReference, home: Sequence[dict[str, Tensor]]) -> Boundary:
    """Make the median at home 0, and what is rare there as far as the Gaussians say of what is rare to them."""
    beyond = torch.cat([reference.features(numbers) @ boundary.weights + boundary.bias for numbers in home])
    distance = torch.cat([_distance(reference, numbers) for numbers in home])
    median, rare = beyond.quantile(0.5), beyond.quantile(1 - HOME_SHARE)
    factor = float(distance.quantile(1 - HOME_SHARE)) / (rare - median).clamp(min=1e-6)
    return Boundary(boundary.weights * factor, (boundary.bias - median) * factor)


def _part(learned: Tensor, usual: Tensor, mild: Tensor) -> PartReference:
    """Learn a part's Gaussian, and what is usual and what is rare of it; ``(N, D)`` each."""
    part = _gaussian(learned)
    distance = part.log_distance(usual)
    median = distance.quantile(0.5)
    rare = torch.maximum(distance.quantile(1 - RARE_SHARE), part.log_distance(mild).quantile(1 - MILD_SHARE))
    return replace(part, usual=median, step=(rare - median).clamp(min=LEAST_STEP))


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
