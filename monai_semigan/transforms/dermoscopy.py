# SPDX-License-Identifier: Apache-2.0
"""Dermoscopy: what is on the skin or the lens and not in it, and the color of the light.

All functions take and return RGB, ``(H, W, 3)`` float32 in [0, 1], and are meant for a working resolution of about 256
pixels per side; widths are shares of the longer side.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hsv

from monai_semigan.errors import check_shape

__all__ = [
    "clean_skin",
    "fill_in",
    "hair_mask",
    "remove_hair",
    "shades_of_grey",
    "sticker_mask",
    "vignette_mask",
]

HAIR_WIDTH_SHARE = 0.027
"""Hair is thinner: 7 of 256 pixels; lesions are wider."""

HAIR_CONTRAST = 0.05
"""How much darker than its surroundings a hair is, in at least one channel."""

HAIR_LENGTH_SHARE = 0.07
"""Hair runs straight for so long: 18 of 256 pixels; the meshes of a lesion's network are shorter."""

NUM_DIRECTIONS = 24
"""Directions in which straight pieces are looked for."""

DARK_SHARE = 0.35
"""A vignette is darker than this share of the image's median luminance at its darkest, see `vignette_mask`."""

VIGNETTE_RESIDUAL_SHARE = 0.03
"""How far a vignette's edge may lie from its circle, root mean square."""

MIN_VIGNETTE_SHARE = 0.005
"""Smaller dark corners are left as they are."""

RIM_SHARE = 0.04
"""Width of the gradient at a vignette's edge."""

PAINT_HUES = (60 / 360, 320 / 360)
"""Yellow over green and blue to magenta: in balanced light no skin, blood or pigment is of these hues and saturated."""

PAINT_SATURATION = 0.22
"""From here on such a hue is paint, not the tint of shadows."""

BRIGHT_HUES = (22 / 360, 60 / 360)
"""Orange and yellow: paint where it is bright and vivid, pigment where it is dark or dull."""

BRIGHT_SATURATION = 0.5
"""Vivid."""

BRIGHT_VALUE = 0.6
"""Bright."""

MIN_STICKER_SHARE = 0.006
"""Smaller colored patches stay."""

MAX_STICKER_SHARE = 0.4
"""Larger ones are the color of the light."""

FILL_SHARE = 0.01
"""Width of the smallest blur that fills holes."""


def clean_skin(
    rgb: np.ndarray, *, vignette: bool = True, hair: bool = True, stickers: bool = True, balance: bool = True
) -> np.ndarray:
    """Fill vignette, hair and stickers in and balance the light's color, in the order in which they disturb each other.

    Stickers are looked for in balanced light, but the light's color is taken without them.
    """
    cleaned = rgb.astype(np.float32)
    if vignette:
        cleaned = fill_in(cleaned, vignette_mask(cleaned))
    if hair:
        cleaned = remove_hair(cleaned)
    if stickers:
        cleaned = fill_in(cleaned, sticker_mask(shades_of_grey(cleaned)))
    return shades_of_grey(cleaned) if balance else cleaned


def shades_of_grey(rgb: np.ndarray, *, power: float = 6.0) -> np.ndarray:
    """Divide the color of the light out: its estimate is the Minkowski mean of each channel.

    Finlayson and Trezzi 2004, equation 4, with their best power 6; brightness is kept.
    """
    check_shape("rgb", rgb.shape, "H W 3")
    light = np.mean(np.asarray(rgb, dtype=np.float64) ** power, axis=(0, 1)) ** (1 / power)
    if light.min() <= 0:
        return rgb.astype(np.float32)
    gain = np.sqrt((light**2).mean()) / light
    balanced: np.ndarray = (rgb * gain.astype(np.float32)).clip(0, 1).astype(np.float32)
    return balanced


def hair_mask(rgb: np.ndarray) -> np.ndarray:
    """Find dark hair and the ticks of rulers, ``(H, W)`` bool.

    As DullRazor (Lee et al. 1997): what a closing fills is thin and dark. Of that, the straight pieces are hair.
    """
    check_shape("rgb", rgb.shape, "H W 3")
    side = max(rgb.shape[:2])
    width = max(3, round(HAIR_WIDTH_SHARE * side) | 1)
    thin = np.zeros(rgb.shape[:2], dtype=bool)
    for channel in np.moveaxis(rgb, -1, 0):
        thin |= ndimage.grey_closing(channel, size=(width, width)) - channel > HAIR_CONTRAST
    straight = np.zeros_like(thin)
    for steps in _lines(max(5, round(HAIR_LENGTH_SHARE * side))):
        straight |= _opened_along(thin, steps)
    hair: np.ndarray = ndimage.binary_dilation(straight, np.ones((3, 3)))
    return hair


def remove_hair(rgb: np.ndarray) -> np.ndarray:
    """Replace hair by its surroundings, ``(H, W, 3)`` float32."""
    return fill_in(rgb, hair_mask(rgb))


