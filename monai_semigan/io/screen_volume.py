# SPDX-License-Identifier: Apache-2.0
"""A copy of a volume for the screen: a compressed NIfTI of few bytes per voxel, made slice by slice.

It shows what the source holds, not more: HU are cut to what a CT scanner gives, other values that fit no int16 are
rounded to 32,767 steps. Results are never made of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["image_nifti", "label_nifti", "share_nifti"]

HU_RANGE = (-1024, 3071)
"""Of 12 bits, as CT scanners store them."""

INT16 = np.iinfo(np.int16)

MILLIMETERS, SCANNER_CODE = 2, 1
"""xyzt_units and sform_code (nifti1.h)."""


def image_nifti(voxels: np.ndarray, grid: VoxelGrid, *, is_ct: bool) -> bytes:
    """Return an image as a compressed int16 NIfTI.

    Args:
        voxels: ``(I, J, K)``, any real type; NaN becomes the lowest value.
        grid: Where they lie.
        is_ct: They are HU: cut to `HU_RANGE`, and rounded to whole ones.
    """
    low: float
    high: float
    if is_ct:
        low, high, step = *HU_RANGE, 1.0
    elif voxels.dtype.kind in "iub" and voxels.min() >= INT16.min and voxels.max() <= INT16.max:
        low, high, step = int(INT16.min), int(INT16.max), 1.0
    else:
        low, high = _finite_range(voxels)
        step = max((high - low) / INT16.max, float(np.finfo(np.float32).tiny))
    first = 0.0 if step == 1.0 else low

    def encoded(plate: np.ndarray) -> np.ndarray:
        if step == 1.0 and plate.dtype.kind in "iub":
            return plate.clip(low, high)
        known = np.nan_to_num(plate.astype(np.float32), nan=low, posinf=high, neginf=low).clip(low, high)
        steps: np.ndarray = ((known - first) / step).round()
        return steps.astype(np.int16)

    return _compressed(voxels, grid, np.dtype(np.int16), encoded, slope=step, first=first)


def label_nifti(label: np.ndarray, grid: VoxelGrid) -> bytes:
    """Return class ids ``(I, J, K)`` uint8 as a compressed NIfTI."""
    return _compressed(label, grid, np.dtype(np.uint8), np.asarray)


def share_nifti(share: np.ndarray, grid: VoxelGrid) -> bytes:
    """Return a map ``(I, J, K)`` in [0, 1] as a compressed uint8 NIfTI of 255 steps."""

    def encoded(plate: np.ndarray) -> np.ndarray:
        steps: np.ndarray = (np.nan_to_num(plate).clip(0, 1) * 255).round()
        return steps.astype(np.uint8)

    return _compressed(share, grid, np.dtype(np.uint8), encoded, slope=1 / 255)


def _compressed(
    voxels: np.ndarray,
    grid: VoxelGrid,
    dtype: np.dtype[Any],
    encoded: Callable[[np.ndarray], np.ndarray],
    *,
    slope: float = 1.0,
    first: float = 0.0,
) -> bytes:
    from nibabel import Nifti1Header  # noqa: PLC0415  (0.3 s to import)

    header: Any = Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(voxels.shape)
    header["pixdim"][1:4] = grid.spacing_mm
    header.set_sform(grid.affine, SCANNER_CODE)
    header["xyzt_units"] = MILLIMETERS
    header["scl_slope"], header["scl_inter"], header["vox_offset"], header["magic"] = slope, first, 352, b"n+1"
    stream = BytesIO()
    # No time, no name: equal input, equal file.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=stream, mtime=0) as out:
        out.write(header.binaryblock + b"\0" * 4)
        for at in range(voxels.shape[2]):  # a slice is held twice, the volume never
            out.write(encoded(voxels[:, :, at]).astype(dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
    return stream.getvalue()


def _finite_range(voxels: np.ndarray) -> tuple[float, float]:
    known = voxels if voxels.dtype.kind != "f" or np.isfinite(voxels).all() else voxels[np.isfinite(voxels)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
