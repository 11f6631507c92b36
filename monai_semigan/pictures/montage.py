# SPDX-License-Identifier: Apache-2.0
"""One picture of a volume: its slices with the label's contours, as radiologists see them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import DISPLAY_AXCODES, reorient_to

__all__ = ["choose_slices", "slice_montage"]

TILE_PX = 256
"""Longest side of a slice in the picture."""

MAX_TILES = 12

MARGIN_SLICES = 1
"""Slices without label that are shown before and after those with it."""

LINE_PX = 2.0
"""Thickness of a contour."""

MARKS = {0: ("A", "P", "S"), 1: ("R", "L", "S"), 2: ("R", "L", "A")}
"""Letters at the left, right and top edge of a sagittal, coronal and axial slice."""

EDGE_PX = 1.0
"""Thickness of the light line inside a contour: without it a dark contour is lost on dark tissue."""

BAR_MM = 50
"""Length of the scale bar beside the legend."""

TEXT_PX, LEGEND_PX = 28, 40
"""Four tiles are as wide as a phone at a third of their size."""

TEXT_COLOR, GAP_COLOR = (255, 255, 255), (40, 40, 40)


def slice_montage(
    voxels: np.ndarray,
    label: np.ndarray,
    grid: VoxelGrid,
    *,
    window: tuple[float, float],
    colors: Sequence[Sequence[int]],
    class_names: Sequence[str] = (),
    max_tiles: int = MAX_TILES,
    tile_px: int = TILE_PX,
) -> Image.Image:
    """Draw slices in the plane that they were acquired in, with a contour per class.

    Axial slices are seen from the feet, coronal ones from the front, sagittal ones from the left: the patient's right,
    or front, is at the left of the picture. Oblique planes count as the nearest of these. Pixels are square however
    the voxels are spaced. Numbers are those of the slices in the volume, from 1.

    Args:
        voxels: ``(I, J, K)``, slices along K.
        label: Class ids, ``(I, J, K)``.
        grid: Where the voxels lie.
        window: Values that are black and white.
        colors: RGB per class, 0 to 255; class 0 is not drawn.
        class_names: Names for a legend, background first; none without.
        max_tiles: Most slices.
        tile_px: Longest side of a slice.

    Raises:
        ShapeError: Voxels, label and grid have different shapes.
        ConfigError: The window is empty.
    """
    if voxels.shape != grid.shape or label.shape != grid.shape:
        raise ShapeError(f"`voxels` and `label` must have shape {grid.shape}, got {voxels.shape} and {label.shape}.")
    low, high = window
    if not low < high:
        raise ConfigError(f"`window` must be (black, white) with black < white, got {window}.")
    chosen = choose_slices(label, max_tiles)
    display = reorient_to(grid, DISPLAY_AXCODES)
    plane = display.permutation.index(2)  # axis of L, P, S along which the slices lie
    is_flipped, count = display.flips[plane], grid.shape[2]
    shown = sorted(count - 1 - index if is_flipped else index for index in chosen)
    voxels, label = display.apply(voxels), display.apply(label)
    size = _tile_size(display.target, plane, tile_px)
    tiles = []
    for index in shown:
        picture = _tile(_upright(voxels, plane, index), _upright(label, plane, index), (low, high), colors, size)
        number = count - index if is_flipped else index + 1
        tiles.append(_marked(picture, f"{number}/{count}", MARKS[plane]))
    legend = [(name, colors[at]) for at, name in enumerate(class_names) if at]
    across_mm = max(grid_size for axis, grid_size in enumerate(_size_mm(display.target)) if axis != plane)
    return _arranged(tiles, legend, round(BAR_MM * max(size) / across_mm))


def choose_slices(label: np.ndarray, most: int = MAX_TILES) -> list[int]:
    """Choose slices along the last axis, evenly, from one before the label to one after it; everywhere without one."""
    with_label = np.flatnonzero([label[:, :, index].any() for index in range(label.shape[2])])
    first, last = (int(with_label[0]), int(with_label[-1])) if len(with_label) else (0, label.shape[2] - 1)
    first, last = max(0, first - MARGIN_SLICES), min(label.shape[2] - 1, last + MARGIN_SLICES)
    count = min(most, last - first + 1)
    if count == 1:
        return [(first + last) // 2]
    return np.linspace(first, last, count).round().astype(int).tolist()


def _upright(volume: np.ndarray, plane: int, index: int) -> np.ndarray:
    """Return a slice of an (L, P, S) volume as rows and columns of a picture."""
    plate: np.ndarray = np.take(volume, index, axis=plane).T  # rows: P for axial slices, S for the others
    return plate if plane == 2 else plate[::-1]


def _tile_size(grid: VoxelGrid, plane: int, tile_px: int) -> tuple[int, int]:
    """Width and height of a slice in pixels, in proportion to its millimetres."""
    across, down = (axis for axis in range(3) if axis != plane)
    width, height = (_size_mm(grid)[axis] for axis in (across, down))
    scale = tile_px / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _size_mm(grid: VoxelGrid) -> tuple[float, ...]:
    return tuple(count * step for count, step in zip(grid.shape, grid.spacing_mm, strict=True))


def _tile(
    voxels: np.ndarray,
    label: np.ndarray,
    window: tuple[float, float],
    colors: Sequence[Sequence[int]],
    size: tuple[int, int],
) -> Image.Image:
    values = np.nan_to_num((voxels.astype(np.float32) - window[0]) / (window[1] - window[0]), posinf=1, neginf=0)
    grey = Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    canvas = np.array(grey.convert("RGB"))
    for index in range(1, len(colors)):
        mask = Image.fromarray((label == index).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        inside = np.asarray(mask) > 0.5
        if inside.any():
            depth = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
            canvas[inside & (depth <= LINE_PX + EDGE_PX)] = TEXT_COLOR
            canvas[inside & (depth <= LINE_PX)] = colors[index]
    return Image.fromarray(canvas)


def _marked(tile: Image.Image, number: str, marks: tuple[str, str, str]) -> Image.Image:
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(TEXT_PX)
    width, height = tile.size
    left, right, top = marks
    middle = height // 2
    places = [((3, 1), number, "la"), ((3, middle), left, "lm"), ((width - 3, middle), right, "rm")]
    for place, text, anchor in [*places, ((width // 2, 1), top, "ma")]:
        draw.text(place, text, fill=TEXT_COLOR, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    return tile


def _arranged(tiles: Sequence[Image.Image], legend: Sequence[tuple[str, Sequence[int]]], bar_px: int) -> Image.Image:
    width, height = tiles[0].size
    columns = min(len(tiles), max(1, round((len(tiles) * 1.4 * height / width) ** 0.5)))  # about 7 to 5
    rows = ceil(len(tiles) / columns)
    footer = LEGEND_PX if legend else 0
    sheet = Image.new("RGB", (columns * (width + 2) - 2, rows * (height + 2) - 2 + footer), GAP_COLOR)
    for at, tile in enumerate(tiles):
        sheet.paste(tile, ((at % columns) * (width + 2), (at // columns) * (height + 2)))
    draw, font, left = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_PX), 8
    middle = sheet.height - footer // 2
    for name, color in legend:
        draw.rectangle((left, middle - 9, left + 18, middle + 9), fill=tuple(int(part) for part in color))
        draw.text((left + 26, middle), name, fill=TEXT_COLOR, font=font, anchor="lm")
        left += 26 + round(draw.textlength(name, font=font)) + 30
    text = f"{BAR_MM} mm"
    start = sheet.width - 8 - bar_px
    if legend and start - 10 - draw.textlength(text, font=font) > left:
        draw.rectangle((start, middle - 2, start + bar_px, middle + 2), fill=TEXT_COLOR)
        draw.text((start - 10, middle), text, fill=TEXT_COLOR, font=font, anchor="rm")
    return sheet
