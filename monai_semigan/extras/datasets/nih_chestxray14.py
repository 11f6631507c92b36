# SPDX-License-Identifier: Apache-2.0
"""NIH ChestX-ray14 (Wang et al. 2017): 112,120 chest X-rays of 30,805 patients, without masks.

::

    Data_Entry_2017.csv (or Data_Entry_2017_v2020.csv) with the columns Image Index and Patient ID
    images/00000001_000.png, or images_001/images/00000001_000.png ... images_012/images/...

Everything is used where it is, as unlabelled images.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.extras.datasets.collection import Collection, images_in_place
from monai_semigan.extras.datasets.layout import files_by_stem, find_folder, refuse_incomplete

__all__ = ["collect"]


def collect(source: Path) -> Collection:
    """Check the download against its table and list its patients.

    Raises:
        InputError: The table is missing or another one, or images that it lists are missing.
    """
    find_folder(source, ["images", "images_0*", "images_1*"], "the images")
    tables = sorted(source.glob("Data_Entry_2017*.csv"))
    if not tables:
        raise InputError(f"`{source}` must hold Data_Entry_2017.csv, which tells the patients. Download it too.")
    files = files_by_stem(source, "images/*.png") | files_by_stem(source, "images_*/images/*.png")
    patients: dict[str, list[str]] = defaultdict(list)
    with tables[0].open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        if not {"Image Index", "Patient ID"} <= set(rows.fieldnames or ()):
            raise InputError(f"`{tables[0].name}` must have the columns Image Index and Patient ID.")
        for row in rows:
            patients[row["Patient ID"]].append(Path(row["Image Index"]).stem)
    names = [name for images in patients.values() for name in images]
    refuse_incomplete("NIH ChestX-ray14", (f"{name}.png" for name in names if name not in files), len(names))
    subjects = tuple(
        images_in_place(patient, *((files[name], None) for name in images)) for patient, images in patients.items()
    )
    return Collection(subjects=subjects, class_names=("background", "lung"))
