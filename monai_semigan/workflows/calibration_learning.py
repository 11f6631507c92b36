# SPDX-License-Identifier: Apache-2.0
"""Learn what a bundle's expected Dice is worth, on validation images as they are and disturbed, and store it.

The same images tell below which expected Dice a label is to be doubted: four fifths of the bad labels lie below, unless
that would doubt more than a tenth of the good labels of images as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.domains.base import IMAGE
from monai_semigan.io.datalist import Datalist, Entry
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.calibration_fit import fit_calibration
from monai_semigan.segmentation.expected_dice import DiceCalibration, expected_dice, expected_overlap
from monai_semigan.settings import to_json
from monai_semigan.types import Progress
from monai_semigan.workflows.disturbances import AS_THEY_ARE, DISTURBANCES, disturbed
from monai_semigan.workflows.learned_chains import learned_chains
from monai_semigan.workflows.limits import rounded_down
from monai_semigan.workflows.training_data import labelled_pool

__all__ = [
    "BAD_DICE",
    "LearnedExpectation",
    "calibrated",
    "describe_calibrations",
    "expected_and_true",
    "learned_expectations",
]

OWN_SHARE = 0.3
"""Weight of the images as they are; the disturbances share the rest."""

MOST_CASES = 200
"""Of more validation cases some are taken, evenly: two numbers need no more."""

BAD_DICE = 0.8
"""A label whose Dice is lower should have been doubted."""

DOUBTED_BAD, DOUBTED_GOOD = 0.8, 0.1
"""Shares of bad labels that are to be doubted, and of good ones that may be."""

ENOUGH_BAD = 10
"""Bad labels; of fewer no share can be told."""

BATCH = 16


@dataclass(frozen=True)
class LearnedExpectation:
    """What the expected Dice of a chain is worth.

    Attributes:
        calibration: Its correction.
        doubted_below: Corrected expected Dice below which a label is to be doubted; None if too few were bad to tell.
    """

    calibration: DiceCalibration
    doubted_below: float | None = None

    def raised(self, limit: float) -> float:
        """Return a limit of expected Dice, raised to where labels are to be doubted."""
        return max(limit, self.doubted_below or 0.0)


def learned_expectations(
    bundle: Bundle, network: SemiGanSegmenter, data: Datalist, *, progress: Progress | None = None
) -> dict[str, LearnedExpectation]:
    """Find what the expected Dice of each of `learned_chains` is worth; none without validation images.

    Of a bundle for volumes the slices of a patient are one case.

    Args:
        bundle: Trained.
        network: Its own.
        data: Its validation images are used, prepared as for the training.
        progress: Called with the images done and their number, for each modality.
    """
    entries, cases = _chosen(data.validation, by_patient=bundle.takes_volumes)
    if not entries:
        return {}
    found = {}
    for name, preset, shown in learned_chains(bundle):
        pool = labelled_pool(data, entries, preset, bundle.network.num_classes)
        image, target = shown(pool.images.float(), seed=1), pool.targets.float()
        expected, true, weights = [], [], []
        for done, (kind, changed, labels) in enumerate(disturbed(image, target)):
            pairs = expected_and_true(network, changed, labels, cases)
            share = OWN_SHARE if kind == AS_THEY_ARE else (1 - OWN_SHARE) / len(DISTURBANCES)
            expected.append(pairs[:, 0])
            true.append(pairs[:, 1])
            weights.append(np.full(len(pairs), share / max(len(pairs), 1)))
            if progress is not None:
                progress((done + 1) * len(image), (len(DISTURBANCES) + 1) * len(image))
        if sum(map(len, true)):
            calibration = fit_calibration(*(np.concatenate(part) for part in (expected, true, weights)))
            found[name] = LearnedExpectation(calibration, _doubted_below(calibration, expected, true))
    return found


def _doubted_below(
    calibration: DiceCalibration, expected: Sequence[np.ndarray], true: Sequence[np.ndarray]
) -> float | None:
    """Find the limit from what was expected and what is true by disturbance; the first is none."""
    corrected, dice = calibration(np.concatenate(expected)), np.concatenate(true)
    as_they_are = np.arange(len(dice)) < len(true[0])
    bad, good = corrected[dice < BAD_DICE], corrected[as_they_are & (dice >= BAD_DICE)]
    if len(bad) < ENOUGH_BAD or not len(good):
        return None
    return float(min(np.quantile(bad, DOUBTED_BAD), np.quantile(good, DOUBTED_GOOD)))


@torch.no_grad()
def expected_and_true(
    network: SemiGanSegmenter, image: Tensor, target: Tensor, cases: Sequence[int] | None = None
) -> np.ndarray:
    """Segment prepared images by the encoder alone; return what Dice is expected, uncorrected, and which is true.

    Args:
        network: Trained.
        image: ``(N, C, S, S)`` in [-1, 1].
        target: ``(N, K, S, S)`` in [0, 1].
        cases: Of each image the number of its case; None where each is one.

    Returns:
        ``(M, 2)``, a row for each class but the background of each case, left out where the class was not drawn.
    """
    overlaps, counts = [], []
    for start in range(0, len(image), BATCH):
        part, wanted = (values[start : start + BATCH].to(network.device) for values in (image, target))
        _, logits = network.generator.synthesis(network.encoder(part))
        drawn, true = logits.argmax(dim=1), wanted.argmax(dim=1)
        classes = range(1, logits.shape[1])
        both = torch.stack([((drawn == at) & (true == at)).sum(dim=(1, 2)) for at in classes], dim=1)
        sizes = torch.stack([(drawn == at).sum(dim=(1, 2)) + (true == at).sum(dim=(1, 2)) for at in classes], dim=1)
        overlaps.append(expected_overlap(logits, logits).double().cpu())
        counts.append(torch.stack([2 * both, sizes], dim=-1).double().cpu())
    of = torch.arange(len(image)) if cases is None else torch.tensor(cases)
    sums = [torch.zeros(int(of.max()) + 1, *part[0].shape[1:], dtype=torch.float64) for part in (overlaps, counts)]
    expected, true = (
        total.index_add_(0, of, torch.cat(part)) for total, part in zip(sums, (overlaps, counts), strict=True)
    )
    is_drawn = expected[..., 1] > 0
    return torch.stack([expected_dice(expected)[is_drawn], expected_dice(true)[is_drawn]], dim=1).numpy()


def calibrated(bundle: Bundle, learned: Mapping[str, LearnedExpectation]) -> Bundle:
    """Return a bundle that expects so. Its limits of expected Dice are moved along, and raised; other chains stay."""
    chains = dict(bundle.chains)
    for name, found in learned.items():
        chain = chains[name]
        limit = chain.min_expected_dice
        if limit is not None:
            raw = limit if chain.calibration is None else chain.calibration.undone(limit)
            limit = found.raised(float(found.calibration(raw)))
        chains[name] = replace(chain, calibration=found.calibration, min_expected_dice=limit)
    return replace(bundle, chains=chains)


def describe_calibrations(metadata: dict[str, Any], bundle: Bundle) -> None:
    """Change calibrations, and limits of expected Dice, in a description to those of a bundle."""
    block = metadata["semigan"]
    known = {name: to_json(chain.calibration) for name, chain in bundle.chains.items() if chain.calibration}
    limits = {
        name: rounded_down(chain.min_expected_dice) for name, chain in bundle.chains.items() if chain.min_expected_dice
    }
    if known:
        block["dice_calibration"] = known if bundle.takes_volumes else known[IMAGE]
    if limits.keys() == bundle.chains.keys():
        block["min_expected_dice"] = limits if bundle.takes_volumes else limits[IMAGE]


def _chosen(entries: Sequence[Entry], *, by_patient: bool) -> tuple[tuple[Entry, ...], list[int]]:
    """Return labelled images of at most `MOST_CASES` cases, and the number of the case of each."""
    named = [
        (entry, entry.patient_id if by_patient and entry.patient_id else f"#{at}")
        for at, entry in enumerate(entries)
        if entry.label is not None
    ]
    names = list(dict.fromkeys(name for _, name in named))
    step = max(len(names) / MOST_CASES, 1.0)
    kept = {names[int(at * step)]: at for at in range(min(len(names), MOST_CASES))}
    chosen = [(entry, kept[name]) for entry, name in named if name in kept]
    return tuple(entry for entry, _ in chosen), [case for _, case in chosen]
