# SPDX-License-Identifier: Apache-2.0
"""Words below a picture, for viewers that show nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["captioned"]

SIZE_PX, MARGIN_PX = 20, 6
GROUND, INK = (40, 40, 40), (255, 255, 255)


def captioned(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    """Add a strip with text below a picture; a line too long for it goes on in the next.

    Args:
        picture: RGB.
        lines: Plain text.
    """
    font = ImageFont.load_default(SIZE_PX)
    wrapped = [part for line in lines for part in _wrapped(line, font, picture.width - 2 * MARGIN_PX)]
    step = SIZE_PX + MARGIN_PX
    canvas = Image.new("RGB", (picture.width, picture.height + len(wrapped) * step + MARGIN_PX), GROUND)
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for at, line in enumerate(wrapped):
        draw.text((MARGIN_PX, picture.height + MARGIN_PX // 2 + at * step), line, fill=INK, font=font)
    return canvas


def _wrapped(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break a line between words; a single word that is too long stays whole."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and font.getlength(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts
