# SPDX-License-Identifier: Apache-2.0
"""Read MHA, MHD, NRRD and NHDR volumes through SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.limits import MAX_SLICES, check_volume_shape
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import SourceVolume
from monai_semigan.types import PathLike

__all__ = ["ITK_SUFFIXES", "data_files", "itk_size", "read_itk"]

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")

DETACHED_SUFFIXES = (".mhd", ".nhdr")
"""Headers whose voxels lie in files beside them."""

DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.IGNORECASE)
"""The line that names them (MetaIO's MetaImage, NRRD's detached headers)."""

NUMBERED = re.compile(r"([^\s%]*%\d*d[^\s%]*)\s+(-?\d+)\s+(-?\d+)\s+(\d+)(?:\s+\d+)?")
"""Names by number, in both formats: pattern, first, last, step."""

MAX_HEADER_BYTES = 2**20


def read_itk(path: PathLike, *, is_label: bool = False) -> SourceVolume:
    """Read a 3-D MHA, MHD, NRRD or NHDR file, or a 4-D one whose last axis has size 1; values keep their type.

    Args:
        path: ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr``.
        is_label: Constant values are welcome: label maps may be empty.

    Raises:
        InputError: The file is damaged, has other dimensions or several values per voxel.
        GeometryError: Its axes are singular.
    """
    import SimpleITK  # noqa: PLC0415  (0.3 s to import)

    path = Path(path)
    if not path.is_file():
        raise InputError(f"`{path}` must be an MHA, MHD or NRRD file, but does not exist.")
    data_files(path)  # that they lie beside it
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
    is_double = image.GetPixelID() == SimpleITK.sitkFloat64
    stored = SimpleITK.GetArrayViewFromImage(image)
    voxels = stored.astype(np.float32 if is_double else stored.dtype).reshape(size[::-1]).transpose(2, 1, 0)
    try:
        grid = VoxelGrid((size[0], size[1], size[2]), lps_from_ras(_affine(image)))
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error
    if not is_label:
        require_image_values(path.name, voxels)
    return SourceVolume(name=path.stem, voxels=voxels, grid=grid)


def itk_size(path: Path) -> tuple[tuple[int, int, int], int] | None:
    """Return shape and bytes per voxel as `read_itk` would hold them, from the header; None if it cannot be read."""
    import SimpleITK  # noqa: PLC0415  (0.3 s to import)

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = (*(int(length) for length in reader.GetSize()), 1)[:3]
        itemsize = SimpleITK.Image(1, 1, reader.GetPixelID()).GetSizeOfPixelComponent()
    except RuntimeError:
        return None
    return (size[0], size[1], size[2]), min(itemsize, 4)  # float64 becomes float32


def data_files(path: Path) -> tuple[Path, ...]:
    """List the files that hold the voxels of a ``.mhd`` or ``.nhdr`` header; none for files that hold them themselves.

    Raises:
        InputError: The header cannot be read, or names files that do not lie in its folder.
    """
    if path.suffix.lower() not in DETACHED_SUFFIXES:
        return ()
    try:
        with path.open("rb") as stream:
            lines = stream.read(MAX_HEADER_BYTES).decode("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error.strerror}.") from error
    matches = ((at, DATA_FILE.match(line)) for at, line in enumerate(lines))
    at, named = next(((at, match[1]) for at, match in matches if match), (0, "LOCAL"))
    if named.upper() == "LOCAL":
        return ()
    names = [line.strip() for line in lines[at + 1 :] if line.strip()] if named.upper().startswith("LIST") else [named]
    if numbered := NUMBERED.fullmatch(named):
        pattern, (first, last, step) = numbered[1], map(int, numbered.groups()[1:])
        names = [pattern % number for number in range(first, min(last, first + MAX_SLICES) + 1, max(step, 1))]
    found = tuple(path.parent / name for name in names)
    if not all(file.resolve().is_relative_to(path.parent.resolve()) for file in found):
        raise InputError(f"`{path.name}` must name data files in its own folder. Put them beside it.")
    return found


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
