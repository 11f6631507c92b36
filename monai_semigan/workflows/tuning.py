# SPDX-License-Identifier: Apache-2.0
"""Find a bundle's steps of inversion and its limit of expected Dice on validation images, and store both in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.case import score_case
from monai_semigan.files import write_json
from monai_semigan.io.datalist import Entry, load_datalist
from monai_semigan.io.image_file import read_image, require_color, require_grey
from monai_semigan.io.label_file import read_label
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.batch import segment_batch
from monai_semigan.segmentation.expected_dice import expected_dice
from monai_semigan.types import PathLike, Progress

__all__ = ["StepCount", "TuneResult", "tune"]

STEP_COUNTS = (0, 5, 10, 15, 20, 30, 50)
"""Tried by default."""

TOLERANCE = 0.001
"""Dice that fewer steps may cost; a tenth of what two trainings of one network differ by."""

UNCERTAIN_SHARE = 0.05
"""Share of validation images that the limit of expected Dice calls uncertain: rare at home, so that it is looked at."""


@dataclass(frozen=True)
class StepCount:
    """What one number of steps gives.

    Attributes:
        steps: The number.
        dice: Mean over classes and images.
        min_expected_dice: Expected Dice of its most uncertain class that all but 5 % of the images have.
        seconds: Wall time per image.
    """

    steps: int
    dice: float
    min_expected_dice: float
    seconds: float


@dataclass(frozen=True)
class TuneResult:
    """All numbers of steps tried, and the one to use.

    Attributes:
        rows: By number of steps.
        steps: The fewest whose Dice is within `TOLERANCE` of the best.
        min_expected_dice: That of these steps.
        stored_steps: What the bundle said before.
        num_images: Validation images.
    """

    rows: tuple[StepCount, ...]
    steps: int
    min_expected_dice: float
    stored_steps: int
    num_images: int

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
    """Run the inversion with several numbers of steps on a data list's validation images.

    Args:
        bundle: A shipped bundle's name, or a bundle folder, for single images.
        datalist: Data list with validation images.
        steps: Numbers of steps to try.
        write: Store the chosen number in the bundle, in ``configs/metadata.json``, and in ``configs/inference.json``
            for MONAI's runner; and the expected Dice below which a label is uncertain.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch_size: Images optimized at once.
        progress: Called with the images done and their number, over all numbers of steps.

    Raises:
        BundleError: The bundle is for volumes, incomplete, altered, or not to be trusted.
        InputError: There are no validation images, or one cannot be read.
        ConfigError: ``steps`` is empty or holds a negative number.
        OutputError: The bundle cannot be written.
    """
    counts = sorted(set(steps))
    if not counts or counts[0] < 0:
        raise ConfigError(f"`steps` must be one or more numbers >= 0, got {list(steps)}.")
    opened, data = open_bundle(bundle), load_datalist(datalist)
    settings = opened.inversion
    if not data.validation:
        raise InputError(f"`{datalist}` must have validation images, got none.")
    network = load_network(opened, device=choose_device(device))
    rows, done, total = [], 0, len(counts) * len(data.validation)
    for count in counts:
        started = time.perf_counter()
        scores: list[tuple[float, float]] = []
        for start in range(0, len(data.validation), batch_size):
            entries = data.validation[start : start + batch_size]
            scores += _scores(entries, opened, network, replace(settings, steps=count), is_binary=data.is_binary)
            done += len(entries)
            if progress is not None:
                progress(done, total)
        dice, expected = np.array(scores).T
        seconds = (time.perf_counter() - started) / len(scores)
        rows.append(StepCount(count, float(dice.mean()), float(np.quantile(expected, UNCERTAIN_SHARE)), seconds))
    best = max(row.dice for row in rows)
    chosen = next(row for row in rows if row.dice >= best - TOLERANCE)
    if write:
        _store(opened.root, chosen)
    return TuneResult(tuple(rows), chosen.steps, chosen.min_expected_dice, settings.steps, len(data.validation))


def _scores(
    entries: Sequence[Entry],
    bundle: Bundle,
    network: SemiGanSegmenter,
    settings: InversionSettings,
    *,
    is_binary: bool,
) -> Iterator[tuple[float, float]]:
    """Segment a batch and yield, per image, the mean Dice over classes and the lowest expected one."""
    require = require_grey if bundle.network.get("image_channels", 1) == 1 else require_color
    sources = [require(read_image(entry.image)) for entry in entries]
    prepared = [
        bundle.preset.prepare(source.pixels, photometric=source.photometric, voi_window=source.voi_window)
        for source in sources
    ]
    images = torch.from_numpy(np.stack([image for image, _ in prepared])).to(network.device)
    result = segment_batch(network, images, settings)
    logits = result.label_logits.cpu().numpy()
    expected = expected_dice(result.overlap).nan_to_num(1).amin(dim=1).tolist()  # of the classes that were found
    for entry, (_, geometry), scores, lowest in zip(entries, prepared, logits, expected, strict=True):
        assert entry.label is not None  # the data list's own check
        cases = score_case(
            bundle.components.apply(geometry.scores_to_label(scores)),
            read_label(entry.label, binary=is_binary),
            case=entry.image.stem,
            patient=entry.patient_id or entry.image.stem,
            ignore=read_label(entry.ignore, binary=True).astype(bool) if entry.ignore else None,
            num_classes=len(bundle.class_names),
        )
        yield fmean(case.dice for case in cases), lowest


def _store(root: Path, chosen: StepCount) -> None:
    metadata_path, inference_path = (root / "configs" / name for name in ("metadata.json", "inference.json"))
    metadata = json.loads(metadata_path.read_text(encoding="utf-8"))
    metadata["semigan"]["inversion"]["steps"] = chosen.steps
    if 0 < chosen.min_expected_dice <= 1:
        metadata["semigan"]["min_expected_dice"] = round(chosen.min_expected_dice, 3)
    if inference_path.is_file():
        inference = json.loads(inference_path.read_text(encoding="utf-8"))
        if "steps" in inference:
            write_json(inference_path, inference | {"steps": chosen.steps})
    write_json(metadata_path, metadata)
