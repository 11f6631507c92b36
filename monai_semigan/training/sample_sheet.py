# SPDX-License-Identifier: Apache-2.0
"""Grids of images with their label maps as a PNG."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from monai_semigan.atomic import replacing
from monai_semigan.errors import check_shape
from monai_semigan.types import PathLike

__all__ = ["CLASS_COLORS", "sample_sheet", "save_image"]

CLASS_COLORS = (
    (0, 0, 0), (230, 97, 1), (94, 60, 153), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""RGB per class, told apart with the common color deficiencies (Okabe and Ito 2008); class 0 is never drawn."""

OVERLAY_STRENGTH = 0.35


def sample_sheet(image: Tensor, probability: Tensor, *, columns: int = 8, zoom: int = 2) -> Image.Image:
    """Draw each image, and beside it the same image tinted by its label.

    Args:
        image: ``(N, C, S, S)``, C 1 or 3, about [-1, 1].
        probability: ``(N, K, S, S)`` in [0, 1].
        columns: Pairs per row.
        zoom: Integer enlargement.
    """
    n, _, size = check_shape("image", image.shape, "N C S S").values()
    grey = ((image.float().clamp(-1, 1) + 1) * 127.5).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()  # (N, S, S, 3)
    weights = probability.float().permute(0, 2, 3, 1).numpy()  # (N, S, S, K)
    palette = np.array([CLASS_COLORS[at % len(CLASS_COLORS)] for at in range(weights.shape[-1])], dtype=np.float32)
    strength = OVERLAY_STRENGTH * weights[..., 1:]
    tinted = grey * (1 - strength.sum(axis=-1, keepdims=True)) + strength @ palette[1:]
    pairs = np.concatenate([grey, tinted], axis=2)  # (N, S, 2 S, 3)
    rows = -(-n // columns)
    canvas = np.zeros((rows * size, min(columns, n) * 2 * size, 3), dtype=np.float32)
    for at, pair in enumerate(pairs):
        row, column = divmod(at, columns)
        canvas[row * size : (row + 1) * size, column * 2 * size : (column + 1) * 2 * size] = pair
    picture = Image.fromarray(canvas.round().clip(0, 255).astype(np.uint8))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def save_image(path: PathLike, picture: Image.Image) -> None:
    """Write a whole PNG or nothing.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
