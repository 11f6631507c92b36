# SPDX-License-Identifier: Apache-2.0
"""Label maps as PNG files of class ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.atomic import replacing
from monai_semigan.io.image_file import read_stored
from monai_semigan.io.value_checks import as_class_ids
from monai_semigan.types import PathLike

__all__ = ["read_label", "write_label"]


def read_label(path: PathLike, *, num_classes: int | None = None, binary: bool = False) -> np.ndarray:
    """Read class ids, ``(H, W)`` uint8, on the pixels as stored: an orientation in the file is not followed.

    Of a palette the indices are the ids; floats must be whole, NaN is background; an alpha channel must not vary.

    Args:
        path: Image file with one value per pixel.
        num_classes: Values must be below this; None for any.
        binary: Every value above 0 is class 1, as in masks of 0 and 255.

    Raises:
        InputError: The file is no label map, or holds a class that does not exist.
    """
    path = Path(path)
    values = read_stored(path)
    if binary:
        return (values > 0).astype(np.uint8)
    return as_class_ids(path.name, values, most=255 if num_classes is None else num_classes - 1)


def write_label(path: PathLike, label: np.ndarray) -> None:
    """Write class ids ``(H, W)`` as an 8-bit grey PNG.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary:
        # Level 1: label maps are so regular that more effort saves little.
        Image.fromarray(label.astype(np.uint8)).save(temporary, format="PNG", compress_level=1)
