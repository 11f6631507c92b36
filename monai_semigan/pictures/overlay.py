# SPDX-License-Identifier: Apache-2.0
"""Pictures of a result at screen size: the label on its image, and the reconstruction beside the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

__all__ = [
    "AGREEMENT_COLORS",
    "as_pixels",
    "difference_heat",
    "disagreement",
    "display_picture",
    "encode_jpeg",
    "encode_png",
    "network_picture",
    "overlay",
    "reconstruction_panel",
]

MAX_SIDE = 1024
"""Longest side of an overlay, pixels: fills a screen, and one case stays near 100 kB in a report."""

FILL = 0.25
"""Opacity of the label's area; its contour is opaque."""

LINE_PX = 2

EDGE = (255, 255, 255)
"""Color of the line inside a contour, one pixel wide: without it a dark contour is lost on dark tissue."""

AGREEMENT_COLORS = {
    "neither": (250, 250, 250),
    "both": (198, 204, 210),
    "reference only": (0, 90, 181),
    "prediction only": (230, 97, 1),
    "another class": (136, 46, 114),
    "ignored": (110, 110, 110),
}
"""Colors of `disagreement`: blue and orange differ for color-blind readers too."""

ERROR_FILL = 0.6
"""Opacity of what differs, on an image."""

ERROR_SIDE = 640
"""Longest side of what differs on an image, pixels: small crops are enlarged to it."""

PANEL_SIDE = 256
CAPTION_HEIGHT = 44
CAPTION_SIZE = 34
"""Pixels: the panel of four is shown at about half its size, on a phone at a third."""

CAPTION_COLORS = ((40, 40, 40), (255, 255, 255))
"""Ground and text: on a white page and on a dark one."""

Color = Sequence[int]


