# SPDX-License-Identifier: Apache-2.0
"""Draw the pictures of docs/figures.md from the samples that the bundles ship, and one MR volume.

    python -m benchmarks.figure_pictures MR.nii.gz:SLICE docs/images/figures

The MR is the example of TotalSegmentator's MR model (CC BY 4.0).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from monai_semigan.bundles import bundle_root
from monai_semigan.workflows.explaining import ExplanationOptions, explain
from monai_semigan.workflows.interpolating import InterpolationOptions, interpolate
from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize

COLORS = 128
"""Of a quantized picture: a third of the bytes, hardly to be seen."""


@dataclass(frozen=True)
class Subject:
    """What is drawn of one bundle.

    Attributes:
        name: Of the files.
        bundle: Which.
        start: Where its path begins.
        end: Where it ends; also what is explained, unless it is generated.
    """

    name: str
    bundle: str
    start: str
    end: str


def subjects(mr: str) -> list[Subject]:
    """Return what is drawn: openly licensed images alone."""
    lung, skin, liver = (
        bundle_root(f"{name}_segmentation") / "samples" for name in ("lung_cxr", "lesion_dermoscopy", "liver_ct")
    )
    return [
        Subject(
            "lung",
            "lung_cxr_segmentation",
            str(lung / "images/4fed5061.jpg"),
            str(lung / "images/NORMAL2-IM-0635-0001.jpg"),
        ),
        Subject(
            "skin",
            "lesion_dermoscopy_segmentation",
            str(skin / "images/isic2016_0029.jpg"),
            str(skin / "images/isic2016_0282.jpg"),
        ),
        Subject("liver", "liver_ct_segmentation", f"{liver / 'ct.nii.gz'}:18", mr),
        Subject("face", "face_parts_segmentation", "seed:3", "seed:12"),  # no portrait may be shown
    ]


def draw(subject: Subject, output: Path) -> None:
    """Draw the path and the explanation of one bundle, and print what was measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = interpolate(
            subject.start,
            subject.end,
            folder / "path",
            bundle=subject.bundle,
            options=InterpolationOptions(device="cpu"),
        )
        print(subject.name, f"{path.direct_change:.3f} {path.total_variation:.3f} {path.largest_change:.4f}")
        _shrink(folder / "path/grid.png", output / f"{subject.name}_path.png", width=960)
        shutil.copyfile(folder / "path/animation.webp", output / f"{subject.name}_path.webp")
        if not subject.end.startswith("seed:"):
            _draw_steps(subject, folder, output)
        synthesize(
            folder / "drawn", bundle=subject.bundle, options=SynthesisOptions(num_items=16, device="cpu", seed=1)
        )
        _shrink(folder / "drawn/sheet.png", output / f"{subject.name}_generated.png", width=1024)


def _draw_steps(subject: Subject, folder: Path, output: Path) -> None:
    found = explain(
        subject.end,
        folder / "why",
        bundle=subject.bundle,
        options=ExplanationOptions(at=(0, 5, 20), steps=20, device="cpu"),
    )
    for numbers in found.shown:
        print(subject.name, {key: numbers[key] for key in ("step", "loss", "image_error", "label_change")})
    steps = [Image.open(folder / "why/steps" / f"{numbers['step']:04d}.png") for numbers in found.shown]
    column = Image.new("RGB", (steps[0].width, sum(step.height for step in steps)))
    for at, step in enumerate(steps):
        column.paste(step, (0, at * step.height))
    column.save(folder / "steps.png")
    _shrink(folder / "steps.png", output / f"{subject.name}_steps.png", width=640)


def _shrink(source: Path, target: Path, *, width: int | None = None) -> None:
    with Image.open(source) as picture:
        small = picture.convert("RGB")
        if width is not None:
            small = small.resize((width, round(small.height * width / small.width)), Image.Resampling.LANCZOS)
        small.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mr")
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for subject in subjects(given.mr):
        draw(subject, given.output)


if __name__ == "__main__":
    main()