def vignette_mask(rgb: np.ndarray) -> np.ndarray:
    """Find the dark surround of a circular field of view, ``(H, W)`` bool.

    The dark pieces at the corners must end at one circle around the image's middle. A dark lesion at the border does
    not, and is left alone.
    """
    check_shape("rgb", rgb.shape, "H W 3")
    luminance = ndimage.gaussian_filter(rgb.mean(axis=-1), 1)
    nothing = np.zeros(rgb.shape[:2], dtype=bool)
    middle = float(np.median(_central(luminance)))
    dark = luminance < DARK_SHARE * middle + 0.02
    labels, _ = ndimage.label(dark)
    corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    surround = np.isin(labels, list(corners))
    if surround.mean() < MIN_VIGNETTE_SHARE:
        return nothing
    circle = _circle(surround)
    if circle is None:
        return nothing
    (row, column), radius = circle
    rows, columns = np.indices(rgb.shape[:2])
    margin = RIM_SHARE * max(rgb.shape[:2])
    outside: np.ndarray = np.hypot(rows - row, columns - column) > radius - margin
    return outside


def sticker_mask(rgb: np.ndarray) -> np.ndarray:
    """Find colored patches at the border that are no skin, ``(H, W)`` bool.

    Args:
        rgb: In balanced light: after `shades_of_grey`.
    """
    check_shape("rgb", rgb.shape, "H W 3")
    hue, saturation, value = np.moveaxis(rgb2hsv(rgb), -1, 0)
    paint = (hue > PAINT_HUES[0]) & (hue < PAINT_HUES[1]) & (saturation > PAINT_SATURATION) & (value > 0.15)
    vivid = (saturation > BRIGHT_SATURATION) & (value > BRIGHT_VALUE)
    colored = paint | ((hue > BRIGHT_HUES[0]) & (hue <= BRIGHT_HUES[1]) & vivid)
    colored = ndimage.binary_closing(ndimage.binary_opening(colored, iterations=2), iterations=3)
    labels, count = ndimage.label(colored)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    kept = (areas >= MIN_STICKER_SHARE * colored.size) & (areas <= MAX_STICKER_SHARE * colored.size)
    band = max(1, round(0.03 * max(colored.shape)))  # opening and closing draw pieces back from the border
    inner = labels[band:-band, band:-band]
    kept &= np.bincount(inner.ravel(), minlength=count + 1) < areas
    kept[0] = False
    if not kept.any():
        return np.zeros(colored.shape, dtype=bool)
    return ndimage.binary_dilation(kept[labels], iterations=max(2, round(0.02 * max(colored.shape))))


def fill_in(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace masked pixels by blurred surroundings, from a narrow blur to wider ones where holes are large.

    Returns:
        ``(H, W, 3)`` float32; unchanged where nothing or all is masked.
    """
    filled = rgb.astype(np.float32)
    if not mask.any() or mask.all():
        return filled
    missing = mask.copy()
    sigma = max(1.0, FILL_SHARE * max(mask.shape))
    weight = (~mask).astype(np.float32)
    while missing.any():
        share = ndimage.gaussian_filter(weight, sigma, truncate=3)
        reached = missing & (share > 0.05)
        if reached.any():
            for channel in range(3):
                blurred = ndimage.gaussian_filter(rgb[..., channel] * weight, sigma, truncate=3)
                filled[reached, channel] = blurred[reached] / share[reached]
            missing &= ~reached
        sigma *= 2
        if sigma > max(mask.shape):
            filled[missing] = np.median(rgb[~mask], axis=0)
            break
    return filled


def _lines(length: int) -> list[list[tuple[int, int]]]:
    """Steps ``(row, column)`` along straight lines in `NUM_DIRECTIONS` directions."""
    angles = np.arange(NUM_DIRECTIONS) * np.pi / NUM_DIRECTIONS
    places = np.arange(length) - length // 2
    return [
        sorted({(round(place * np.sin(angle)), round(place * np.cos(angle))) for place in places}) for angle in angles
    ]


def _opened_along(mask: np.ndarray, steps: list[tuple[int, int]]) -> np.ndarray:
    """Keep what a line covers that lies wholly inside; outside the image all counts as inside."""
    margin = max(max(abs(row), abs(column)) for row, column in steps)
    height, width = mask.shape

    def shifted(padded: np.ndarray, row: int, column: int) -> np.ndarray:
        return padded[margin + row : margin + row + height, margin + column : margin + column + width]

    padded = np.pad(mask, margin, constant_values=True)
    core = np.ones_like(mask)
    for row, column in steps:
        core &= shifted(padded, row, column)
    if not core.any():
        return core
    padded = np.pad(core, margin)
    opened = np.zeros_like(mask)
    for row, column in steps:
        opened |= shifted(padded, -row, -column)
    return opened


def _central(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    return values[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _circle(surround: np.ndarray) -> tuple[tuple[float, float], float] | None:
    """Fit a circle to a surround's inner edge (Kasa 1976); None where it is no field of view."""
    height, width = surround.shape
    edge = surround & ~ndimage.binary_erosion(surround, border_value=1)
    rows, columns = np.nonzero(edge)
    if len(rows) < 20:
        return None
    system = np.column_stack([2.0 * rows, 2.0 * columns, np.ones(len(rows))])
    (row, column, rest), *_ = np.linalg.lstsq(system, (rows**2 + columns**2).astype(float), rcond=None)
    square = rest + row**2 + column**2
    if square <= 0:
        return None
    radius = float(np.sqrt(square))
    residual = float(np.sqrt(np.mean((np.hypot(rows - row, columns - column) - radius) ** 2)))
    is_centered = abs(row - height / 2) < 0.15 * height and abs(column - width / 2) < 0.15 * width
    is_field = 0.35 * min(height, width) < radius < 0.75 * float(np.hypot(height, width))
    if residual > VIGNETTE_RESIDUAL_SHARE * max(height, width) or not is_centered or not is_field:
        return None
    return (float(row), float(column)), radius
