# SPDX-License-Identifier: Apache-2.0
"""Read NIfTI volumes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.limits import check_volume_shape
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import NiftiOrigin, SourceVolume
from monai_semigan.io.voxel_bytes import file_start, read_voxels
from monai_semigan.types import PathLike

__all__ = ["NIFTI_SUFFIXES", "mm_per_unit", "nifti_size", "nifti_stem", "read_nifti"]

NIFTI_SUFFIXES = (".nii.gz", ".nii")

MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per spatial unit by its code: unknown (taken as mm), metre, millimetre, micrometre (nifti1.h)."""

SPATIAL_UNIT = 7
"""Bits of xyzt_units that hold the spatial unit."""

DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"
}  # fmt: skip
"""Types of real numbers by their code (nifti1.h)."""

HEADER_BYTES = 540
"""Of NIfTI-2, the longer one."""

MAX_EXTENSION_BYTES = 2**26
"""Extensions between header and voxels."""

MAX_QUATERNION_SQUARE = 1.001
"""Three components of a unit quaternion, rounded to float32 or to a few digits, may exceed 1 by this little."""

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
    try:
        header = _read_header(path)
    except (InputError, GeometryError):
        return None
    return header.volume_shape, header.dtype.itemsize if header.keeps_type else 4


def read_nifti(path: PathLike, *, is_label: bool = False) -> SourceVolume:
    """Read a 3-D NIfTI-1 or NIfTI-2 file, or one of more dimensions whose further axes have size 1.

    Values are scaled by the header's slope and intercept; integers without scaling keep their type, all else becomes
    float32. The affine is the sform if its code is above 0, else the qform, else made of the spacing alone (as
    nibabel's), in millimetres whatever the header's unit. Where the sform counts, a qform that is no rotation is
    ignored. Whether the file is compressed its content says, not its name.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        is_label: Constant values are welcome: label maps may be empty.

    Raises:
        InputError: The file is damaged or cut short, has other dimensions, or its values cannot be used.
        GeometryError: The affine is singular or the spacing not positive.
    """
    path = Path(path)
    header = _read_header(path)
    shape = header.volume_shape
    scale = mm_per_unit(header.units)
    qform, sform = header.qform(), header.sform()
    warnings: list[str] = []
    if header.qform_code and qform is None:
        if not header.sform_code:
            raise GeometryError(f"`{path.name}` must have a qform that is a rotation. Correct the header.")
        warnings.append("The header's qform is no rotation: the sform was used.")
    affine = sform if header.sform_code else qform if header.qform_code else header.base_affine()
    try:
        grid = VoxelGrid(shape, np.diag([scale, scale, scale, 1.0]) @ affine)
    except GeometryError as error:
        raise GeometryError(f"`{path.name}`: {error}") from error
    origin = NiftiOrigin(
        qform=(qform, header.qform_code) if header.qform_code and qform is not None else (None, 0),
        sform=(sform, header.sform_code) if header.sform_code else (None, 0),
        units=header.units,
        shape=header.shape,
    )
    warnings += _remarks(origin, grid, scale)
    voxels = _values(path, header)
    if not is_label:
        require_image_values(path.name, voxels)
    return SourceVolume(name=nifti_stem(path), voxels=voxels, grid=grid, origin=origin, warnings=tuple(warnings))


@dataclass(frozen=True)
class _Header:
    """The fields of a NIfTI header, with the checks that every file has passed.

    Attributes:
        fields: As they stand in the file.
        shape: With the further axes of size 1.
        volume_shape: Without them.
        dtype: Of a voxel in the file, with its byte order.
        is_gzip: The file is compressed.
    """

    fields: Any
    shape: tuple[int, ...]
    volume_shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    is_gzip: bool

    @property
    def units(self) -> int:
        return int(self.fields["xyzt_units"])

    @property
    def qform_code(self) -> int:
        return max(0, int(self.fields["qform_code"]))

    @property
    def sform_code(self) -> int:
        return max(0, int(self.fields["sform_code"]))

    @property
    def scaling(self) -> tuple[float, float]:
        """Slope and intercept; a slope of zero, or none, is no scaling (nifti1.h)."""
        slope, intercept = float(self.fields["scl_slope"]), float(self.fields["scl_inter"])
        return (slope, intercept) if slope != 0 and math.isfinite(slope) else (1.0, 0.0)

    @property
    def keeps_type(self) -> bool:
        return self.scaling == (1.0, 0.0) and self.dtype.kind in "iu"

    def spacing(self) -> np.ndarray:
        return np.asarray(self.fields["pixdim"], dtype=np.float64)[1:4]

    def sform(self) -> np.ndarray:
        rows = [np.asarray(self.fields[name], dtype=np.float64) for name in ("srow_x", "srow_y", "srow_z")]
        return np.array([*rows, (0.0, 0.0, 0.0, 1.0)])

    def qform(self) -> np.ndarray | None:
        """Return the affine of the quaternion (nifti1.h, method 2), which is normalized; None where it is none."""
        b, c, d = (float(self.fields[f"quatern_{name}"]) for name in "bcd")
        offset = [float(self.fields[f"qoffset_{name}"]) for name in "xyz"]
        square = b * b + c * c + d * d
        if not square <= MAX_QUATERNION_SQUARE or not np.isfinite(offset).all():
            return None
        a = math.sqrt(max(0.0, 1 - square))
        a, b, c, d = np.array([a, b, c, d]) / math.sqrt(max(1.0, square))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        handed = np.array([1, 1, -1 if self.fields["pixdim"][0] < 0 else 1])
        affine = np.eye(4)
        affine[:3, :3] = rotation * self.spacing() * handed
        affine[:3, 3] = offset
        return affine

    def base_affine(self) -> np.ndarray:
        """Centre the volume, with x growing to the left, as nibabel does."""
        steps = self.spacing() * (-1, 1, 1)
        affine = np.diag([*steps, 1.0])
        affine[:3, 3] = -steps * (np.array(self.volume_shape) - 1) / 2
        return affine


