# SPDX-License-Identifier: Apache-2.0
"""LiTS, liver and liver tumors in CT (Bilic et al. 2023): 131 volumes with labels.

::

    Training Batch 1/volume-0.nii, segmentation-0.nii ...   Training Batch 2/... volume-130.nii
    (in any folder below the one given, also as .nii.gz)

Tumors count as liver. Slices are written as 8-bit PNG of 0..255 HU; the volumes stay where they are and are listed for
scores per patient, with a label of class ids beside the slices. Orientation is the header's. Volumes whose liver lies
on the left in the header are reported: in some editions headers are mirrored.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.extras.datasets.collection import Collection, Subject, Written
from monai_semigan.extras.datasets.layout import refuse_incomplete
from monai_semigan.extras.datasets.slices import write_slices
from monai_semigan.extras.datasets.volume_file import read_nifti_volume, write_nifti_volume
from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["collect"]

NUM_VOLUMES = 131
BODY_HU = -300
"""Above this is body, below air."""


def collect(source: Path) -> Collection:
    """Check the download and list its patients.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    if not source.is_dir():
        raise InputError(f"`{source}` must be the folder of the download, but is none.")
    volumes, labels = _numbered(source, "volume"), _numbered(source, "segmentation")
    if not volumes:
        raise InputError(f"`{source}` must hold volume-0.nii to volume-{NUM_VOLUMES - 1}.nii, but holds none of them.")
    wanted = range(NUM_VOLUMES)
    missing = [f"volume-{at}.nii" for at in wanted if at not in volumes]
    missing += [f"segmentation-{at}.nii" for at in wanted if at not in labels]
    refuse_incomplete("LiTS", missing, 2 * NUM_VOLUMES)
    subjects = tuple(
        Subject(
            patient_id=f"lits_{at}", has_label=True, write=partial(_write, f"lits_{at:03d}", volumes[at], labels[at])
        )
        for at in wanted
    )
    return Collection(subjects=subjects, class_names=("background", "liver"))


def _numbered(source: Path, kind: str) -> dict[int, Path]:
    found = {}
    for path in sorted(source.rglob(f"{kind}-*.nii*")):
        match = re.fullmatch(rf"{kind}-(\d+)\.nii(\.gz)?", path.name)
        if match and path.is_file() and path.stat().st_size:
            found[int(match[1])] = path
    return found


def _write(name: str, volume: Path, segmentation: Path, folder: Path) -> Written:
    voxels, grid = read_nifti_volume(volume)
    marked, _ = read_nifti_volume(segmentation)
    if marked.shape != voxels.shape:
        raise GeometryError(
            f"`{segmentation.name}` must have its volume's shape {voxels.shape}, got {marked.shape}. Download it again."
        )
    label = (marked > 0).astype(np.uint8)
    entries = write_slices(folder, name, voxels, label, grid, is_ct=True)
    path = f"volumes/{name}_label.nii.gz"
    write_nifti_volume(folder / path, label, grid)
    warnings = (
        ()
        if _liver_is_right(voxels, label, grid)
        else (f"{volume.name}: the liver lies on the patient's left by the header, which may be mirrored.",)
    )
    return Written(images=entries, volumes=({"image": str(volume.resolve()), "label": path},), warnings=warnings)


def _liver_is_right(voxels: np.ndarray, label: np.ndarray, grid: VoxelGrid) -> bool:
    """Compare the middle of the liver with that of the body, of every eighth voxel."""
    few = (slice(None, None, 8), slice(None, None, 8), slice(None, None, 2))
    scale = np.array([8, 8, 2])
    liver, body = (np.argwhere(mask[few]) * scale for mask in (label > 0, voxels > BODY_HU))
    if not len(liver) or not len(body):
        return True
    to_right = grid.to_mm(np.stack([liver.mean(axis=0), body.mean(axis=0)]))[:, 0]
    return bool(to_right[0] > to_right[1])
