# SPDX-License-Identifier: Apache-2.0
"""CHAOS, abdominal CT and MR (Kavur et al. 2021; Zenodo record 3431873): 20 CT and 20 MR patients with labels.

::

    Train_Sets/CT/1/DICOM_anon/i0000,0000b.dcm, Ground/liver_GT_000.png
    Train_Sets/MR/1/T1DUAL/DICOM_anon/InPhase/IMG-0004-00002.dcm, OutPhase/..., T1DUAL/Ground/IMG-0004-00002.png
    Train_Sets/MR/1/T2SPIR/DICOM_anon/IMG-0002-00001.dcm, Ground/IMG-0002-00001.png

A mask belongs to the slice of its name where names agree, else to the one at its place in the order of names: CT's
positions run the other way in part of the patients, so sorting by position would mix them up. In MR 63 is liver, 126
right kidney, 189 left kidney and 252 spleen (class ids 1 to 4). In and out of phase share their masks. Volumes are
written as NIfTI, slices as 8-bit PNG: CT 0..255 HU, MR 0 to the 99.5th percentile of the volume.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.extras.datasets.collection import Collection, Organs, Subject, Written
from monai_semigan.extras.datasets.layout import find_folder, refuse_incomplete, require_count
from monai_semigan.extras.datasets.slices import write_slices
from monai_semigan.extras.datasets.volume_file import read_slice_files, write_nifti_volume
from monai_semigan.io.image_file import read_image

__all__ = ["collect"]

NUM_PATIENTS = 20
SERIES = {
    "ct": ("CT", "DICOM_anon", "Ground"),
    "t1-in": ("MR", "T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"),
    "t1-out": ("MR", "T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground"),
    "t2spir": ("MR", "T2SPIR/DICOM_anon", "T2SPIR/Ground"),
}
"""Folder of the modality, then below the patient: of slices, of masks."""

ORGAN_NAMES = ("background", "liver", "right_kidney", "left_kidney", "spleen")
ORGAN_STEP = 63
"""Grey values of the MR masks are multiples of this (the data set's readme gives ranges around them)."""

ORGAN_TOLERANCE = 16
"""The widest of these ranges, 110 to 135 for the right kidney."""


def collect(source: Path, series: str, organs: Organs = "liver") -> Collection:
    """Check the download and list its patients.

    Args:
        source: The folder that holds ``Train_Sets``, or it itself.
        series: ``ct``, ``t1-in``, ``t1-out`` or ``t2spir``.
        organs: ``liver`` alone, or ``all`` four of MR.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    modality, slices, masks = SERIES[series]
    places = [modality, f"Train_Sets/{modality}", f"*/Train_Sets/{modality}"]
    root = find_folder(source, places, f"the {modality} training set of CHAOS")
    patients = sorted((path for path in root.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    require_count("CHAOS", len(patients), NUM_PATIENTS, f"patients in {modality}")
    missing, subjects = [], []
    for patient in patients:
        pairs, lacking = _pair(patient / slices, patient / masks)
        missing += [f"{modality}/{patient.name}/{file}" for file in lacking]
        name = f"chaos_{series.replace('-', '_')}_{int(patient.name):02d}"
        write = partial(_write, name, pairs, modality == "CT", organs)
        subjects.append(Subject(patient_id=f"chaos_{modality.lower()}_{patient.name}", has_label=True, write=write))
    refuse_incomplete("CHAOS", missing, NUM_PATIENTS)
    names = ORGAN_NAMES if organs == "all" and modality == "MR" else ORGAN_NAMES[:2]
    return Collection(subjects=tuple(subjects), class_names=names)


def _pair(slices: Path, masks: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return slices with their masks in the order of the slices' numbers, and what is missing."""
    images = sorted(slices.glob("*.dcm"), key=_number)
    labels = sorted(masks.glob("*.png"), key=_number)
    empty = [f"{folder.name}/*" for folder, files in ((slices, images), (masks, labels)) if not files]
    if empty:
        return [], empty
    by_name = {path.stem: path for path in labels}
    if any(image.stem in by_name for image in images):
        lacking = [f"{masks.name}/{image.stem}.png" for image in images if image.stem not in by_name]
        lacking += [f"{slices.name}/{name}.dcm" for name in by_name.keys() - {image.stem for image in images}]
        return [(image, by_name[image.stem]) for image in images if image.stem in by_name], lacking
    if len(images) != len(labels):
        few, folder = min((len(images), slices), (len(labels), masks))
        return [], [f"{folder.name}/* ({max(len(images), len(labels)) - few} files)"]
    return list(zip(images, labels, strict=True)), []


def _number(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.name


def _write(name: str, pairs: list[tuple[Path, Path]], is_ct: bool, organs: Organs, folder: Path) -> Written:
    voxels, grid = read_slice_files([image for image, _ in pairs])
    planes = [read_image(mask).pixels for _, mask in pairs]
    if any(plane.shape != (grid.shape[1], grid.shape[0]) for plane in planes):
        raise InputError(f"The masks of `{name}` must have their slices' size {grid.shape[1]} x {grid.shape[0]}.")
    grey = np.stack(planes, axis=-1).transpose(1, 0, 2)  # (rows, columns, K) -> (I, J, K)
    label = (grey > 0).astype(np.uint8) if is_ct else _organ_ids(name, grey)
    if organs == "liver":
        label = (label == 1).astype(np.uint8)
    entries = write_slices(folder, name, voxels, label, grid, is_ct=is_ct)
    volume = {"image": f"volumes/{name}.nii.gz", "label": f"volumes/{name}_label.nii.gz"}
    write_nifti_volume(folder / volume["image"], voxels, grid)
    write_nifti_volume(folder / volume["label"], label, grid)
    return Written(images=entries, volumes=(volume,))


def _organ_ids(name: str, grey: np.ndarray) -> np.ndarray:
    label = np.rint(grey / ORGAN_STEP).astype(np.uint8)
    if np.abs(grey - label.astype(np.float32) * ORGAN_STEP).max() > ORGAN_TOLERANCE:
        raise InputError(f"The masks of `{name}` must hold grey values near multiples of {ORGAN_STEP}, others came.")
    return label
