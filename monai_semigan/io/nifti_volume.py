# SPDX-License-Identifier: Apache-2.0
"""Read NIfTI volumes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.limits import check_volume_shape
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import NiftiOrigin, SourceVolume
from monai_semigan.types import PathLike

__all__ = ["NIFTI_SUFFIXES", "mm_per_unit", "nifti_size", "nifti_stem", "read_nifti"]

NIFTI_SUFFIXES = (".nii.gz", ".nii")

MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per spatial unit by its code: unknown (taken as mm), metre, millimetre, micrometre (nifti1.h)."""

SPATIAL_UNIT = 7
"""Bits of xyzt_units that hold the spatial unit."""

MAX_REMAINDER_BYTES = 2**22
"""Bytes that may follow the voxels."""

CHUNK_BYTES = 2**20

FORMS_AGREE_MM = 0.1
"""Corners of the grids of qform and sform may differ by this much: both are float32, one a quaternion."""


def nifti_stem(path: Path) -> str:
    """Return a file's name without ``.nii`` or ``.nii.gz``."""
    lower = path.name.lower()
    suffix = next((suffix for suffix in NIFTI_SUFFIXES if lower.endswith(suffix)), "")
    return path.name[: len(path.name) - len(suffix)]


def mm_per_unit(units: int) -> float:
    """Return the millimetres of a header's spatial unit, by its ``xyzt_units``."""
    return MM_PER_UNIT[units & SPATIAL_UNIT]


def nifti_size(path: Path) -> tuple[tuple[int, int, int], int] | None:
    """Return shape and bytes per voxel as `read_nifti` would hold them, from the header; None if it cannot be read."""
    import nibabel as nib  # noqa: PLC0415  (0.3 s to import)

    try:
        image: Any = nib.load(path)
        shape = (*(int(size) for size in image.shape), 1, 1)[:3]
        dtype, proxy = image.get_data_dtype(), image.dataobj
        is_kept = proxy.slope == 1 and proxy.inter == 0 and dtype.kind in "iu"
    except Exception:  # nibabel raises what it likes for damaged headers; reading says what is wrong
        return None
    return (shape[0], shape[1], shape[2]), int(dtype.itemsize) if is_kept else 4


def read_nifti(path: PathLike, *, is_label: bool = False) -> SourceVolume:
    """Read a 3-D NIfTI-1 or NIfTI-2 file, or one of more dimensions whose further axes have size 1.

    Values are scaled by the header's slope and intercept; integers without scaling keep their type, all else becomes
    float32. The affine is the sform if its code is above 0, else the qform, else made of the spacing alone (as
    nibabel's), in millimetres whatever the header's unit.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        is_label: Constant values are welcome: label maps may be empty.

    Raises:
        InputError: The file is damaged or cut short, has other dimensions, or its values cannot be used.
        GeometryError: The affine is singular or the spacing not positive.
    """
    import nibabel as nib  # noqa: PLC0415  (0.3 s to import)

    path = Path(path)
    try:
        image: Any = nib.load(path)
        raw = _raw_header(path, type(image.header))
    except FileNotFoundError as error:
        raise InputError(f"`{path}` must be a NIfTI file, but does not exist.") from error
    except Exception as error:  # nibabel raises what it likes for damaged headers
        raise InputError(f"`{path.name}` must be a NIfTI file, but is damaged ({type(error).__name__}).") from error
    if not isinstance(image, (nib.Nifti1Image, nib.Nifti2Image)):
        raise InputError(f"`{path.name}` must be a NIfTI file, got {type(image).__name__}.")
    shape = _spatial_shape(path.name, image.shape)
    scale = _require_header(path.name, image, raw)
    warnings: list[str] = []
    try:
        affine = np.diag([scale, scale, scale, 1.0]) @ np.asarray(image.affine, dtype=np.float64)
        grid = VoxelGrid(shape, affine)
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error
    origin = NiftiOrigin(
        qform=_coded(image.header.get_qform(coded=True)),
        sform=_coded(image.header.get_sform(coded=True)),
        units=int(raw["xyzt_units"]),
        shape=tuple(image.shape),
    )
    warnings += _remarks(origin, grid, scale)
    voxels = _values(path, image).reshape(shape, order="F")
    if not is_label:
        require_image_values(path.name, voxels)
    return SourceVolume(name=nifti_stem(path), voxels=voxels, grid=grid, origin=origin, warnings=tuple(warnings))


