# SPDX-License-Identifier: Apache-2.0
"""The layers of an image's viewer: grey or color pictures, and class ids that the page colors itself."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from monai_semigan.pictures.overlay import difference_heat, display_picture, encode_jpeg, encode_png, network_picture

__all__ = ["MAX_SIDE", "Layer", "image_layers", "share_layer"]

MAX_SIDE = 2048
"""Longest side of the source in its viewer, pixels: details of an X-ray stay visible, a page stays near 1 MB."""

QUALITY = 92
"""Of the source as JPEG."""

Layer = tuple[str, bytes, bytes]
"""Name, picture, and class ids as a grey PNG of the same size."""


def image_layers(
    pixels: np.ndarray, label: np.ndarray, view: tuple[np.ndarray, np.ndarray, np.ndarray] | None
) -> list[Layer]:
    """Return the source, and what the network saw and made of it.

    Args:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB of any range; grey is shown between its 0.5 and 99.5 percentiles.
        label: Class ids, ``(H, W)``.
        view: The network's image and its reconstruction, ``(C, S, S)`` in [-1, 1], and its label, ``(S, S)``.
    """
    size = _shown_size(label)
    source = display_picture(pixels).resize(size, Image.Resampling.LANCZOS)
    layers = [("image", encode_jpeg(source, quality=QUALITY), _ids(label, size))]
    if view is None:
        return layers
    seen, made, ids = view
    square = _ids(ids, (ids.shape[1], ids.shape[0]))
    pictures = {
        "network input": network_picture(seen),
        "reconstruction": network_picture(made),
        "difference": difference_heat(seen, made),
    }
    return layers + [(name, encode_jpeg(picture, quality=QUALITY), square) for name, picture in pictures.items()]


def share_layer(share: np.ndarray) -> bytes:
    """Return a map ``(H, W)`` in [0, 1] as a grey PNG of the size of the source's layer."""
    picture = Image.fromarray((np.nan_to_num(share).clip(0, 1) * 255).round().astype(np.uint8))
    return encode_png(picture.resize(_shown_size(share), Image.Resampling.BILINEAR))


def _shown_size(pixels: np.ndarray) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _ids(label: np.ndarray, size: tuple[int, int]) -> bytes:
    picture = Image.fromarray(label.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
