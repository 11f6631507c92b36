# SPDX-License-Identifier: Apache-2.0
"""Dice of a bundle on validation images that were changed as other sites would change them.

    python -m benchmarks.robustness BUNDLE DATALIST --steps 0 50

Images of other hospitals are for the last table alone; settings that should hold there can be chosen on these. The
changes are drawn from a fixed seed, so runs compare.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.accuracy import Change, changed_bundle, model_arguments, score_set, segmenters
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.io.datalist import load_datalist

Pair = tuple[np.ndarray, np.ndarray]


def bias_field(pixels: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
    """Add a smooth field, as a grid or a heel effect leaves it."""
    coarse = rng.normal(0, 60, (3, 3))
    zoom = [size / 3 for size in pixels.shape]
    return pixels + ndimage.zoom(coarse, zoom, order=3)[: pixels.shape[0], : pixels.shape[1]], label


def opacities(pixels: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
    """Cover two round regions with soft bright shadows."""
    rows, columns = (axis / size for axis, size in zip(np.indices(pixels.shape), pixels.shape, strict=True))
    for _ in range(2):
        row, column, size = rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.85), rng.uniform(0.08, 0.18)
        share = 0.8 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * size**2))
        pixels = pixels * (1 - share) + 200 * share
    return pixels, label


def tight_crop(pixels: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
    """Leave little around the chest."""
    margin = int(rng.uniform(0.08, 0.14) * pixels.shape[0])
    inside = (slice(margin, -margin // 2), slice(margin, -margin))
    return pixels[inside], label[inside]


def abdomen(pixels: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> Pair:
    """Add bright rows below, as on a child's film that shows the belly."""
    more = int(rng.uniform(0.2, 0.4) * pixels.shape[0])
    below = np.percentile(pixels, 97) + rng.normal(0, 6, (more, pixels.shape[1]))
    return np.vstack([pixels, below]), np.vstack([label, np.zeros((more, label.shape[1]), label.dtype)])


CHANGES = {"as they are": None, "bias field": bias_field, "opacities": opacities, "tight": tight_crop, "belly": abdomen}


def main() -> None:
    """Run from the command line."""
    parser = model_arguments(__doc__)
    parser.add_argument("datalist", type=Path)
    arguments = parser.parse_args()
    bundle, data = changed_bundle(open_bundle(arguments.bundle), arguments.changes), load_datalist(arguments.datalist)
    table: dict[str, Any] = {}
    for steps, segmenter in segmenters(bundle, arguments.steps, arguments.device):
        for name, function in CHANGES.items():
            change: Change | None = function and partial(_changed, function, np.random.default_rng(0))
            row = score_set(data.validation, segmenter, binary=data.is_binary, change=change)
            table[f"{name}, {steps} steps"] = row
            print(f"{steps:4} steps, {name:12}: Dice {row['dice_per_image']:.4f}, worst {row['worst']:.3f}", flush=True)
        changed = [table[f"{name}, {steps} steps"]["dice_per_image"] for name in CHANGES if CHANGES[name]]
        print(f"{steps:4} steps, mean of the changed: {np.mean(changed):.4f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


def _changed(function: Any, rng: np.random.Generator, pixels: np.ndarray, label: np.ndarray) -> Pair:
    changed, changed_label = function(pixels.astype(np.float32), label, rng)
    return changed.astype(np.float32), changed_label


if __name__ == "__main__":
    main()