def _raw_header(path: Path, kind: Any) -> Any:
    """Read the header as it stands: nibabel turns a spacing of zero or below into a positive one."""
    from nibabel.openers import ImageOpener  # noqa: PLC0415  (0.3 s to import)

    with ImageOpener(path) as stream:
        return kind.from_fileobj(stream, check=False)


def _spatial_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise InputError(f"`{name}` must be one 3-D volume, got shape {tuple(shape)}. Extract one volume of it first.")
    if min(shape) < 1:
        raise InputError(f"`{name}` must hold voxels, got shape {tuple(shape)}.")
    check_volume_shape(name, shape[:3])
    return int(shape[0]), int(shape[1]), int(shape[2])


def _require_header(name: str, image: Any, raw: Any) -> float:
    """Return millimetres per unit."""
    spacing = np.asarray(raw["pixdim"], dtype=np.float64)[1:4]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise GeometryError(
            f"`{name}` must have a spacing above 0, got pixdim {' x '.join(f'{value:g}' for value in spacing)}. "
            "Correct the header."
        )
    units = int(raw["xyzt_units"])
    if units & SPATIAL_UNIT not in MM_PER_UNIT:
        raise InputError(f"`{name}` must be in metres, millimetres or micrometres, got the unit code {units}.")
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"`{name}` must hold one real number per voxel, got {image.get_data_dtype()}.")
    return mm_per_unit(units)


def _coded(form: tuple[np.ndarray | None, int]) -> tuple[np.ndarray | None, int]:
    return form[0], int(form[1])


def _remarks(origin: NiftiOrigin, grid: VoxelGrid, scale: float) -> list[str]:
    (qform, qform_code), (sform, sform_code) = origin.qform, origin.sform
    remarks = []
    if not qform_code and not sform_code:
        remarks.append("The header has neither qform nor sform: orientation and position are guessed from the spacing.")
    if qform is not None and sform is not None and qform_code and sform_code:
        away = _farthest(grid, qform, scale)
        if away > FORMS_AGREE_MM:
            remarks.append(f"qform and sform disagree by up to {away:.1f} mm: the sform was used.")
    if scale != 1:
        remarks.append(f"The header's unit was converted to millimetres (x {scale:g}).")
    return remarks


def _farthest(grid: VoxelGrid, qform: np.ndarray, scale: float) -> float:
    corners = grid.to_indices(grid.corners_mm())
    other = corners @ qform[:3, :3].T + qform[:3, 3]
    return float(np.linalg.norm(scale * other - grid.corners_mm(), axis=1).max())


def _values(path: Path, image: Any) -> np.ndarray:
    """Read and scale the voxels: at most float32 and the file's own values are held at once."""
    slope, inter = np.float64(image.dataobj.slope), np.float64(image.dataobj.inter)
    try:
        stored = _decompressed(path, image) if path.name.lower().endswith(".gz") else image.dataobj.get_unscaled()
        if slope == 1 and inter == 0 and stored.dtype.kind in "iu":
            return np.asarray(stored, dtype=stored.dtype.newbyteorder("="))
        values = np.empty(stored.shape, dtype=np.float32, order="F")
        for at in range(stored.shape[2]):  # as a whole, the volume would stand here in float64
            values[:, :, at] = stored[:, :, at] * slope + inter
        return values
    except InputError:  # a ValueError too
        raise
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"`{path.name}` must be complete, but is damaged or cut short. Copy it again.") from error
    except MemoryError as error:
        raise InputError(f"`{path.name}` must fit into memory, got shape {image.shape}.") from error


def _decompressed(path: Path, image: Any) -> np.ndarray:
    """Read a compressed file to its checksum; nibabel, having what it needs, does not, and holds the voxels twice."""
    dtype = image.get_data_dtype()
    content = np.empty(math.prod(image.shape) * dtype.itemsize, dtype=np.uint8)
    with gzip.open(path) as stream:
        stream.seek(int(image.dataobj.offset))
        for start in range(0, content.size, CHUNK_BYTES):
            wanted = content.data[start : start + CHUNK_BYTES]
            if stream.readinto(wanted) < len(wanted):
                raise EOFError
        left = MAX_REMAINDER_BYTES
        while left > 0 and (chunk := stream.read(CHUNK_BYTES)):
            left -= len(chunk)
    if left <= 0:
        raise InputError(
            f"`{path.name}` must hold one volume, but holds more than its header says. Correct the header."
        )
    return content.view(dtype).reshape(image.shape, order="F")
