# SPDX-License-Identifier: Apache-2.0
"""Put overlays and reconstructions of segmented cases into one picture, for the README.

python -m benchmarks.result_picture build/demo/segmentation docs/images/result.png CASE [CASE ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

HEIGHT = 220
GAP = 12


def picture(folder: Path, cases: list[str]) -> Image.Image:
    """Draw one row per case: overlay, then network input, reconstruction, its label, difference."""
    rows = [[_read(folder / case / name) for name in ("overlay.png", "reconstruction.png")] for case in cases]
    left = max(row[0].width for row in rows)
    width = left + GAP + rows[0][1].width
    canvas = Image.new("RGB", (width, len(rows) * (HEIGHT + GAP) - GAP), "white")
    for at, (overlay, panel) in enumerate(rows):
        canvas.paste(overlay, ((left - overlay.width) // 2, at * (HEIGHT + GAP)))
        canvas.paste(panel, (left + GAP, at * (HEIGHT + GAP)))
    return canvas


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        size = round(image.width * HEIGHT / image.height), HEIGHT
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    small = picture(arguments.folder, arguments.cases).quantize(192)  # a third of the bytes, hardly to be seen
    small.save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
