# SPDX-License-Identifier: Apache-2.0
"""Read MHA, MHD, NRRD and NHDR volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.itk_header import ItkHeader, read_itk_header
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.voxel_bytes import read_voxels
from monai_semigan.types import PathLike

__all__ = ["ITK_SUFFIXES", "data_files", "itk_size", "read_itk"]

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")


def read_itk(path: PathLike, *, is_label: bool = False) -> SourceVolume:
    """Read a 3-D MHA, MHD, NRRD or NHDR file, or one whose further axes have size 1; values keep their type.

    float64 becomes float32. The voxels lie in the file or in files beside it, raw or packed by gzip or zlib.

    Args:
        path: ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``; the content tells the format.
        is_label: Constant values are welcome: label maps may be empty.

    Raises:
        InputError: The file is damaged or unusual, has other dimensions or several values per voxel.
        GeometryError: Its axes are singular.
    """
    path = Path(path)
    header = read_itk_header(path)
    if header.segments and not is_label:
        raise InputError(f"`{path.name}` must be an image, but is a segmentation. Give the image it was drawn on.")
    try:
        grid = VoxelGrid(header.shape, lps_from_ras(header.affine))
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error
    voxels = _voxels(path.name, header)
    if not is_label:
        require_image_values(path.name, voxels)
    return SourceVolume(name=path.stem, voxels=voxels, grid=grid, warnings=header.warnings)


def itk_size(path: Path) -> tuple[tuple[int, int, int], int] | None:
    """Return shape and bytes per voxel as `read_itk` would hold them, from the header; None if it cannot be read."""
    try:
        header = read_itk_header(path)
    except InputError:
        return None
    return header.shape, min(header.dtype.itemsize, 4) if header.dtype.kind == "f" else header.dtype.itemsize


def data_files(path: Path) -> tuple[Path, ...]:
    """List the files beside a header that hold its voxels; none for files that hold them themselves.

    Raises:
        InputError: The header cannot be read, or names files that do not lie in its folder.
    """
    return tuple(file for file in read_itk_header(path).files if file != path)


def _voxels(name: str, header: ItkHeader) -> np.ndarray:
    files = header.files
    if len(files) == 1:
        voxels = _part(files[0], header, header.shape)
    elif header.shape[2] != len(files):
        raise InputError(f"`{name}` must name a data file for each of {header.shape[2]} slices, got {len(files)}.")
    else:
        voxels = np.empty(header.shape, dtype=header.dtype.newbyteorder("="), order="F")
        for at, file in enumerate(files):
            voxels[:, :, at] = _part(file, header, header.shape[:2])
    if voxels.dtype != np.float64:
        return voxels
    with np.errstate(over="ignore"):  # infinity is refused in images, by its count
        return voxels.astype(np.float32)


def _part(file: Path, header: ItkHeader, shape: tuple[int, ...]) -> np.ndarray:
    if not file.is_file():
        raise InputError(f"`{file.name}` must lie beside its header, but does not exist. Copy it there.")
    offset = header.offset
    if offset == -1:  # the voxels end the file
        offset = max(0, file.stat().st_size - int(np.prod(shape, dtype=object)) * header.dtype.itemsize)
    elif offset < 0:
        raise InputError(f"`{file.name}` must have voxels at a known place, got {offset} bytes before them.")
    return read_voxels(file, shape, header.dtype, offset=offset, skip=header.skip, deflated=header.deflated)
