# SPDX-License-Identifier: Apache-2.0
"""This package's readers for MONAI's ``LoadImage``: metadata without patient data, and geometry that is checked.

MONAI's own DICOM reader orders slices by number and drops or misplaces some without an error; `VolumeReader` refuses
what is no regular volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from monai_semigan.errors import InputError
from monai_semigan.io.image_file import SourceImage, read_image
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import find_volumes
from monai_semigan.types import Paths, as_paths

__all__ = ["SourceImageReader", "VolumeReader"]


class SourceImageReader(ImageReader):
    """Read PNG, JPEG, TIFF and single-frame DICOM: grey ``(H, W)`` or color ``(H, W, 3)``, rows before columns.

    The metadata are ``filename_or_obj``, ``photometric``, ``stored_type`` (the file's number type), ``spatial_shape``
    and, where the file says it, ``voi_window`` and ``orientation``: the pixels are upright, label maps are turned back.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Paths, **_: Any) -> list[SourceImage]:
        """Read one file or several.

        Raises:
            InputError: A file cannot be read as a single image.
        """
        return [read_image(path) for path in as_paths(data)]

    def get_data(self, img: Sequence[SourceImage]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels and metadata of the first image."""
        source = img[0]
        meta = {
            "filename_or_obj": str(source.path),
            "photometric": source.photometric,
            "stored_type": source.pixels.dtype.str,
            "spatial_shape": np.asarray(source.pixels.shape[:2]),
            "original_channel_dim": "no_channel" if source.pixels.ndim == 2 else -1,
        }
        if source.orientation != 1:
            meta["orientation"] = source.orientation
        if source.voi_window is not None:
            meta["voi_window"] = np.asarray(source.voi_window)
        return source.pixels, meta


class VolumeReader(ImageReader):
    """Read one volume ``(I, J, K)``: DICOM series, NIfTI, MHA or NRRD, on one RAS+ grid.

    The metadata are ``affine`` (to RAS+ mm), ``space``, ``spatial_shape``, ``modality`` and ``filename_or_obj``.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Paths, **_: Any) -> list[tuple[Path, SourceVolume]]:
        """Read a file, or a folder with one DICOM series.

        Raises:
            InputError: It holds no volume, several, or one that cannot be used.
            GeometryError: Its slices do not form a regular volume.
        """
        paths = as_paths(data)
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
