# SPDX-License-Identifier: Apache-2.0
"""Volumes of the data sets: NIfTI files, and folders of DICOM slices whose file names give the order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras

__all__ = ["read_nifti_volume", "read_slice_files", "write_nifti_volume"]

EVEN_SHARE = 0.02
"""Gaps between slices may differ by this share of their median: positions are rounded to a few digits."""

SAME_FRAME = 1e-4
"""Direction cosines and spacings (mm) of two slices may differ by this."""


def read_nifti_volume(path: Path) -> tuple[np.ndarray, VoxelGrid]:
    """Read a volume ``(I, J, K)`` with its grid.

    Raises:
        InputError: The file is damaged or not three-dimensional.
    """
    import nibabel  # noqa: PLC0415  (0.3 s to import)
    from nibabel.filebasedimages import ImageFileError  # noqa: PLC0415

    try:
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj)
    except (OSError, ValueError, EOFError, ImageFileError) as error:
        raise InputError(
            f"`{path.name}` must be a NIfTI file, but cannot be read: {error}. Download it again."
        ) from error
    if voxels.ndim != 3:
        raise InputError(f"`{path.name}` must have three axes, got {voxels.ndim}.")
    try:
        return voxels, VoxelGrid(voxels.shape, image.affine)
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error


def write_nifti_volume(path: Path, voxels: np.ndarray, grid: VoxelGrid) -> None:
    """Write a volume with qform and sform, in the number type of ``voxels``."""
    import nibabel  # noqa: PLC0415  (0.3 s to import)

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, grid.affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(grid.affine, 1)
    image.set_sform(grid.affine, 1)
    nibabel.save(image, path)


def read_slice_files(files: Sequence[Path]) -> tuple[np.ndarray, VoxelGrid]:
    """Read single-frame DICOM slices in the given order: K follows the files, whichever way they run in the patient.

    SeriesInstanceUID is not looked at: anonymized data sets have lost it. CT values are HU.

    Returns:
        ``(I, J, K)`` int16 or, where rescaling gives fractions, float32, and the grid: columns along I, rows along J.

    Raises:
        InputError: A file is no DICOM image.
        GeometryError: The slices in this order are no regular volume.
    """
    import pydicom  # noqa: PLC0415  (0.3 s to import)

    planes, positions, frames = [], [], []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # anonymized headers hold values that pydicom frowns upon
                dataset = pydicom.dcmread(file)
                stored = dataset.pixel_array.astype(np.float32)
            slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
            positions.append([float(value) for value in dataset.ImagePositionPatient])
            frames.append([float(value) for value in (*dataset.ImageOrientationPatient, *dataset.PixelSpacing)])
        except (OSError, ValueError, AttributeError, TypeError, pydicom.errors.InvalidDicomError) as error:
            raise InputError(f"`{file.name}` must be a DICOM slice, but cannot be read: {error}.") from error
        planes.append(stored * slope + intercept)
    is_alike = all(np.allclose(frame, frames[0], atol=SAME_FRAME) for frame in frames)
    if not is_alike or len({plane.shape for plane in planes}) != 1:
        raise GeometryError(f"`{files[0].parent}` must hold slices of one size, orientation and spacing.")
    orientation, spacing = np.array(frames[0][:6]), frames[0][6:]
    step = _even_step(np.array(positions), files[0].parent)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * spacing[1]
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    voxels = np.stack(planes, axis=-1).transpose(1, 0, 2)  # (rows, columns, K) -> (I, J, K)
    is_whole = np.array_equal(voxels, np.rint(voxels)) and np.abs(voxels).max() < 2**15
    return voxels.astype(np.int16) if is_whole else voxels, VoxelGrid(voxels.shape, lps_from_ras(affine))


def _even_step(positions: np.ndarray, folder: Path) -> np.ndarray:
    """Return the vector from slice to slice (DICOM PS3.3 C.7.6.2.1.1: position of the first voxel)."""
    if len(positions) < 2:
        raise GeometryError(f"`{folder}` must hold at least two slices.")
    steps = np.diff(positions, axis=0)
    median = np.median(steps, axis=0)
    uneven = np.linalg.norm(steps - median, axis=1) > max(EVEN_SHARE * float(np.linalg.norm(median)), 1e-2)
    if uneven.any() or not np.linalg.norm(median):
        at = int(np.argmax(uneven)) + 1
        raise GeometryError(
            f"`{folder}` must hold evenly spaced slices in the order of their names, but slices {at} and {at + 1} are "
            "not. A file is missing or does not belong here."
        )
    return np.asarray((positions[-1] - positions[0]) / (len(positions) - 1))
