# SPDX-License-Identifier: Apache-2.0
"""Learn from a data list which images a bundle knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.io.datalist import Datalist, Entry
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import FEWEST_IMAGES, MOST_IMAGES, learn_reference
from monai_semigan.types import Progress
from monai_semigan.workflows.learned_chains import learned_chains
from monai_semigan.workflows.training_data import image_pool

__all__ = ["has_enough", "known_images", "learned_references"]


def learned_references(
    bundle: Bundle, network: SemiGanSegmenter, data: Datalist, *, progress: Progress | None = None
) -> dict[str, OodReference]:
    """Learn a reference for each of `learned_chains`.

    Args:
        bundle: Trained.
        network: Its own.
        data: The data list that it was trained on: labelled, unlabelled and validation images.
        progress: Called with the images done and their number, for each modality.
    """
    references = {}
    known = tuple(_evenly(known_images(data), MOST_IMAGES))
    for name, preset, shown in learned_chains(bundle):
        images = image_pool(known, preset).images.float() if known else torch.zeros(0)
        home = image_pool(data.validation, preset).images.float() if data.validation else images[:0]
        references[name] = learn_reference(
            network, shown(images, seed=1), shown(home, seed=2), has_upright=preset.has_upright, progress=progress
        )
    return references


def has_enough(data: Datalist) -> bool:
    """Whether a data list has enough images to tell what is out of distribution."""
    return len(known_images(data)) >= FEWEST_IMAGES


def known_images(data: Datalist) -> list[Entry]:
    """Return the images that were trained on, each once."""
    by_path = {entry.image: entry for entry in (*data.labelled, *data.unlabelled)}
    return [by_path[path] for path in sorted(by_path)]


def _evenly(entries: Sequence[Entry], most: int) -> list[Entry]:
    return [entries[at * len(entries) // most] for at in range(most)] if len(entries) > most else list(entries)
