# SPDX-License-Identifier: Apache-2.0
"""Label maps as PNG files of class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.atomic import replacing
from monai_semigan.errors import InputError
from monai_semigan.io.image_file import read_image
from monai_semigan.types import PathLike

__all__ = ["read_label", "write_label"]


def read_label(path: PathLike, *, num_classes: int | None = None, binary: bool = False) -> np.ndarray:
    """Read class ids, ``(H, W)`` uint8.

    Args:
        path: Image file with one value per pixel.
        num_classes: Values must be below this; None for any.
        binary: Every value above 0 is class 1, as in masks of 0 and 255.

    Raises:
        InputError: The file is no label map, or holds a class that does not exist.
    """
    path = Path(path)
    pixels = read_image(path).pixels
    if pixels.ndim == 3:
        if np.ptp(pixels, axis=2).any():
            raise InputError(f"`{path.name}` must hold class ids, got a color image.")
        pixels = pixels[:, :, 0]
    if binary:
        return (pixels > 0).astype(np.uint8)
    low, high = float(pixels.min()), float(pixels.max())
    most = 255 if num_classes is None else num_classes - 1
    if low < 0 or high > most or pixels.dtype.kind == "f":
        raise InputError(
            f"`{path.name}` must hold class ids 0 to {most}, got values {low:g} to {high:g}. "
            "For masks of 0 and 255 say that labels are binary."
        )
    return pixels.astype(np.uint8)


def write_label(path: PathLike, label: np.ndarray) -> None:
    """Write class ids ``(H, W)`` as an 8-bit grey PNG.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary:
        # Level 1: label maps are so regular that more effort saves little.
        Image.fromarray(label.astype(np.uint8)).save(temporary, format="PNG", compress_level=1)
