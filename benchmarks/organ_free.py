# SPDX-License-Identifier: Apache-2.0
"""Add slices without the organ to a data list: pictures cut out of CT volumes, with empty labels.

    python -m benchmarks.organ_free DATALIST OUT FOLDER/ct.nii.gz:0:44:2 --repeat 5

A generator that has seen only slices with a liver draws one everywhere. Where a volume shows none is for the reader of
the images to say: ``FILE:START:STOP:STEP`` names axial slices, counted from inferior. ``OUT`` gets the pictures (one
grey level per HU, 0 to 255), the empty labels and ``datalist.json``, in which the labelled images of ``DATALIST`` are
listed ``--repeat`` times, so that they are not outnumbered.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_semigan.geometry.orientation import DISPLAY_AXCODES, reorient_to
from monai_semigan.io.volume import SourceVolume
from monai_semigan.workflows.reading import read


def cut(volume: Path, indices: range, folder: Path) -> list[dict[str, str]]:
    """Write slices of a volume and their empty labels; return their entries, relative to ``folder``."""
    source = read(volume, kind="volume").data
    assert isinstance(source, SourceVolume)
    upright = reorient_to(source.grid, DISPLAY_AXCODES).apply(source.voxels)
    stem, entries = volume.name.split(".")[0], []
    for index in indices:
        pixels = np.clip(upright[:, :, index].T, 0, 255).astype(np.uint8)
        entry = {"image": f"images/{stem}_{index:03d}.png", "label": f"labels/{stem}_{index:03d}.png"}
        Image.fromarray(pixels).save(folder / entry["image"])
        Image.fromarray(np.zeros_like(pixels)).save(folder / entry["label"])
        entries.append({**entry, "patient_id": stem})
    return entries


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datalist", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("slices", nargs="+", metavar="FILE:START:STOP:STEP")
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    content: dict[str, Any] = json.loads(arguments.datalist.read_text())
    for name in ("images", "labels"):
        (arguments.output / name).mkdir(parents=True)
    added: list[dict[str, str]] = []
    for item in arguments.slices:
        file, *numbers = item.rsplit(":", 3)
        added += cut(Path(file), range(*map(int, numbers)), arguments.output)

    # One root for all: the paths of the first data list are made absolute.
    root = Path(content.get("root", arguments.datalist.parent))

    def absolute(entry: dict[str, str]) -> dict[str, str]:
        files = {key: str((root / entry[key]).resolve()) for key in ("image", "label", "ignore") if key in entry}
        return {**entry, **files}

    for name in ("labelled", "unlabelled", "validation"):
        content[name] = [absolute(entry) for entry in content[name]]
    content["test"] = {name: [absolute(entry) for entry in entries] for name, entries in content["test"].items()}
    content["labelled"] = content["labelled"] * arguments.repeat + added
    content["unlabelled"] += [{key: entry[key] for key in ("image", "patient_id")} for entry in added]
    content["root"] = str(arguments.output.resolve())
    (arguments.output / "datalist.json").write_text(json.dumps(content, indent=1) + "\n")
    print({name: len(content[name]) for name in ("labelled", "unlabelled", "validation")})


if __name__ == "__main__":
    main()
