# SPDX-License-Identifier: Apache-2.0
"""Read MHA, MHD and NRRD volumes through SimpleITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.limits import check_volume_shape
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import SourceVolume
from monai_semigan.types import PathLike

__all__ = ["ITK_SUFFIXES", "read_itk"]

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd")


def read_itk(path: PathLike, *, is_label: bool = False) -> SourceVolume:
    """Read a 3-D MHA, MHD or NRRD file, or a 4-D one whose last axis has size 1; values keep their type.

    Args:
        path: ``.mha``, ``.mhd`` or ``.nrrd``.
        is_label: Constant values are welcome: label maps may be empty.

    Raises:
        InputError: The file is damaged, has other dimensions or several values per voxel.
        GeometryError: Its axes are singular.
    """
    import SimpleITK  # noqa: PLC0415  (0.3 s to import)

    path = Path(path)
    if not path.is_file():
        raise InputError(f"`{path}` must be an MHA, MHD or NRRD file, but does not exist.")
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = _require_volume(path.name, reader)
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].split(": ")[-1]
        raise InputError(
            f"`{path.name}` must be a complete MHA, MHD or NRRD file, but is damaged ({reason})."
        ) from error
    voxels = SimpleITK.GetArrayFromImage(image).reshape(size[::-1]).transpose(2, 1, 0)
    try:
        grid = VoxelGrid((size[0], size[1], size[2]), lps_from_ras(_affine(image)))
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error
    if voxels.dtype == np.float64:
        voxels = voxels.astype(np.float32)
    if not is_label:
        require_image_values(path.name, voxels)
    return SourceVolume(name=path.stem, voxels=voxels, grid=grid)


def _require_volume(name: str, reader: Any) -> tuple[int, ...]:
    size = tuple(int(length) for length in reader.GetSize())
    if len(size) not in (3, 4) or any(length != 1 for length in size[3:]):
        raise InputError(f"`{name}` must be one 3-D volume, got size {size}. Extract one volume of it first.")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"`{name}` must hold one value per voxel, got {reader.GetNumberOfComponents()}.")
    check_volume_shape(name, size[:3])
    return size[:3]


def _affine(image: Any) -> np.ndarray:
    """From indices to LPS+ millimetres."""
    axes = int(image.GetDimension())
    direction = np.array(image.GetDirection()).reshape(axes, axes)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return affine
