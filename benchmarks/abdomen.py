# SPDX-License-Identifier: Apache-2.0
"""Dice per patient of a bundle for axial slices: pictures of CT slices, and whole volumes of any modality.

    python -m benchmarks.abdomen BUNDLE --slices DATALIST --sets validation test_in --steps 0 50
    python -m benchmarks.abdomen BUNDLE --volumes CSV --class 1 --steps 0 50

Slices are pooled over a patient: twice the common pixels over all pixels of both; a bundle's rules for pieces are for
volumes alone. ``CSV`` has the columns ``patient_id``, ``image``, ``label`` (files beside it) and optionally ``role``,
of which only ``test_ood`` is used. Settings of the inversion can be replaced with ``--set name=value``; choose them on
the validation set alone.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.trust import trust_numbers, trust_text
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.monai_volume_reader import VolumeReader
from monai_semigan.devices import choose_device
from monai_semigan.evaluation.overlap import dice
from monai_semigan.io.datalist import Entry, load_datalist
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.batch import segment_batch
from monai_semigan.segmentation.expected_dice import expected_dice
from monai_semigan.segmentation.whole_volume import segment_volume
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality

BATCH_SIZE = 16


def score_slices(
    entries: Sequence[Entry],
    bundle: Bundle,
    network: SemiGanSegmenter,
    changes: Mapping[str, Any],
    *,
    with_looks: bool = False,
) -> dict[str, tuple[float, float]]:
    """Return Dice and expected Dice per patient, pooled over the patient's slices.

    With looks, the slices look as another modality might show them, and are refined as MR is.
    """
    chain = bundle.chains["CT"]
    settings = replace(bundle.chains["MR"].inversion if with_looks else chain.inversion, **changes)
    torch.manual_seed(0)  # the looks are random
    sums: dict[str, np.ndarray] = {}
    for start in range(0, len(entries), BATCH_SIZE):
        batch = entries[start : start + BATCH_SIZE]
        prepared = [chain.preset.prepare(read_image(entry.image).pixels) for entry in batch]
        images = torch.from_numpy(np.stack([image for image, _ in prepared])).to(network.is_trained.device)
        if with_looks:
            images = cross_modality(images, CrossModalitySettings())
        result = segment_batch(network, images, settings)
        scores, overlaps = result.label_logits.cpu().numpy(), result.overlap[:, 0].cpu().numpy()
        for entry, (_, geometry), logits, overlap in zip(batch, prepared, scores, overlaps, strict=True):
            assert entry.label is not None
            label = geometry.scores_to_label(logits) == 1
            reference = read_label(entry.label, binary=True) == 1
            areas = [2 * (label & reference).sum(), label.sum() + reference.sum(), *overlap]
            patient = entry.patient_id or entry.image.stem
            sums[patient] = sums.get(patient, 0) + np.array(areas, dtype=np.float64)
    return {patient: (float(row[0] / row[1]), float(row[2] / row[3])) for patient, row in sums.items()}


def score_volumes(
    table: Path, index: int, bundle: Bundle, network: SemiGanSegmenter, changes: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield, per volume, Dice of the whole and of the slices that have the organ, and how many others got some."""
    with table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("role", "test_ood") == "test_ood"]
    for row in rows:
        (_, volume), (_, reference) = (
            VolumeReader().read(str(table.parent / row[key]))[0] for key in ("image", "label")
        )
        chain = bundle.chains[bundle.domain.modality_of(volume.voxels).modality]
        result = segment_volume(
            volume.voxels,
            volume.grid,
            network,
            chain.preset,
            inversion=replace(chain.inversion, **changes),
            slicewise=bundle.slicewise,
        )
        label, wanted = bundle.components.apply(result.label) == 1, reference.voxels == index
        others = tuple(axis for axis in range(3) if axis != result.slice_axis)
        has_organ, found = wanted.any(axis=others), label.any(axis=others)
        both, one, other = (
            np.compress(has_organ, part, axis=result.slice_axis).sum(dtype=np.float64)
            for part in (label & wanted, label, wanted)
        )
        yield (
            row["patient_id"],
            {
                "dice": float(dice(label, wanted)),
                "dice_organ_slices": float(2 * both / max(one + other, 1)),
                "false_slices": float(np.mean(found[~has_organ])) if (~has_organ).any() else 0.0,
                "image_error": float(np.nanmean(result.slices.image_error)),
                "min_expected_dice": chain.min_expected_dice or 0.0,
                "expected_dice": float(expected_dice(torch.from_numpy(result.slices.overlap.sum(axis=0)))[index - 1]),
            },
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--slices", type=Path, metavar="DATALIST")
    parser.add_argument("--sets", nargs="+", default=["validation"])
    parser.add_argument("--looks", action="store_true", help="give the slices random looks of another modality")
    parser.add_argument("--volumes", type=Path, metavar="CSV")
    parser.add_argument("--class", dest="index", type=int, default=1)
    parser.add_argument("--steps", nargs="+", type=int, default=[0, 50])
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bundle = open_bundle(arguments.bundle)
    network = load_network(bundle, device=choose_device(arguments.device))
    given = {name: float(value) for name, value in (change.split("=") for change in arguments.changes)}
    results: dict[str, Any] = {}
    for steps in arguments.steps:
        changes = {**given, "steps": steps}
        if arguments.slices:
            data = load_datalist(arguments.slices)
            for name in arguments.sets:
                scores = score_slices(
                    data.validation if name == "validation" else data.test[name],
                    bundle,
                    network,
                    changes,
                    with_looks=arguments.looks,
                )
                results[f"{name}, {steps} steps"] = {patient: row[0] for patient, row in scores.items()}
                mean = np.mean([row[0] for row in scores.values()])
                limit = bundle.chains["MR" if arguments.looks else "CT"].min_expected_dice
                trust = trust_text(trust_numbers([row[::-1] for row in scores.values()], limit))
                print(f"{name:12} {steps:4} steps: Dice {mean:.4f} per patient; {trust}", flush=True)
        if arguments.volumes:
            volumes = dict(score_volumes(arguments.volumes, arguments.index, bundle, network, changes))
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
