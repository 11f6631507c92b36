# SPDX-License-Identifier: Apache-2.0
"""What the voxels of an image volume must hold, whatever the format."""

from __future__ import annotations

import numpy as np

from monai_semigan.errors import InputError

__all__ = ["require_image_values"]


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
