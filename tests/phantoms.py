"""The drawn abdomen on grids of every orientation, as arrays, NIfTI, MHA and DICOM series; small and quick."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import SimpleITK

from monai_semigan.extras.phantoms.abdomen import AbdomenPhantom, draw_abdomen
from monai_semigan.extras.phantoms.series import write_phantom_series
from monai_semigan.extras.phantoms.shapes import rotation
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras

Modality = Literal["CT", "MR"]

AXES = {
    "axial": "LPS",
    "coronal": "LIP",
    "sagittal": "PIL",
    "oblique": "LPS",
    "negated_column_cosine": "RPS",
    "reversed_order": "LPI",
}
"""Direction in which I, J and K grow."""

ORIENTATIONS = tuple(AXES)
DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
SPACING_MM, SIZES = (9.0, 10.0, 15.0), (45, 33, 15)
"""Left-right, anterior-posterior, inferior-superior: all different, so that swapped axes fail."""

OBLIQUE_DEGREES = (11.0, -7.0, 16.0)


def oriented_grid(orientation: str = "axial") -> VoxelGrid:
    """Lay a coarse grid over the abdomen in one of `ORIENTATIONS`."""
    vectors = np.array([DIRECTIONS[code] for code in AXES[orientation]], dtype=float).T  # one direction per column
    body_axis = np.abs(vectors).argmax(axis=0)
    if orientation == "oblique":
        vectors = rotation(OBLIQUE_DEGREES) @ vectors
    shape = tuple(SIZES[axis] for axis in body_axis)
    affine = np.eye(4)
    affine[:3, :3] = vectors * [SPACING_MM[axis] for axis in body_axis]
    affine[:3, 3] = (3.0, -8.0, 2.0) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return VoxelGrid((shape[0], shape[1], shape[2]), affine)


@functools.cache
def phantom(orientation: str = "axial", *, seed: int = 0) -> AbdomenPhantom:
    """Draw a patient on `oriented_grid`, once per process: the arrays are read-only."""
    drawn = draw_abdomen(oriented_grid(orientation), seed=seed)
    for array in (drawn.voxels_ct, drawn.voxels_mr, drawn.label):
        array.setflags(write=False)
    return drawn


def voxels(drawn: AbdomenPhantom, modality: Modality) -> np.ndarray:
    return drawn.voxels_ct if modality == "CT" else drawn.voxels_mr


def write_nifti(path: Path, array: np.ndarray, grid: VoxelGrid) -> Path:
    """Write an array as NIfTI with qform and sform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, grid.affine)
    image.set_qform(grid.affine, 1)
    image.set_sform(grid.affine, 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_mha(path: Path, array: np.ndarray, grid: VoxelGrid) -> Path:
    """Write an array as MHA or NRRD, by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = lps_from_ras(grid.affine)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / grid.spacing_mm).ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


def write_series(
    folder: Path, drawn: AbdomenPhantom, modality: Modality = "CT", *, name: str = "phantom"
) -> list[Path]:
    """Write a phantom as a DICOM series; returns the files in the order of K."""
    return write_phantom_series(folder, voxels(drawn, modality), drawn.grid, modality=modality, name=name)
