# SPDX-License-Identifier: Apache-2.0
"""Images with their labels as tiles, in a grid and one after another."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.pictures.overlay import as_pixels, overlay

__all__ = ["AnimationFormat", "encode_animation", "label_tile", "tile_grid"]

AnimationFormat = Literal["webp", "gif"]

TILE_PX = 128
"""Side of an image: eight side by side fill a page."""

GAP_PX, CAPTION_PX, TEXT_PX = 6, 24, 18

GROUND, TEXT = (40, 40, 40), (255, 255, 255)

REST = 6
"""How much longer the first and the last frame stay."""


def label_tile(
    image: np.ndarray, label: np.ndarray, colors: Sequence[Sequence[int]], *, side: int = TILE_PX
) -> Image.Image:
    """Draw an image, and below it the same with its label.

    Args:
        image: ``(C, S, S)`` in [-1, 1], C 1 or 3.
        label: Class ids, ``(S, S)``.
        colors: RGB per class, 0 to 255.
        side: Width of the tile, pixels; it is twice as high.
    """
    pixels = Image.fromarray(as_pixels(image)).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    large = Image.fromarray(label.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    tile = Image.new("RGB", (side, 2 * side))
    tile.paste(pixels, (0, 0))
    tile.paste(overlay(np.asarray(pixels), np.asarray(large), colors, max_side=side), (0, side))
    return tile


def tile_grid(tiles: Sequence[Image.Image], captions: Sequence[str], *, columns: int) -> Image.Image:
    """Arrange tiles of one size in rows, each below its caption; without any caption there is no room for one.

    Raises:
        ConfigError: There is no tile, or another number of captions.
    """
    if not tiles or len(tiles) != len(captions) or columns < 1:
        raise ConfigError(f"`tiles` must have a caption each, got {len(tiles)} and {len(captions)}.")
    width, height = tiles[0].size
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    caption_px = CAPTION_PX if any(captions) else 0
    step = width + GAP_PX, height + caption_px + GAP_PX
    canvas = Image.new("RGB", (columns * step[0] - GAP_PX, rows * step[1] - GAP_PX), GROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(TEXT_PX)
    for at, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = at % columns * step[0], at // columns * step[1]
        draw.text((left + 3, top + 1), caption, fill=TEXT, font=font)
        canvas.paste(tile, (left, top + caption_px))
    return canvas


def encode_animation(frames: Sequence[Image.Image], kind: AnimationFormat, *, frame_ms: int) -> bytes:
    """Return frames as an animation that repeats, and rests at its ends.

    Args:
        frames: Of one size.
        kind: ``webp``, or ``gif``, of 256 colors.
        frame_ms: How long a frame stays, milliseconds.

    Raises:
        ConfigError: There is no frame.
        OutputError: Pillow was built without WebP.
    """
    if not frames:
        raise ConfigError("`frames` must be at least one image, got none.")
    if kind == "webp" and not features.check("webp"):
        raise OutputError("Pillow must be built with WebP for a WebP animation. Choose GIF.")
    durations = [frame_ms * (REST if at in (0, len(frames) - 1) else 1) for at in range(len(frames))]
    stream, settings = BytesIO(), {"quality": 80, "method": 4} if kind == "webp" else {"optimize": True}
    frames[0].save(
        stream,
        format=kind.upper(),
        save_all=True,
        append_images=list(frames[1:]),
        duration=durations if len(frames) > 1 else frame_ms,
        loop=0,
        **settings,
    )
    return stream.getvalue()
