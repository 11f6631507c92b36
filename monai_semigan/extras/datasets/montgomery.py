# SPDX-License-Identifier: Apache-2.0
"""Montgomery County chest X-rays of the NLM (Jaeger et al. 2014), with a mask per lung (Candemir et al. 2014).

::

    MontgomerySet/CXR_png/MCUCXR_0001_0.png   (138 images; the last digit tells tuberculosis)
    MontgomerySet/ManualMask/leftMask/MCUCXR_0001_0.png   (and rightMask)

The images are used where they are; both lungs are merged into one label. One image per patient.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from monai_semigan.extras.datasets.collection import Collection, Subject, Written
from monai_semigan.extras.datasets.layout import (
    check_same_size,
    files_by_stem,
    find_folder,
    read_mask,
    require_count,
    require_files,
)
from monai_semigan.io.label_file import write_label

__all__ = ["collect"]

NUM_IMAGES = 138


def collect(source: Path) -> Collection:
    """Check the download and list its patients.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    root = find_folder(source, ["CXR_png", "MontgomerySet/CXR_png", "*/MontgomerySet/CXR_png"], "the images").parent
    images = files_by_stem(root / "CXR_png", "MCUCXR_*.png")
    masks = [
        require_files("Montgomery", find_folder(root, [f"ManualMask/{side}"], "the masks"), images, "*.png")
        for side in ("leftMask", "rightMask")
    ]
    require_count("Montgomery", len(images), NUM_IMAGES, "images in CXR_png")
    subjects = tuple(
        Subject(patient_id=name, has_label=True, write=partial(_write, image, [side[name] for side in masks]))
        for name, image in images.items()
    )
    return Collection(subjects=subjects, class_names=("background", "lung"))


def _write(image: Path, masks: list[Path], folder: Path) -> Written:
    left, right = masks
    check_same_size(left, right)
    (folder / "labels").mkdir(exist_ok=True)
    write_label(folder / "labels" / f"{image.stem}.png", read_mask(left) | read_mask(right))
    return Written(images=({"image": str(image.resolve()), "label": f"labels/{image.stem}.png"},))