def overlay(pixels: np.ndarray, label: np.ndarray, colors: Sequence[Color], *, max_side: int = MAX_SIDE) -> Image.Image:
    """Tint each class of ``label`` and draw its contour on the image.

    Args:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB of any range; grey is shown between its 0.5 and 99.5 percentiles.
        label: Class ids, ``(H, W)``.
        colors: RGB per class, 0 to 255; class 0 is not drawn.
        max_side: Longest side of the picture.
    """
    step = max(1, -(-max(label.shape) // (2 * max_side)))  # thin out first: the rest costs by the pixel
    height, width = label.shape
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.array(display_picture(pixels[::step, ::step]).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    small = np.asarray(Image.fromarray(label[::step, ::step].astype(np.uint8)).resize(size, Image.Resampling.NEAREST))
    for index in range(1, len(colors)):
        mask = small == index
        if mask.any():
            color = np.asarray(colors[index], dtype=np.float32)
            canvas[mask] += FILL * (color - canvas[mask])
            inside = ndimage.binary_erosion(mask, iterations=LINE_PX)
            canvas[mask & ~inside] = color
            canvas[inside & ~ndimage.binary_erosion(inside)] = EDGE
    return Image.fromarray(canvas.round().astype(np.uint8))


def reconstruction_panel(
    image: np.ndarray, reconstruction: np.ndarray, label: np.ndarray, colors: Sequence[Color]
) -> Image.Image:
    """Draw what the network saw, what it made of it, its label, and the difference, side by side.

    Args:
        image: ``(C, S, S)`` in [-1, 1], C 1 or 3.
        reconstruction: The same.
        label: Class ids, ``(S, S)``.
        colors: RGB per class.
    """
    enlarged = [_enlarge(network_picture(picture)) for picture in (image, reconstruction)]
    big_label = np.asarray(
        Image.fromarray(label.astype(np.uint8)).resize((PANEL_SIDE, PANEL_SIDE), Image.Resampling.NEAREST)
    )
    tiles = {
        "network input": enlarged[0],
        "reconstruction": enlarged[1],
        "its label": overlay(np.asarray(enlarged[1]), big_label, colors, max_side=PANEL_SIDE),
        "difference": _enlarge(difference_heat(image, reconstruction)),
    }
    panel = Image.new("RGB", (PANEL_SIDE * len(tiles), PANEL_SIDE + CAPTION_HEIGHT), CAPTION_COLORS[0])
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(CAPTION_SIZE)
    for at, (caption, tile) in enumerate(tiles.items()):
        panel.paste(tile, (at * PANEL_SIDE, CAPTION_HEIGHT))
        draw.text((at * PANEL_SIDE + 4, 2), caption, fill=CAPTION_COLORS[1], font=font)
    return panel


def disagreement(
    predicted: np.ndarray,
    reference: np.ndarray,
    *,
    ignore: np.ndarray | None = None,
    image: np.ndarray | None = None,
    max_side: int = PANEL_SIDE,
) -> Image.Image:
    """Draw where two label maps differ, in `AGREEMENT_COLORS`.

    Args:
        predicted: Class ids, ``(H, W)``.
        reference: The same.
        ignore: Pixels that were left out, bool.
        image: What was labelled, ``(H, W)`` grey or ``(H, W, 3)`` RGB of any range: what differs tints it, around the
            reference runs a line, and the picture is `ERROR_SIDE` long. None draws areas on white.
        max_side: Longest side of the picture without an image.
    """
    kinds = np.zeros(reference.shape, dtype=np.uint8)  # indices into AGREEMENT_COLORS
    kinds[(predicted == reference) & (reference > 0)] = 1
    kinds[(predicted == 0) & (reference > 0)] = 2
    kinds[(predicted > 0) & (reference == 0)] = 3
    kinds[(predicted != reference) & (predicted > 0) & (reference > 0)] = 4
    if ignore is not None:
        kinds[ignore] = 5
    palette = np.asarray(list(AGREEMENT_COLORS.values()), dtype=np.uint8)
    if image is not None:
        return _on_image(image, kinds, reference > 0, palette)
    step = max(1, -(-max(kinds.shape) // (4 * max_side)))
    thin = kinds[::step, ::step]
    scale = min(1.0, max_side / max(thin.shape))
    size = max(1, round(thin.shape[1] * scale)), max(1, round(thin.shape[0] * scale))
    return Image.fromarray(palette[thin]).resize(size, Image.Resampling.BOX)


def _on_image(image: np.ndarray, kinds: np.ndarray, inside: np.ndarray, palette: np.ndarray) -> Image.Image:
    scale = ERROR_SIDE / max(kinds.shape)
    size = max(1, round(kinds.shape[1] * scale)), max(1, round(kinds.shape[0] * scale))
    canvas = np.array(display_picture(image).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    large, area = (
        np.asarray(Image.fromarray(a.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) for a in (kinds, inside)
    )
    canvas[(area > 0) & ~ndimage.binary_erosion(area > 0)] = EDGE
    tinted = large >= 2
    canvas[tinted] += ERROR_FILL * (palette[large[tinted]] - canvas[tinted])
    return Image.fromarray(canvas.round().astype(np.uint8))


def as_pixels(image: np.ndarray) -> np.ndarray:
    """Turn a network's image ``(C, S, S)`` in [-1, 1] into uint8 pixels, ``(S, S)`` grey or ``(S, S, 3)`` RGB."""
    shown: np.ndarray = ((image.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return shown[0] if len(shown) == 1 else np.ascontiguousarray(shown.transpose(1, 2, 0))


def encode_png(picture: Image.Image) -> bytes:
    """Return the picture as PNG."""
    stream = BytesIO()
    picture.save(stream, format="PNG", compress_level=3)
    return stream.getvalue()


def encode_jpeg(picture: Image.Image, *, quality: int = 82) -> bytes:
    """Return the picture as JPEG."""
    stream = BytesIO()
    picture.save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def display_picture(pixels: np.ndarray) -> Image.Image:
    """Return ``(H, W)`` grey between its 0.5 and 99.5 percentiles, or ``(H, W, 3)`` RGB, as an RGB picture."""
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(pixels))
    values = pixels.astype(np.float32)
    low, high = np.percentile(values, (0.5, 99.5))
    shown = ((values - low) / max(high - low, 1e-6) * 255).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(shown).convert("RGB")


def network_picture(image: np.ndarray) -> Image.Image:
    """Return what the network sees or makes, ``(C, S, S)`` in [-1, 1], as an RGB picture."""
    return Image.fromarray(as_pixels(image)).convert("RGB")


def difference_heat(image: np.ndarray, reconstruction: np.ndarray) -> Image.Image:
    """Return how far two images ``(C, S, S)`` in [-1, 1] differ: black where not, over red and yellow to white."""
    difference = np.abs(image - reconstruction).mean(axis=0) / 2
    heat = np.stack([difference, difference**2, difference**4], axis=-1) ** 0.5
    return Image.fromarray((heat.clip(0, 1) * 255).round().astype(np.uint8))


def _enlarge(picture: Image.Image) -> Image.Image:
    return picture.resize((PANEL_SIDE, PANEL_SIDE), Image.Resampling.BICUBIC)
