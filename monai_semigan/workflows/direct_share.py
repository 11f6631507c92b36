# SPDX-License-Identifier: Apache-2.0
"""Choose the weight of a bundle's direct route on validation images, as they are and disturbed, and store it.

The direct route is often better on images like those that it learned from, the generator's on others; so both kinds
count, each for one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.bundle.editing import edited_metadata
from monai_semigan.io.datalist import Datalist
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.training.pool_scores import mean_dice
from monai_semigan.workflows.disturbances import AS_THEY_ARE, disturbed
from monai_semigan.workflows.learned_chains import learned_chains
from monai_semigan.workflows.training_data import labelled_pool

__all__ = ["SHARES", "best_share", "describe_share", "share_scores", "store_share", "with_best_share"]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Tried; the Dice changes slowly between them."""

BATCH = 16


def share_scores(bundle: Bundle, network: SemiGanSegmenter, data: Datalist) -> dict[float, float]:
    """Return the mean Dice of the encoder's labels by weight of the direct route; empty without such a route.

    Args:
        bundle: Trained. Of one for volumes, validation slices also count under random looks of its other modalities.
        network: Its own.
        data: Its validation images are used, prepared as for the training.
    """
    encoder = network.encoder
    if not isinstance(encoder, Encoder) or encoder.direct is None or not data.validation:
        return {}
    by_chain: list[Mapping[float, float]] = []
    for _, preset, shown in learned_chains(bundle):
        pool = labelled_pool(data, data.validation, preset, bundle.network.num_classes)
        by_chain.append(_scores(network, shown(pool.images.float(), seed=1), pool.targets.float()))
    return {share: fmean(scores[share] for scores in by_chain) for share in SHARES}


def with_best_share(bundle: Bundle, network: SemiGanSegmenter, data: Datalist) -> tuple[Bundle, float | None]:
    """Choose the weight, set it in the network, and return the bundle with it; None without a direct route."""
    scores = share_scores(bundle, network, data)
    if not scores:
        return bundle, None
    share = best_share(scores)
    assert isinstance(network.encoder, Encoder), "others have no direct route"
    network.encoder.direct_share = share
    return replace(bundle, network=replace(bundle.network, direct_share=share)), share


def best_share(scores: Mapping[float, float]) -> float:
    """Return the weight with the highest Dice; of equal ones the least."""
    return max(sorted(scores), key=scores.__getitem__)


def store_share(root: Path, share: float) -> None:
    """Write the weight into a bundle's description.

    Raises:
        OutputError: It cannot be written.
    """
    with edited_metadata(root) as metadata:
        describe_share(metadata, share)


def describe_share(metadata: dict[str, Any], share: float | None) -> None:
    """Change the weight in a bundle's description; None leaves it as it is."""
    if share is not None:
        metadata["semigan"]["network"]["direct_share"] = share


def _scores(network: SemiGanSegmenter, image: Tensor, target: Tensor) -> dict[float, float]:
    own: dict[float, float] = {}
    others: dict[float, list[float]] = {share: [] for share in SHARES}
    for kind, changed, labels in disturbed(image, target):
        found = _dice(network, changed, labels)
        if kind == AS_THEY_ARE:
            own = found
        else:
            for share, dice in found.items():
                others[share].append(dice)
    return {share: (own[share] + fmean(others[share])) / 2 for share in SHARES}


@torch.no_grad()
def _dice(network: SemiGanSegmenter, image: Tensor, target: Tensor) -> dict[float, float]:
    """Return the mean Dice by weight; each route is computed once."""
    encoder = network.encoder
    assert isinstance(encoder, Encoder)
    assert encoder.direct is not None
    found: dict[float, list[Tensor]] = {share: [] for share in SHARES}
    for start in range(0, len(image), BATCH):
        part, wanted = (values[start : start + BATCH].to(network.device) for values in (image, target))
        drawn = network.generator.synthesis(encoder.drawn(part))[1]
        direct = encoder.direct(part)
        for share in SHARES:
            found[share].append(mean_dice(drawn.lerp(direct, share), wanted))
    return {share: float(torch.cat(parts).mean()) for share, parts in found.items()}
