# SPDX-License-Identifier: Apache-2.0
"""Dice of a bundle on the sets of a data list, of the encoder alone and after inversion, and what expected Dice tells.

    python -m benchmarks.accuracy BUNDLE DATALIST --sets validation --steps 0 50 --json out.json

Settings of the inversion can be replaced with ``--set name=value``, and the rules for pieces and holes with
``--components JSON``, where ``{}`` is none; choose them on the validation set alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.trust import trust_numbers, trust_text
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.evaluation.case import score_label
from monai_semigan.evaluation.table import CaseScore, per_patient, summarize
from monai_semigan.io.datalist import Entry, load_datalist
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.batch import segment_batch
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.segmentation.expected_dice import expected_dice

BATCH_SIZE = 16

Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Turns an image and its label into others of one size, for example as another hospital would have taken them."""


def score_set(
    entries: Sequence[Entry],
    bundle: Bundle,
    network: SemiGanSegmenter,
    settings: InversionSettings,
    *,
    binary: bool,
    change: Change | None = None,
) -> dict[str, Any]:
    """Segment a set and return Dice per image, its mean over patients with an interval, and the image error."""
    cases: list[CaseScore] = []
    errors: list[float] = []
    trust: list[tuple[float, float]] = []  # per image: expected Dice and Dice, means over classes
    started = time.perf_counter()
    for start in range(0, len(entries), BATCH_SIZE):
        batch = entries[start : start + BATCH_SIZE]
        loaded = [_load(entry, binary=binary, change=change) for entry in batch]
        prepared = [bundle.preset.prepare(pixels) for pixels, _ in loaded]
        images = torch.from_numpy(np.stack([image for image, _ in prepared])).to(network.is_trained.device)
        result = segment_batch(network, images, settings)
        errors += result.image_error.tolist()
        expected = expected_dice(result.overlap).nan_to_num(0).mean(dim=1).tolist()
        scores = result.label_logits.cpu().numpy()
        for at, (entry, (_, reference), (_, geometry)) in enumerate(zip(batch, loaded, prepared, strict=True)):
            label = bundle.components.apply(geometry.scores_to_label(scores[at]))
            ignore = read_label(entry.ignore, binary=True).astype(bool) if entry.ignore else None
            name = entry.image.stem
            score = score_label(label, reference, ignore=ignore)
            cases += score.of_case(name, entry.patient_id or name)
            trust.append((expected[at], score.mean_dice))
    summary = summarize(per_patient(cases))[0]
    return {
        "images": len(cases),
        "dice_per_image": float(np.mean([case.dice for case in cases])),
        "iou_per_image": float(np.mean([case.iou for case in cases])),
        "dice_per_patient": summary.mean,
        "interval": [summary.low, summary.high],
        "worst": min(case.dice for case in cases),
        "image_error": float(np.mean(errors)),
        **trust_numbers(trust, bundle.image_chain.min_expected_dice),
        "seconds": time.perf_counter() - started,
        "cases": {case.case: round(case.dice, 4) for case in cases},
    }


def _load(entry: Entry, *, binary: bool, change: Change | None) -> tuple[np.ndarray, np.ndarray]:
    assert entry.label is not None
    pixels, label = read_image(entry.image).pixels, read_label(entry.label, binary=binary)
    return (pixels, label) if change is None else change(pixels, label)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--sets", nargs="+", default=["validation"])
    parser.add_argument("--steps", nargs="+", type=int, default=[0, 50])
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--components", type=json.loads, metavar="JSON")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    bundle, data = open_bundle(arguments.bundle), load_datalist(arguments.datalist)
    if arguments.components is not None:
        rules = {name: ComponentRule(**rule) for name, rule in arguments.components.items()}
        bundle = replace(bundle, components=ComponentRules.by_name(rules, bundle.class_names))
    network = load_network(bundle, device=choose_device(arguments.device))
    changes = {name: float(value) for name, value in (change.split("=") for change in arguments.changes)}
    table: dict[str, Any] = {}
    for name in arguments.sets:
        entries = data.validation if name == "validation" else data.test[name]
        for steps in arguments.steps:
            settings = replace(bundle.inversion, steps=steps, **changes)
            row = score_set(entries, bundle, network, settings, binary=data.is_binary)
            table[f"{name}, {steps} steps"] = row
            low, high = row["interval"]
            print(
                f"{name:12} {steps:4} steps: Dice {row['dice_per_image']:.4f}, IoU {row['iou_per_image']:.4f} "
                "per image, "
                f"Dice {row['dice_per_patient']:.4f} "
                f"[{low:.4f}, {high:.4f}] per patient, worst {row['worst']:.3f}, image error {row['image_error']:.4f}, "
                f"{row['seconds']:.1f} s; {trust_text(row)}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
