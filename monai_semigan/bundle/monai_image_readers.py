# SPDX-License-Identifier: Apache-2.0
"""This package's image readers for MONAI's ``LoadImage``: rows before columns, metadata without patient data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from monai_semigan.io.image_file import SourceImage, read_image, require_color, require_grey

__all__ = ["ColorImageReader", "GreyImageReader"]


class _SingleImageReader(ImageReader):
    """Read one image per file."""

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Accept any name: the content decides."""
        return True

    def read(self, data: Sequence[str | Path] | str | Path, **_: Any) -> list[SourceImage]:
        """Read one file or several.

        Raises:
            InputError: A file cannot be read as a single image, or is grey where color is needed or the reverse.
        """
        paths = [data] if isinstance(data, (str, Path)) else data
        return [self._require(read_image(path)) for path in paths]

    def get_data(self, img: Sequence[SourceImage]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels and metadata of the first image."""
        source = img[0]
        pixels, channel_dim = self._pixels(source)
        return pixels, {
            "filename_or_obj": str(source.path),
            "photometric": source.photometric,
            "voi_window": source.voi_window,
            "spacing_mm": source.spacing_mm,
            "orientation": source.orientation,
            "spatial_shape": np.asarray(pixels.shape[:2]),
            "original_channel_dim": channel_dim,
        }

    @abstractmethod
    def _require(self, source: SourceImage) -> SourceImage:
        """Refuse what the bundle does not take."""

    @abstractmethod
    def _pixels(self, source: SourceImage) -> tuple[np.ndarray, str | int]:
        """Return the pixels, and where MONAI finds the channels."""


class GreyImageReader(_SingleImageReader):
    """Read PNG, JPEG, TIFF and single-frame DICOM as grey images ``(H, W)``.

    The metadata are ``filename_or_obj``, ``photometric``, ``voi_window``, ``spacing_mm``, ``orientation`` (of the
    file; the pixels are upright) and ``spatial_shape``.
    """

    def _require(self, source: SourceImage) -> SourceImage:
        return require_grey(source)

    def _pixels(self, source: SourceImage) -> tuple[np.ndarray, str | int]:
        return source.pixels.astype(np.float32), "no_channel"


class ColorImageReader(_SingleImageReader):
    """Read PNG, JPEG, TIFF and single-frame DICOM as color images ``(H, W, 3)``; metadata as for grey ones."""

    def _require(self, source: SourceImage) -> SourceImage:
        return require_color(source)

    def _pixels(self, source: SourceImage) -> tuple[np.ndarray, str | int]:
        return source.pixels, -1  # in their own type: the chain tells 8 from 16 bits by it
