# SPDX-License-Identifier: Apache-2.0
"""Whether labels depend on batch size and threads, and what it costs that they do not.

    python -m benchmarks.reproducibility BUNDLE IMAGE [IMAGE ...] --batches 1 4 8 --threads 1 2 --json out.json

Labels are compared with those of one image at a time on one thread. For every batch size and number of threads, as it
is and with ``--deterministic``: how many labels differ in any repeat, the lowest Dice coefficient between the two, of
any class, and CPU seconds: medians of repeats in turns. An input may be a volume, for a bundle for volumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.devices import choose_device
from monai_semigan.evaluation.overlap import dice
from monai_semigan.io.image_file import find_images
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.workflows.reading import read

__all__ = ["Variant", "compare_labels", "lowest_dice", "table_lines"]


@dataclass(frozen=True, order=True)
class Variant:
    """One way to run the same model."""

    is_deterministic: bool
    batch_size: int
    threads: int

    def __str__(self) -> str:
        kind = ", deterministic" if self.is_deterministic else ""
        return f"batch {self.batch_size}, {self.threads} thread{'s' if self.threads > 1 else ''}{kind}"


REFERENCE = Variant(False, 1, 1)


def lowest_dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the lowest Dice coefficient of any class between two labels; 1 where both are only background."""
    classes = np.union1d(one, other)
    return min((float(dice(one == index, other == index)) for index in classes if index), default=1.0)


def compare_labels(
    segmenters: Mapping[Variant, Segmenter], sources: Sequence[Any], *, repeats: int
) -> dict[Variant, dict[str, float]]:
    """Segment all sources with every variant in turns; the first variant's labels are the reference."""
    first, segmenter = next(iter(segmenters.items()))
    with _threads(first.threads):  # and a warm-up
        reference = [result.label for result in segmenter.segment_all(sources)]
    seconds: dict[Variant, list[float]] = {variant: [] for variant in segmenters}
    agreement = {variant: np.ones(len(sources)) for variant in segmenters}
    differs = {variant: np.zeros(len(sources), dtype=bool) for variant in segmenters}
    for _ in range(repeats):
        for variant, segmenter in segmenters.items():
            with _threads(variant.threads):
                started = time.process_time()
                labels = [result.label for result in segmenter.segment_all(sources)]
                seconds[variant].append(time.process_time() - started)
            for at, (label, expected) in enumerate(zip(labels, reference, strict=True)):
                differs[variant][at] |= not np.array_equal(label, expected)
                agreement[variant][at] = min(agreement[variant][at], lowest_dice(label, expected))
    return {
        variant: {
            "differ": int(differs[variant].sum()),
            "lowest_dice": float(agreement[variant].min()),
            "cpu_s": statistics.median(seconds[variant]),
        }
        for variant in segmenters
    }


def table_lines(rows: Mapping[Variant, Mapping[str, float]], count: int) -> Iterator[str]:
    """Write `compare_labels` as lines, and what determinism costs at each batch size."""
    for variant, row in rows.items():
        line = f"{variant!s:36} {row['differ']} of {count} differ, lowest Dice {row['lowest_dice']:.5f}"
        line += f", {row['cpu_s']:.2f} CPU-s"
        # Threads that wait for each other use CPU time: against one thread, which deterministic runs have too.
        usual = rows.get(Variant(False, variant.batch_size, 1))
        if variant.is_deterministic and usual is not None and usual["cpu_s"] > 0:
            line += f" ({row['cpu_s'] / usual['cpu_s']:.2f} of the usual)"
        yield line


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("inputs", nargs="+", type=Path)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    bundle = open_bundle(options.bundle)
    network = load_network(bundle, device=choose_device(options.device))
    paths = options.inputs if bundle.takes_volumes else find_images(options.inputs)
    sources = [read(path, kind="volume" if bundle.takes_volumes else "image") for path in paths]
    wanted = sorted(Variant(*each) for each in product((False, True), options.batches, options.threads))
    segmenters = {}
    for variant in dict.fromkeys([REFERENCE, *wanted]):
        chosen = SegmenterOptions(
            steps=options.steps, batch_size=variant.batch_size, deterministic=variant.is_deterministic
        )
        segmenters[variant] = bundle_segmenter(bundle, options=chosen, network=network)
    rows = compare_labels(segmenters, sources, repeats=options.repeats)
    print("\n".join(table_lines(rows, len(sources))))
    if options.json:
        content = {
            "bundle": bundle.name,
            "sources": len(sources),
            "repeats": options.repeats,
            "rows": [{**asdict(variant), **row} for variant, row in rows.items()],
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
