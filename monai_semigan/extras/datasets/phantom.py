# SPDX-License-Identifier: Apache-2.0
"""Drawn abdomens as a data set: CT patients to train, MR patients as a target that a training never sees."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from monai_semigan.extras.datasets.collection import Collection, Organs, Subject, Written
from monai_semigan.extras.datasets.slices import write_slices
from monai_semigan.extras.datasets.volume_file import write_nifti_volume
from monai_semigan.extras.phantoms.abdomen import LABELS, AbdomenPhantom, abdomen_grid, draw_abdomen
from monai_semigan.extras.phantoms.series import write_phantom_series

__all__ = ["Format", "collect"]

Format = Literal["nifti", "dicom"]
SEEDS_APART = 1_000_000
"""Patients of two seeds of a data set differ up to this many patients."""


def collect(
    patients: int,
    mr_patients: int,
    *,
    seed: int,
    shape: tuple[int, int, int],
    volume_format: Format = "nifti",
    organs: Organs = "liver",
) -> Collection:
    """List patients to draw; every one is another, in CT and in MR.

    Args:
        patients: With CT.
        mr_patients: With MR, all for the test set ``mr``.
        seed: Of the data set.
        shape: Columns, rows and slices of the volumes.
        volume_format: NIfTI files, or folders of DICOM slices; labels are NIfTI.
        organs: ``liver`` or ``all`` four.
    """
    subjects = []
    for at in range(patients + mr_patients):
        modality: Literal["CT", "MR"] = "CT" if at < patients else "MR"
        name = f"phantom_{modality.lower()}_{at:03d}"
        write = partial(
            _write, name, seed * SEEDS_APART + at, shape, modality=modality, volume_format=volume_format, organs=organs
        )
        is_target = modality == "MR"
        subjects.append(
            Subject(
                patient_id=name,
                has_label=True,
                write=write,
                part="test" if is_target else None,
                test_set="mr" if is_target else None,
            )
        )
    names = tuple(LABELS) if organs == "all" else ("background", "liver")
    return Collection(subjects=tuple(subjects), class_names=names)


def _write(
    name: str,
    seed: int,
    shape: tuple[int, int, int],
    folder: Path,
    *,
    modality: Literal["CT", "MR"],
    volume_format: Format,
    organs: Organs,
) -> Written:
    drawn: AbdomenPhantom = draw_abdomen(abdomen_grid(shape), seed=seed)
    voxels = drawn.voxels_ct if modality == "CT" else drawn.voxels_mr
    label = drawn.label if organs == "all" else (drawn.label == LABELS["liver"]).astype(np.uint8)
    entries = write_slices(folder, name, voxels, label, drawn.grid, is_ct=modality == "CT")
    image = f"volumes/{name}" + (".nii.gz" if volume_format == "nifti" else "")
    if volume_format == "nifti":
        write_nifti_volume(folder / image, voxels, drawn.grid)
    else:
        write_phantom_series(folder / image, voxels, drawn.grid, modality=modality, name=name)
    write_nifti_volume(folder / f"volumes/{name}_label.nii.gz", label, drawn.grid)
    return Written(images=entries, volumes=({"image": image, "label": f"volumes/{name}_label.nii.gz"},))
