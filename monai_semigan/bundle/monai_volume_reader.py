# SPDX-License-Identifier: Apache-2.0
"""This package's volume reader for MONAI's ``LoadImage``: DICOM series, NIfTI, MHA and NRRD on one RAS+ grid.

MONAI's own DICOM reader orders slices by number and drops or misplaces some without an error; this one refuses what is
no regular volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from monai_semigan.errors import InputError
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import find_volumes

__all__ = ["VolumeReader"]


class VolumeReader(ImageReader):
    """Read one volume ``(I, J, K)``.

    The metadata are ``affine`` (to RAS+ mm), ``space``, ``spatial_shape``, ``modality`` and ``filename_or_obj``.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Sequence[str | Path] | str | Path, **_: Any) -> list[tuple[Path, SourceVolume]]:
        """Read a file, or a folder with one DICOM series.

        Raises:
            InputError: It holds no volume, several, or one that cannot be used.
            GeometryError: Its slices do not form a regular volume.
        """
        paths = [Path(path) for path in ([data] if isinstance(data, (str, Path)) else data)]
        found = find_volumes(paths)
        if len(found) != 1:
            raise InputError(f"`{paths[0].name}` must hold one volume, got {len(found)}. Give each its own folder.")
        return [(paths[0], found[0].load())]

    def get_data(self, img: Sequence[tuple[Path, SourceVolume]]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return voxels and metadata of the volume."""
        path, volume = img[0]
        return volume.voxels.astype(np.float32), {
            "filename_or_obj": str(path),
            "affine": np.array(volume.grid.affine),
            "original_affine": np.array(volume.grid.affine),
            "space": "RAS",
            "spatial_shape": np.asarray(volume.grid.shape),
            "modality": volume.modality or "",
            "original_channel_dim": "no_channel",
        }