def _read_header(path: Path) -> _Header:
    """Read and check what can be said without the voxels.

    Raises:
        InputError: The file is no NIfTI file of one volume of real numbers.
        GeometryError: The spacing is not positive.
    """
    from nibabel import nifti1, nifti2  # noqa: PLC0415  (0.3 s to import)

    start, is_gzip = file_start(path, HEADER_BYTES)
    for fields, magic in ((nifti1.header_dtype, b"n+1"), (nifti2.header_dtype, b"n+2")):
        for order in "<>":
            layout = fields.newbyteorder(order)
            if len(start) < layout.itemsize:
                continue
            raw = np.frombuffer(start, layout, count=1)[0]
            if raw["sizeof_hdr"] == layout.itemsize and bytes(raw["magic"]).startswith(magic):
                return _checked(path.name, raw, order, layout.itemsize, is_gzip)
    raise InputError(f"`{path.name}` must be a NIfTI file, but is damaged or another format.")


def _checked(name: str, raw: Any, order: str, size: int, is_gzip: bool) -> _Header:
    dimensions = int(raw["dim"][0])
    shape = tuple(int(length) for length in raw["dim"][1 : 1 + dimensions]) if 1 <= dimensions <= 7 else ()
    if len(shape) < 3 or any(length != 1 for length in shape[3:]):
        raise InputError(f"`{name}` must be one 3-D volume, got shape {shape}. Extract one volume of it first.")
    if min(shape) < 1:
        raise InputError(f"`{name}` must hold voxels, got shape {shape}.")
    check_volume_shape(name, shape[:3])
    kind = DTYPES.get(int(raw["datatype"]))
    if kind is None:
        raise InputError(f"`{name}` must hold one real number per voxel, got the type code {int(raw['datatype'])}.")
    if not size <= float(raw["vox_offset"]) <= MAX_EXTENSION_BYTES:
        raise InputError(f"`{name}` must be a NIfTI file, but is damaged (vox_offset).")
    header = _Header(raw, shape, (shape[0], shape[1], shape[2]), np.dtype(order + kind), is_gzip)
    spacing = header.spacing()
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise GeometryError(
            f"`{name}` must have a spacing above 0, got pixdim {' x '.join(f'{value:g}' for value in spacing)}. "
            "Correct the header."
        )
    if header.units & SPATIAL_UNIT not in MM_PER_UNIT:
        raise InputError(f"`{name}` must be in metres, millimetres or micrometres, got the unit code {header.units}.")
    if not np.isfinite(header.scaling).all():
        raise InputError(f"`{name}` must have a finite intercept with its slope. Correct the header.")
    return header


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


def _values(path: Path, header: _Header) -> np.ndarray:
    """Read and scale the voxels: at most float32 and the file's own values are held at once."""
    offset = int(header.fields["vox_offset"])
    place = {"skip": offset} if header.is_gzip else {"offset": offset}
    stored = read_voxels(path, header.volume_shape, header.dtype, deflated=header.is_gzip, **place)
    if header.keeps_type:
        return stored
    slope, inter = (np.float64(number) for number in header.scaling)
    try:
        values = np.empty(stored.shape, dtype=np.float32, order="F")
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused in images, by its count
            for at in range(stored.shape[2]):  # as a whole, the volume would stand here in float64
                values[:, :, at] = stored[:, :, at] * slope + inter
    except MemoryError as error:
        raise InputError(f"`{path.name}` must fit into memory, got shape {header.shape}.") from error
    return values
