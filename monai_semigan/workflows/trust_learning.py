# SPDX-License-Identifier: Apache-2.0
"""Learn what a bundle's label and its numbers of trust need, and leave its steps of inversion and other limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import FEWEST_IMAGES, MOST_IMAGES
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.calibration_learning import (
    LearnedExpectation,
    calibrated,
    describe_calibrations,
    learned_expectations,
)
from monai_semigan.workflows.direct_share import describe_share, with_best_share
from monai_semigan.workflows.ood_learning import has_enough, known_images, learned_references
from monai_semigan.workflows.trust_storing import store_trust

__all__ = ["LearnedTrust", "Trust", "learn_trust", "trust_of"]


@dataclass(frozen=True)
class Trust:
    """All that is learned of a trained bundle, before any of it is stored.

    Attributes:
        bundle: With the weight of its direct route and its calibrations.
        direct_share: That weight; None for a network without a direct route.
        expectations: What the expected Dice is worth, by chain.
        references: What its images are like, by chain; empty where they were too few or not asked for.
    """

    bundle: Bundle
    direct_share: float | None
    expectations: Mapping[str, LearnedExpectation]
    references: Mapping[str, OodReference]

    def store(self, describe: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """Store it in the bundle's folder, as `store_trust` does and raises.

        Args:
            describe: Changes the content of ``configs/metadata.json`` last, in place.
        """

        def describe_all(metadata: dict[str, Any]) -> None:
            describe_share(metadata, self.direct_share)
            describe_calibrations(metadata, self.bundle)
            describe(metadata)

        store_trust(self.bundle.root, self.references, describe_all)


def trust_of(
    bundle: Bundle,
    network: SemiGanSegmenter,
    data: Datalist,
    *,
    with_references: bool = True,
    progress: Progress | None = None,
) -> Trust:
    """Learn all that a bundle's label and its numbers of trust need, and write nothing.

    Args:
        bundle: Trained.
        network: Its own; its direct route gets the weight that is chosen.
        data: The data list that it was trained on: labelled, unlabelled and validation images.
        with_references: Learn what its images are like, which reads those of the training, if they are enough.
        progress: Called with the images done and their number, several times over.

    Raises:
        InputError: An image cannot be read.
    """
    bundle, share = with_best_share(bundle, network, data)
    expectations = learned_expectations(bundle, network, data, progress=progress)
    is_told = with_references and has_enough(data)
    references = learned_references(bundle, network, data, progress=progress) if is_told else {}
    return Trust(calibrated(bundle, expectations), share, expectations, references)


@dataclass(frozen=True)
class LearnedTrust:
    """What was learned.

    Attributes:
        num_known: Images of the training that were looked at; 0 where they were too few.
        num_validation: Images that were not trained on.
        direct_share: Weight of the direct route that was chosen; None for a network without one.
        chains: Modalities that have an out-of-distribution reference now; of single images ``image``.
        calibrations: What their expected Dice is worth, likewise.
    """

    num_known: int
    num_validation: int
    direct_share: float | None
    chains: tuple[str, ...]
    calibrations: Mapping[str, DiceCalibration]


def learn_trust(
    bundle: PathLike,
    datalist: PathLike,
    *,
    write: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> LearnedTrust:
    """Learn the weight of a bundle's direct route, which images it knows and what its expected Dice is worth.

    Args:
        bundle: A shipped bundle's name, or a bundle folder.
        datalist: The data list that it was trained on: labelled, unlabelled and validation images.
        write: Store it in the bundle, in ``models/ood.pt`` and ``configs/metadata.json``.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called with the images done and their number, several times over.

    Raises:
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        InputError: There are too few images for either, or one cannot be read.
        OutputError: The bundle cannot be written.
    """
    opened, data = open_bundle(bundle), load_datalist(datalist, warn=False)
    network = load_network(opened, device=choose_device(device))
    if not has_enough(data) and not data.validation:
        raise InputError(
            f"The data list must have {FEWEST_IMAGES} training images or more, or validation images, got "
            f"{len(known_images(data))} and none."
        )
    trust = trust_of(opened, network, data, progress=progress)
    if write:
        trust.store()
    num_known = min(len(known_images(data)), MOST_IMAGES) if trust.references else 0
    calibrations = {name: found.calibration for name, found in trust.expectations.items()}
    return LearnedTrust(num_known, len(data.validation), trust.direct_share, tuple(trust.references), calibrations)
