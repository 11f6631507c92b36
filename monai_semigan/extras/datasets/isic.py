# SPDX-License-Identifier: Apache-2.0
"""Lesion segmentation of ISIC 2016 (part 1), 2017 (part 1) and 2018 (task 1), as the challenges publish them.

::

    2016  ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg, ..._Training_GroundTruth/ISIC_0000000_Segmentation.png
    2017  ISIC-2017_Training_Data/ISIC_0000000.jpg, ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png
    2018  ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg, ISIC2018_Task1_Training_GroundTruth/..._segmentation.png

and the same for validation and test. Everything is used where it is. The training part must be there; validation and
test are kept as they are split where they are there, and are made from the training part where they are not. The
challenges do not tell patients: every image counts as one, so two images of one lesion may come on two sides.
"""

from __future__ import annotations

from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.extras.datasets.collection import Collection, Part, Subject, images_in_place
from monai_semigan.extras.datasets.layout import files_by_stem, find_folder, require_count, require_files

__all__ = ["collect"]

ENDING = {"2016": "_Segmentation", "2017": "_segmentation", "2018": "_segmentation"}
PARTS: dict[str, dict[Part, tuple[str, str, int]]] = {
    "2016": {
        "train": ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth", 900),
        "test": ("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth", 379),
    },
    "2017": {
        "train": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", 2000),
        "validation": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth", 150),
        "test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth", 600),
    },
    "2018": {
        "train": ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth", 2594),
        "validation": ("ISIC2018_Task1-2_Validation_Input", "ISIC2018_Task1_Validation_GroundTruth", 100),
        "test": ("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Test_GroundTruth", 1000),
    },
}
"""Folder of images, folder of masks, number of images."""


def collect(source: Path, year: str) -> Collection:
    """Check the download of one year and list its images.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    subjects: list[Subject] = []
    for part, (images_folder, masks_folder, count) in PARTS[year].items():
        if part != "train" and not (source / images_folder).exists() and not (source / masks_folder).exists():
            continue
        folder = find_folder(source, [images_folder], f"the {part} images of ISIC {year}")
        masks = find_folder(source, [masks_folder], f"the {part} masks of ISIC {year}")
        images = files_by_stem(folder, "ISIC_*.jpg")
        labels = require_files(f"ISIC {year}", masks, images, "*.png", ENDING[year])
        without = set(files_by_stem(masks, "ISIC_*.png", ENDING[year])) - set(images)
        if without:
            require_files(f"ISIC {year}", folder, without, "*.jpg")
        require_count(f"ISIC {year}", len(images), count, f"images in {images_folder}")
        fixed = None if part == "train" else part
        subjects += [images_in_place(name, (path, labels[name]), part=fixed) for name, path in images.items()]
    if len({subject.patient_id for subject in subjects}) != len(subjects):
        raise InputError(f"ISIC {year} must have every image in one part only. Unpack the archives again.")
    return Collection(subjects=tuple(subjects), class_names=("background", "lesion"), is_binary=True)
