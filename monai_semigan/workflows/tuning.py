# SPDX-License-Identifier: Apache-2.0
"""Find a bundle's steps of inversion and its limits on validation cases, and store them in it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.devices import choose_device
from monai_semigan.domains.base import IMAGE
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.case import score_label
from monai_semigan.files import read_json
from monai_semigan.io.datalist import MAX_BYTES, Datalist, DatalistFile, Entry, load_datalist
from monai_semigan.io.label_file import read_label
from monai_semigan.io.label_volume import read_label_volume
from monai_semigan.segmentation.ood_fit import FEWEST_IMAGES
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.settings import read_settings
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.calibration_learning import LearnedExpectation
from monai_semigan.workflows.limits import (
    ENOUGH_CASES,
    Limits,
    ScoredCase,
    describe_limits,
    limits_of,
    store_monai_steps,
)
from monai_semigan.workflows.reading import read
from monai_semigan.workflows.trust_learning import trust_of

__all__ = ["Limits", "StepCount", "TuneResult", "tune"]

STEP_COUNTS = (0, 5, 10, 15, 20, 30, 50)
"""Tried by default."""

TOLERANCE = 0.001
"""Dice that fewer steps may cost; a tenth of what two trainings of one network differ by."""


@dataclass(frozen=True)
class StepCount:
    """What one number of steps gives.

    Attributes:
        steps: The number.
        dice: Mean over classes and cases.
        limits: By modality; of single images one, under ``image``.
        seconds: Wall time per case.
    """

    steps: int
    dice: float
    limits: Mapping[str, Limits]
    seconds: float


@dataclass(frozen=True)
class TuneResult:
    """All numbers of steps tried, and the one to use.

    Attributes:
        rows: By number of steps.
        direct_share: Weight of the direct route that was chosen; None for a network without one.
        steps: The fewest whose Dice is within `TOLERANCE` of the best.
        limits: Those of these steps.
        stored_steps: What the bundle said before, by modality.
        num_cases: Validation images or volumes.
        warnings: Why the limits may say little.
    """

    rows: tuple[StepCount, ...]
    direct_share: float | None
    steps: int
    limits: Mapping[str, Limits]
    stored_steps: Mapping[str, int]
    num_cases: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        return asdict(self)


def tune(
    bundle: PathLike,
    datalist: PathLike,
    *,
    steps: Sequence[int] = STEP_COUNTS,
    write: bool = False,
    device: str = "auto",
    batch_size: int = 8,
    progress: Progress | None = None,
) -> TuneResult:
    """Run the inversion with several numbers of steps on a data list's validation cases.

    Args:
        bundle: A shipped bundle's name, or a bundle folder.
        datalist: Data list with validation images, or for a bundle for volumes with ``volumes.validation``.
        steps: Numbers of steps to try.
        write: Store the weight of the direct route (`direct_share`), steps, limits and what the expected Dice is worth
            (`calibration_learning`) in the bundle, in ``configs/metadata.json``, and the steps in
            ``configs/inference.json`` too if MONAI's runner is given them there; and what its images are like, see
            `ood_learning`.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch_size: Images or slices at once.
        progress: Called with the cases done and their number, over all numbers of steps.

    Raises:
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        InputError: There are no validation cases, or one cannot be read.
        ConfigError: ``steps`` is empty or holds a negative number.
        OutputError: The bundle cannot be written.
    """
    counts = sorted(set(steps))
    if not counts or counts[0] < 0:
        raise ConfigError(f"`steps` must be one or more numbers >= 0, got {list(steps)}.")
    opened, data = open_bundle(bundle), load_datalist(datalist)
    entries = _volumes(data) if opened.takes_volumes else data.validation
    if not entries:
        kind = "volumes (`volumes.validation`)" if opened.takes_volumes else "images"
        raise InputError(f"`{datalist}` must have validation {kind}, got none.")
    network = load_network(opened, device=choose_device(device))
    trust = trust_of(opened, network, data, with_references=write)
    opened = trust.bundle
    rows, done, total = [], 0, len(counts) * len(entries)
    for count in counts:
        options = SegmenterOptions(steps=count, batch_size=batch_size)
        segmenter = bundle_segmenter(_without_limits(opened), network=network, options=options)
        started, cases = time.perf_counter(), []
        for start in range(0, len(entries), segmenter.sources_at_once):
            batch = entries[start : start + segmenter.sources_at_once]
            cases += _segmented(segmenter, batch, is_binary=data.is_binary)
            done += len(batch)
            if progress is not None:
                progress(done, total)
        seconds = (time.perf_counter() - started) / len(cases)
        limits = _raised(limits_of(cases), trust.expectations)
        rows.append(StepCount(count, fmean(case.dice for case in cases), limits, seconds))
    best = max(row.dice for row in rows)
    chosen = next(row for row in rows if row.dice >= best - TOLERANCE)
    warnings = list(_warnings(opened, chosen.limits))
    if write:
        if not trust.references:
            warnings.append(
                f"Fewer than {FEWEST_IMAGES} images do not tell what is out of distribution: what the bundle says of "
                "it stays."
            )
        trust.store(lambda metadata: describe_limits(metadata, opened, chosen.steps, chosen.limits))
        store_monai_steps(opened, chosen.steps, chosen.limits)
    return TuneResult(
        tuple(rows),
        trust.direct_share,
        chosen.steps,
        chosen.limits,
        {name: chain.inversion.steps for name, chain in opened.chains.items()},
        len(entries),
        tuple(warnings),
    )


def _raised(limits: Mapping[str, Limits], learned: Mapping[str, LearnedExpectation]) -> dict[str, Limits]:
    """Raise limits of expected Dice to where labels are to be doubted."""
    return {
        name: limit
        if limit.min_expected_dice is None or name not in learned
        else replace(limit, min_expected_dice=learned[name].raised(limit.min_expected_dice))
        for name, limit in limits.items()
    }


def _without_limits(bundle: Bundle) -> Bundle:
    """Call no case unlike: what the bundle expects of the most unusual ones is to count as well."""
    chains = {name: replace(chain, max_image_error=math.inf) for name, chain in bundle.chains.items()}
    return replace(bundle, chains=chains, ood=None)


def _volumes(data: Datalist) -> tuple[Entry, ...]:
    """Return the validation volumes of a data list, with labels."""
    content = read_settings(DatalistFile, read_json(data.path, MAX_BYTES), str(data.path), error=InputError)
    entries = content.volumes.validation if content.volumes is not None else ()
    if not all(entry.label for entry in entries):
        raise InputError(f'Every entry of `volumes.validation` in `{data.path}` must have a "label".')
    root = data.path.parent / content.root
    return tuple(Entry(image=root / entry.image, label=root / entry.label) for entry in entries if entry.label)


def _segmented(segmenter: Segmenter, entries: Sequence[Entry], *, is_binary: bool) -> list[ScoredCase]:
    """Segment cases as ``semigan segment`` does, and score them as ``semigan evaluate`` does."""
    kind = "volume" if segmenter.takes_volumes else "image"
    results = segmenter.segment_all([read(entry.image, kind=kind) for entry in entries])  # type: ignore[arg-type]
    cases = []
    for entry, result in zip(entries, results, strict=True):
        assert entry.label is not None  # the data list's own check
        if segmenter.takes_volumes:
            reference = read_label_volume(entry.label).voxels
            reference = (reference > 0).astype(np.uint8) if is_binary else reference
        else:
            reference = read_label(entry.label, binary=is_binary)
        score = score_label(
            result.label,
            reference,
            ignore=read_label(entry.ignore, binary=True).astype(bool) if entry.ignore else None,
            num_classes=len(segmenter.model.class_names),
        )
        record = result.record
        cases.append(
            ScoredCase(
                record.modality or IMAGE, score.mean_dice, record.lowest_expected_dice, record.reconstruction.encoder
            )
        )
    return cases


def _warnings(bundle: Bundle, limits: Mapping[str, Limits]) -> tuple[str, ...]:
    few = [
        f"{part.num_cases} {'cases' if name == IMAGE else f'{name} cases'} give no percentile: the limits say little "
        f"below {ENOUGH_CASES}."
        for name, part in limits.items()
        if part.num_cases < ENOUGH_CASES
    ]
    missing = [f"No {name} case was tried: its limits are as before." for name in bundle.chains if name not in limits]
    return (*few, *missing)
