# SPDX-License-Identifier: Apache-2.0
"""What the voxels of an image volume must hold, whatever the format."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError

__all__ = ["as_class_ids", "require_image_values"]


def require_image_values(name: str, voxels: np.ndarray) -> None:
    """Refuse voxels that show nothing.

    Raises:
        InputError: Values are no real numbers, not finite (with their count), or all equal.
    """
    if voxels.dtype.kind not in "iufb":
        raise InputError(f"`{name}` must hold one real number per voxel, got {voxels.dtype}.")
    low, high = voxels.min(), voxels.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # both carry a NaN on
        # Slice by slice: a mask of everything would cost as much memory as the volume.
        count = sum(int(np.count_nonzero(~np.isfinite(voxels[..., at]))) for at in range(voxels.shape[-1]))
        share = "no" if count == voxels.size else f"{count:,} of {voxels.size:,}"
        what = "holds no number at all" if share == "no" else f"{share} voxels are NaN or infinite"
        raise InputError(f"`{name}` must hold finite values, but {what}. Replace them, for example by the background.")
    if low == high:
        raise InputError(f"`{name}` must show something, but every voxel is {low:g}.")


def as_class_ids(name: str, values: np.ndarray, *, most: int) -> np.ndarray:
    """Return class ids as uint8, or uint16 where one is above 255; whole floats are ids, NaN is background.

    Args:
        name: Of the file.
        values: Any shape.
        most: Highest id that exists.

    Raises:
        InputError: A value is no whole number from 0 to ``most``, or none is a number.
    """
    if values.dtype.kind == "f":
        is_nan = np.isnan(values)
        if is_nan.any() and not is_nan.all():
            values = np.where(is_nan, values.dtype.type(0), values)
    low, high = float(values.min()), float(values.max())
    is_whole = values.dtype.kind in "iub" or (
        np.isfinite([low, high]).all() and bool((values == np.rint(values)).all())
    )
    if not is_whole or low < 0 or high > most:
        hint = (
            "For masks of 0 and 255 say that labels are binary."
            if is_whole and high == 255
            else ("Give the label map, not the image or a probability.")
        )
        raise InputError(f"`{name}` must hold class ids 0 to {most}, got values {low:g} to {high:g}. {hint}")
    return values.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
