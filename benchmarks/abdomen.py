# SPDX-License-Identifier: Apache-2.0
"""Dice per patient of a bundle for axial slices: pictures of CT slices, and whole volumes of any modality.

    python -m benchmarks.abdomen BUNDLE --slices DATALIST --sets validation test_in --steps 0 50
    python -m benchmarks.abdomen BUNDLE --volumes CSV --class 1 --steps 0 50

Slices are pooled over a patient: twice the common pixels over all pixels of both; expected Dice is their mean, weighted
by the label's pixels. A bundle's rules for pieces are for volumes alone. ``CSV`` has the columns ``patient_id``,
``image``, ``label`` (files beside it) and optionally ``role``, of which only ``test_ood`` is used. Settings of the
inversion can be replaced with ``--set name=value``; choose them on the validation set alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy import changed_bundle, entries_of, model_arguments, segmented, segmenters
from benchmarks.trust import expected_of, trust_numbers, trust_text
from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.domains.base import IMAGE, Domain
from monai_semigan.evaluation.overlap import dice
from monai_semigan.geometry.orientation import DISPLAY_AXCODES, reorient_to
from monai_semigan.io.datalist import Entry, load_datalist
from monai_semigan.io.label_file import read_label
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.components import ComponentRules
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality
from monai_semigan.transforms.square import SquareGeometry
from monai_semigan.workflows.reading import read


@dataclass(frozen=True)
class LookPreset:
    """A preparation after which an image looks as another modality might show it."""

    preset: Any

    @property
    def channels(self) -> int:
        """As of the preset."""
        return int(self.preset.channels)

    def prepare(self, pixels: np.ndarray, **options: Any) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare, then draw a look."""
        image, geometry = self.preset.prepare(pixels, **options)
        return cross_modality(torch.from_numpy(image)[None], CrossModalitySettings())[0].numpy(), geometry


def slice_bundle(bundle: Bundle, *, with_looks: bool) -> Bundle:
    """Turn a bundle for volumes into one for pictures of CT slices, whose expected Dice is not corrected.

    With looks, the slices look as another modality might show them, and are refined as MR is.
    """
    chain = bundle.chains["CT"]
    if with_looks:
        chain = replace(bundle.chains["MR"], preset=LookPreset(chain.preset))
    chain = replace(chain, calibration=DiceCalibration(offset=0.0, slope=1.0))
    domain = Domain(name="slices", presets={IMAGE: type(chain.preset)})
    return replace(bundle, domain=domain, chains={IMAGE: chain}, components=ComponentRules(), ood=None)


def score_slices(
    entries: Sequence[Entry], segmenter: Segmenter, calibration: DiceCalibration | None
) -> dict[str, tuple[float, float]]:
    """Return expected Dice, corrected when pooled over a patient's slices, and Dice per patient, likewise pooled."""
    corrected = calibration or float
    torch.manual_seed(0)  # looks are random
    sums: dict[str, np.ndarray] = {}
    results = segmented(segmenter, (read(entry.image, kind="image") for entry in entries))
    for entry, result in zip(entries, results, strict=True):
        assert entry.label is not None
        label, reference = result.label == 1, read_label(entry.label, binary=True) == 1
        expected = expected_of(result.record.classes[0])
        told = 0 if np.isnan(expected) else label.sum()  # of unlike slices none is told
        areas = [np.nan_to_num(expected) * told, told, 2 * (label & reference).sum(), label.sum() + reference.sum()]
        patient = entry.patient_id or entry.image.stem
        sums[patient] = sums.get(patient, 0) + np.array(areas, dtype=np.float64)
    return {
        patient: (float(corrected(row[0] / max(row[1], 1))), float(row[2] / row[3]) if row[3] else 1.0)
        for patient, row in sums.items()
    }


def score_volumes(table: Path, index: int, segmenter: Segmenter) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield, per volume, Dice of the whole and of the slices with the organ, and what share of the others got some."""
    with table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("role", "test_ood") == "test_ood"]
    for row in rows:
        reference = read(table.parent / row["label"], kind="volume").data
        assert isinstance(reference, SourceVolume)
        result = segmenter.segment(read(table.parent / row["image"], kind="volume"))
        record, upright = result.record, reorient_to(reference.grid, DISPLAY_AXCODES)
        assert record.modality is not None
        label, wanted = upright.apply(result.label) == 1, upright.apply(reference.voxels) == index
        has_organ, found = wanted.any(axis=(0, 1)), label.any(axis=(0, 1))
        inside = label[..., has_organ]
        yield (
            row["patient_id"],
            {
                "dice": float(dice(label, wanted)),
                "dice_organ_slices": float(dice(inside, wanted[..., has_organ])) if has_organ.any() else 1.0,
                "false_slices": float(np.mean(found[~has_organ])) if (~has_organ).any() else 0.0,
                "image_error": record.reconstruction.refined or 0.0,
                "min_expected_dice": segmenter.chains[record.modality].min_expected_dice or 0.0,
                "expected_dice": expected_of(record.classes[0]),
            },
        )


def main() -> None:
    """Run from the command line."""
    parser = model_arguments(__doc__)
    parser.add_argument("--slices", type=Path, metavar="DATALIST")
    parser.add_argument("--sets", nargs="+", default=["validation"])
    parser.add_argument("--looks", action="store_true", help="give the slices random looks of another modality")
    parser.add_argument("--volumes", type=Path, metavar="CSV")
    parser.add_argument("--class", dest="index", type=int, default=1)
    arguments = parser.parse_args()
    bundle = changed_bundle(open_bundle(arguments.bundle), arguments.changes)
    data = load_datalist(arguments.slices) if arguments.slices else None
    results: dict[str, Any] = {}
    for steps, segmenter in segmenters(bundle, arguments.steps, arguments.device):
        if data is not None:
            pictures = slice_bundle(bundle, with_looks=arguments.looks)
            on_slices = bundle_segmenter(pictures, options=segmenter.options, network=segmenter.network)
            for name in arguments.sets:
                calibration = bundle.chains["MR" if arguments.looks else "CT"].calibration
                scores = score_slices(entries_of(data, name), on_slices, calibration)
                results[f"{name}, {steps} steps"] = {patient: row[1] for patient, row in scores.items()}
                mean = np.mean([row[1] for row in scores.values()])
                trust = trust_text(trust_numbers(list(scores.values()), pictures.image_chain.min_expected_dice))
                print(f"{name:12} {steps:4} steps: Dice {mean:.4f} per patient; {trust}", flush=True)
        if arguments.volumes:
            volumes = dict(score_volumes(arguments.volumes, arguments.index, segmenter))
            results[f"volumes, {steps} steps"] = volumes
            means = {key: np.mean([row[key] for row in volumes.values()]) for key in next(iter(volumes.values()))}
            pairs = [(row["expected_dice"], row["dice"]) for row in volumes.values()]
            trust = trust_text(trust_numbers(pairs, [row["min_expected_dice"] for row in volumes.values()]))
            said = ", ".join(f"{key} {value:.4f}" for key, value in means.items())
            print(f"volumes      {steps:4} steps: {said}; {trust}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
