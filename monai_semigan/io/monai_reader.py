# SPDX-License-Identifier: Apache-2.0
"""This package's image readers for MONAI's ``LoadImage``: rows before columns, metadata without patient data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from monai_semigan.io.image_file import SourceImage, read_image, require_color, require_grey

__all__ = ["ColorImageReader", "GreyImageReader"]


class GreyImageReader(ImageReader):
    """Read PNG, JPEG, TIFF and single-frame DICOM as grey images ``(H, W)``.

    The metadata are ``filename_or_obj``, ``photometric``, ``voi_window``, ``spacing_mm`` and ``spatial_shape``.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Sequence[str | Path] | str | Path, **_: Any) -> list[SourceImage]:
        """Read one file or several.

        Raises:
            InputError: A file cannot be read as a single grey image.
        """
        paths = [data] if isinstance(data, (str, Path)) else data
        return [require_grey(read_image(path)) for path in paths]

    def get_data(self, img: Sequence[SourceImage]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels and metadata of the first image."""
        source = img[0]
        return source.pixels.astype(np.float32), {
            "filename_or_obj": str(source.path),
            "photometric": source.photometric,
            "voi_window": source.voi_window,
            "spacing_mm": source.spacing_mm,
            "spatial_shape": np.asarray(source.pixels.shape),
            "original_channel_dim": "no_channel",
        }


class ColorImageReader(ImageReader):
    """Read PNG, JPEG, TIFF and single-frame DICOM as color images ``(H, W, 3)``.

    The metadata are ``filename_or_obj``, ``spacing_mm`` and ``spatial_shape``.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Sequence[str | Path] | str | Path, **_: Any) -> list[SourceImage]:
        """Read one file or several.

        Raises:
            InputError: A file cannot be read as a single color image.
        """
        paths = [data] if isinstance(data, (str, Path)) else data
        return [require_color(read_image(path)) for path in paths]

    def get_data(self, img: Sequence[SourceImage]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels and metadata of the first image."""
        source = img[0]
        # The values keep their type: the chain tells 8 from 16 bits by it.
        return source.pixels, {
            "filename_or_obj": str(source.path),
            "spacing_mm": source.spacing_mm,
            "spatial_shape": np.asarray(source.pixels.shape[:2]),
            "original_channel_dim": -1,
        }
