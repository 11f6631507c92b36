# SPDX-License-Identifier: Apache-2.0
"""Dice of a bundle on the sets of a data list, of the encoder alone and after inversion, and what expected Dice tells.

    python -m benchmarks.accuracy BUNDLE DATALIST --sets validation --steps 0 50 --json out.json

Settings of the inversion can be replaced with ``--set name=value``, and the rules for pieces and holes with
``--components JSON``, where ``{}`` is none; choose them on the validation set alone.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trust import expected_of, trust_numbers, trust_text
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.devices import choose_device
from monai_semigan.evaluation.case import score_label
from monai_semigan.evaluation.class_counts import class_counts
from monai_semigan.evaluation.table import CaseScore, per_patient, summarize
from monai_semigan.io.datalist import Datalist, Entry, load_datalist
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.label_file import read_label
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.segmentation.source import Source
from monai_semigan.workflows.reading import read

__all__ = ["Change", "changed_bundle", "entries_of", "model_arguments", "score_set", "segmented", "segmenters"]

Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Turns an image and its label into others of one size, for example as another hospital would have taken them."""


def model_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what all programs that score a bundle take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--steps", nargs="+", type=int, default=[0, 50])
    parser.add_argument("--set", dest="changes", action="append", default=[], type=_setting, metavar="NAME=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    return parser


def changed_bundle(bundle: Bundle, changes: Iterable[tuple[str, Any]]) -> Bundle:
    """Return a bundle whose inversions have other settings."""
    chains = {
        name: replace(chain, inversion=replace(chain.inversion, **dict(changes)))
        for name, chain in bundle.chains.items()
    }
    return replace(bundle, chains=chains)


def segmenters(bundle: Bundle, steps: Sequence[int], device: str) -> Iterator[tuple[int, Segmenter]]:
    """Yield a segmenter for each number of steps; the network is loaded once."""
    network = load_network(bundle, device=choose_device(device))
    for count in steps:
        yield count, bundle_segmenter(bundle, options=SegmenterOptions(steps=count), network=network)


def segmented(segmenter: Segmenter, sources: Iterable[Source]) -> Iterator[Segmentation]:
    """Segment sources as many at once as is best; they are read when it is their turn."""
    batch: list[Source] = []
    for source in sources:
        batch.append(source)
        if len(batch) == segmenter.sources_at_once:
            yield from segmenter.segment_all(batch)
            batch = []
    if batch:
        yield from segmenter.segment_all(batch)


def entries_of(data: Datalist, name: str) -> tuple[Entry, ...]:
    """Return a set of a data list by its name."""
    return data.validation if name == "validation" else data.test[name]


def score_set(
    entries: Sequence[Entry], segmenter: Segmenter, *, binary: bool, change: Change | None = None
) -> dict[str, Any]:
    """Segment a set and return Dice per image, its mean over patients with an interval, and the image error.

    Of several classes it is their mean, the background left out; a single patient has no interval. ``iou_of_pixels`` is
    by class, background first, over all pixels of the set.
    """
    cases: list[CaseScore] = []
    errors: list[float] = []
    trust: list[tuple[float, float]] = []  # per image: expected Dice and Dice, means over classes
    references: list[np.ndarray] = []
    classes = len(segmenter.model.class_names)
    pixels_of = np.zeros((classes, classes), np.int64)  # reference, result

    def sources() -> Iterator[Source]:
        for entry in entries:
            assert entry.label is not None
            source, reference = read(entry.image, kind="image"), read_label(entry.label, binary=binary)
            if change is not None:
                assert isinstance(source.data, SourceImage)
                pixels, reference = change(source.data.pixels, reference)
                source = replace(source, data=replace(source.data, pixels=pixels))
            references.append(reference)
            yield source

    started = time.perf_counter()
    for at, result in enumerate(segmented(segmenter, sources())):
        entry, record = entries[at], result.record
        ignore = read_label(entry.ignore, binary=True).astype(bool) if entry.ignore else None
        name = entry.image.stem
        score = score_label(result.label, references[at], ignore=ignore, num_classes=classes)
        pair = references[at].astype(np.int64) * classes + result.label
        counted = pair if ignore is None else pair[~ignore]
        pixels_of += np.reshape(class_counts(counted, classes**2), (classes, classes))
        cases += score.of_case(name, entry.patient_id or name)
        assert record.reconstruction.refined is not None
        errors.append(record.reconstruction.refined)
        trust.append((float(np.mean([expected_of(part) for part in record.classes])), score.mean_dice))
    hits = np.diag(pixels_of)
    union = pixels_of.sum(axis=0) + pixels_of.sum(axis=1) - hits
    # Of several classes the rows of their mean come last.
    summary = next(row for row in reversed(summarize(per_patient(cases))) if row.metric == "dice")
    return {
        "images": len(trust),
        "dice_per_image": float(np.mean([case.dice for case in cases])),
        "iou_per_image": float(np.mean([case.iou for case in cases])),
        "dice_per_patient": summary.mean,
        "interval": None if summary.low is None else [summary.low, summary.high],
        "iou_of_pixels": np.divide(hits, union, out=np.full(classes, np.nan), where=union > 0).tolist(),
        "worst": min(dice for _, dice in trust),
        "hd95_px": _middle([case.hd95_px for case in cases if case.hd95_px is not None]),
        "image_error": float(np.mean(errors)),
        **trust_numbers(trust, segmenter.chains["image"].min_expected_dice),
        "seconds": time.perf_counter() - started,
        "cases": dict(zip((entry.image.stem for entry in entries), (round(dice, 4) for _, dice in trust), strict=True)),
    }


def _middle(distances: Sequence[float]) -> dict[str, float]:
    """Return mean and median of distances, NaN of none; where a map has no surface, there is no distance."""
    values = np.array(distances or [math.nan])
    return {"mean": float(values.mean()), "median": float(np.median(values))}


def set_line(row: Mapping[str, Any]) -> str:
    """Write `score_set` as a line."""
    interval = "[{:.4f}, {:.4f}]".format(*row["interval"]) if row["interval"] else "of one"
    by_class = row["iou_of_pixels"]
    return (
        f"Dice {row['dice_per_image']:.4f}, IoU {row['iou_per_image']:.4f} per image, "
        f"{np.mean(by_class):.4f} of pixels ({' '.join(f'{value:.3f}' for value in by_class)}), "
        f"Dice {row['dice_per_patient']:.4f} {interval} per patient, worst {row['worst']:.3f}, "
        f"HD95 {row['hd95_px']['mean']:.1f} px (median {row['hd95_px']['median']:.1f}), "
        f"image error {row['image_error']:.4f}, {row['seconds']:.1f} s; {trust_text(dict(row))}"
    )


def _setting(text: str) -> tuple[str, Any]:
    """Read ``name=value``; what is no JSON value is a word."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> None:
    """Run from the command line."""
    parser = model_arguments(__doc__)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--sets", nargs="+", default=["validation"])
    parser.add_argument("--components", type=json.loads, metavar="JSON")
    arguments = parser.parse_args()
    bundle, data = changed_bundle(open_bundle(arguments.bundle), arguments.changes), load_datalist(arguments.datalist)
    if arguments.components is not None:
        rules = {name: ComponentRule(**rule) for name, rule in arguments.components.items()}
        bundle = replace(bundle, components=ComponentRules.by_name(rules, bundle.class_names))
    table: dict[str, Any] = {}
    for steps, segmenter in segmenters(bundle, arguments.steps, arguments.device):
        for name in arguments.sets:
            row = score_set(entries_of(data, name), segmenter, binary=data.is_binary)
            table[f"{name}, {steps} steps"] = row
            print(f"{name:12} {steps:4} steps: {set_line(row)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
