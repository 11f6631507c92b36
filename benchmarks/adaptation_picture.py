# SPDX-License-Identifier: Apache-2.0
"""Draw what a bundle segments before and after it was adapted, against references, for the README.

python -m benchmarks.adaptation_picture BEFORE AFTER docs/images/adapted.png --images DIR --masks DIR NAME [NAME ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import monai_semigan as semigan
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.pictures.overlay import disagreement

HEIGHT = 200
GAP = 10
CAPTION = 22


def picture(bundles: list[str], images: Path, masks: Path, names: list[str]) -> Image.Image:
    """Draw one column per image: the image, then what each bundle misses and invents."""
    segmenters = [semigan.load_bundle(bundle).segmenter(device="cpu") for bundle in bundles]
    columns = []
    for name in names:
        path = next(images.glob(f"{name}.*"))
        reference = read_label(next(masks.glob(f"{name}.*")), binary=True)
        pixels = read_image(path).pixels
        column = [(Image.fromarray(pixels).convert("RGB"), "")]
        for segmenter in segmenters:
            label = segmenter.segment(semigan.read(path)).label
            dice = semigan.evaluate(label, reference, num_classes=2).mean_dice
            drawn = disagreement(np.asarray(label), reference, image=pixels)
            column.append((drawn, f"Dice {dice:.3f}"))
        columns.append([(_sized(part), text) for part, text in column])
    widths = [max(part.width for part, _ in column) for column in columns]
    heights = HEIGHT + CAPTION
    canvas = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), heights * 3 - CAPTION + GAP), "white")
    draw, left = ImageDraw.Draw(canvas), 0
    for column, width in zip(columns, widths, strict=True):
        for row, (part, text) in enumerate(column):
            top = row * heights - (CAPTION - GAP if row else 0)
            canvas.paste(part, (left, top))
            draw.text((left + 2, top + HEIGHT + 3), text, fill="black", font=ImageFont.load_default(14))
        left += width + GAP
    return canvas


def _sized(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    small = picture([options.before, options.after], options.images, options.masks, options.names).quantize(192)
    small.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
