# SPDX-License-Identifier: Apache-2.0
"""From a source image's pixels into the network's square, and exactly back.

Pixel centres are at half-integers on both sides, so a point of the source and its place in the square correspond
exactly; downsampling averages areas, upsampling interpolates linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from monai_semigan.errors import ConfigError, check_shape

__all__ = ["SquareGeometry"]

CHUNK_PIXELS = 2_000_000
"""Source pixels whose class scores are held at once while a label map is enlarged: about 16 MB for two classes."""


@dataclass(frozen=True, kw_only=True)
class SquareGeometry:
    """How a crop of a source image fills a square.

    Each axis is scaled on its own, so that the crop fills the square, unless the axes' scales would differ by more than
    ``max_stretch``: then the shorter side fills a centred part of the square and the rest repeats the edge pixels.

    Attributes:
        source_shape: ``(H, W)`` of the source, pixels.
        crop_box: ``(top, bottom, left, right)`` of the part that is used, pixels, half-open. It may reach beyond the
            source where ``may_overhang``: a field of view in mm around a body at the image's border.
        image_size: Side S of the square, pixels.
        max_stretch: Largest ratio of the two axes' scales, >= 1; 1 keeps the aspect ratio.
        may_overhang: Whether the box may reach beyond the source; it must still meet it.

    Raises:
        ConfigError: The box lies outside the source or is empty, or ``max_stretch`` is below 1.
    """

    source_shape: tuple[int, int]
    crop_box: tuple[int, int, int, int]
    image_size: int
    max_stretch: float = 1.0
    may_overhang: bool = False

    def __post_init__(self) -> None:
        top, bottom, left, right = self.crop_box
        height, width = self.source_shape
        inside = 0 <= top < bottom <= height and 0 <= left < right <= width
        meets = top < bottom and left < right and top < height and left < width and bottom > 0 and right > 0
        if not (meets if self.may_overhang else inside):
            raise ConfigError(f"`crop_box` must lie inside the image {self.source_shape}, got {self.crop_box}.")
        if self.max_stretch < 1:
            raise ConfigError(f"`max_stretch` must be >= 1, got {self.max_stretch}.")

    @property
    def crop_shape(self) -> tuple[int, int]:
        """``(h, w)`` of the crop, source pixels."""
        top, bottom, left, right = self.crop_box
        return bottom - top, right - left

    @property
    def placement(self) -> tuple[int, int, int, int]:
        """``(top, bottom, left, right)`` of the crop inside the square, pixels."""
        sides = self.crop_shape
        longest = max(sides)
        filled = [
            min(self.image_size, max(1, round(self.image_size * side * self.max_stretch / longest))) for side in sides
        ]
        before = [(self.image_size - size) // 2 for size in filled]
        return before[0], before[0] + filled[0], before[1], before[1] + filled[1]

    @property
    def inner_box(self) -> tuple[int, int, int, int]:
        """``(top, bottom, left, right)`` of the crop's part inside the source, source pixels."""
        top, bottom, left, right = self.crop_box
        height, width = self.source_shape
        return max(0, top), min(height, bottom), max(0, left), min(width, right)

    def image(
        self,
        pixels: np.ndarray,
        *,
        fill: float | None = None,
        edit: Callable[[np.ndarray], np.ndarray] | None = None,
        oversampling: int = 1,
    ) -> np.ndarray:
        """Bring pixels into the square.

        Args:
            pixels: ``(H, W)``, or ``(H, W, C)``.
            fill: Value of what lies outside the source and outside the crop; None repeats the edge.
            edit: Changes the crop, ``(h, w)`` or ``(h, w, C)`` float32, before it is reduced to the square's pixels.
            oversampling: How many times finer than the square the crop is edited, >= 1.

        Returns:
            ``(S, S)`` or ``(S, S, C)`` float32.
        """
        check_shape("pixels", pixels.shape[:2], " ".join(map(str, self.source_shape)))
        resized = self._resize(pixels, fill=fill, oversampling=oversampling)
        if edit is not None:
            resized = edit(resized)
        if oversampling > 1:
            height, width = (side // oversampling for side in resized.shape[:2])
            blocks = resized.reshape(height, oversampling, width, oversampling, *resized.shape[2:])
            resized = blocks.mean(axis=(1, 3), dtype=np.float32)
        return self._pad(resized, fill=fill)

    def label(self, label: np.ndarray, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the square as a soft one-hot, ``(K, S, S)`` float32 in [0, 1].

        A pixel at a border holds the shares of its area; outside the crop all is background.
        """
        check_shape("label", label.shape, " ".join(map(str, self.source_shape)))
        foreground = [self._pad(self._resize(label == index, fill=0), fill=0) for index in range(1, num_classes)]
        background = 1 - np.sum(foreground, axis=0)
        return np.stack([background, *foreground]).astype(np.float32)

    def scores_to_label(self, scores: np.ndarray) -> np.ndarray:
        """Enlarge class scores to the source's pixels and take the largest.

        Args:
            scores: Logits or probabilities, ``(K, S, S)``; class 0 is background.

        Returns:
            Class ids, ``(H, W)`` uint8; background outside the crop.
        """
        label = np.zeros(self.source_shape, dtype=np.uint8)
        top, _, left, right = self.inner_box
        for rows, enlarged in self._enlarge(scores):
            block = label[top + rows.start : top + rows.stop, left:right]
            if len(enlarged) == 2:
                np.greater(enlarged[1], enlarged[0], out=block.view(np.bool_), casting="unsafe")
            else:
                block[...] = enlarged.argmax(axis=0)
        return label

    def scores_to_source(self, scores: np.ndarray, *, fill: float = 0.0) -> np.ndarray:
        """Enlarge scores ``(K, S, S)`` to ``(K, H, W)`` float32; ``fill`` outside the crop."""
        result = np.full((len(scores), *self.source_shape), fill, dtype=np.float32)
        top, _, left, right = self.inner_box
        for rows, enlarged in self._enlarge(scores):
            result[:, top + rows.start : top + rows.stop, left:right] = enlarged
        return result

    def _enlarge(self, scores: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield bands of rows of the crop's inner part with their scores, ``(K, rows, w)``: separable interpolation."""
        check_shape("scores", scores.shape, f"K {self.image_size} {self.image_size}")
        top, bottom, left, right = self.placement
        inner = scores[:, top:bottom, left:right].astype(np.float32)
        height, width = self.crop_shape
        above, below, before, after = self._overhang
        down = _interpolation(height, bottom - top)[above : height - below]
        across = _interpolation(width, right - left)[before : width - after]
        band = max(1, CHUNK_PIXELS // len(across))
        for start in range(0, len(down), band):
            rows = slice(start, min(start + band, len(down)))
            yield rows, (down[rows] @ inner) @ across.T

    @property
    def _overhang(self) -> tuple[int, int, int, int]:
        """Pixels of the crop above, below, before and after the source."""
        (top, bottom, left, right), inner = self.crop_box, self.inner_box
        return inner[0] - top, bottom - inner[1], inner[2] - left, right - inner[3]

    def _resize(self, pixels: np.ndarray, *, fill: float | None = None, oversampling: int = 1) -> np.ndarray:
        if pixels.ndim == 3:
            channels = [
                self._resize(pixels[..., at], fill=fill, oversampling=oversampling) for at in range(pixels.shape[2])
            ]
            return np.stack(channels, axis=-1)
        top, bottom, left, right = self.inner_box
        above, below, before, after = self._overhang
        crop = np.ascontiguousarray(pixels[top:bottom, left:right], dtype=np.float32)
        if above or below or before or after:
            crop = _padded(crop, ((above, below), (before, after)), fill)
        square_top, square_bottom, square_left, square_right = self.placement
        size = (
            (square_right - square_left) * oversampling,
            (square_bottom - square_top) * oversampling,
        )  # Pillow's order
        shrinks = crop.shape[1] >= size[0] and crop.shape[0] >= size[1]
        resampling = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        return np.asarray(Image.fromarray(crop).resize(size, resampling))

    def _pad(self, filled: np.ndarray, *, fill: float | None) -> np.ndarray:
        top, bottom, left, right = self.placement
        return _padded(filled, ((top, self.image_size - bottom), (left, self.image_size - right)), fill)


def _padded(pixels: np.ndarray, widths: tuple[tuple[int, int], tuple[int, int]], fill: float | None) -> np.ndarray:
    """Pad rows and columns with a value, or with the edge."""
    every = [*widths, *[(0, 0)] * (pixels.ndim - 2)]
    if fill is None:
        return np.pad(pixels, every, mode="edge")
    return np.pad(pixels, every, constant_values=fill)


def _interpolation(size: int, samples: int) -> np.ndarray:
    """Matrix ``(size, samples)`` of linear interpolation between sample centres, constant beyond the outermost."""
    place = np.clip((np.arange(size) + 0.5) * samples / size - 0.5, 0, samples - 1)
    lower = np.minimum(place.astype(np.int64), max(samples - 2, 0))
    share = (place - lower).astype(np.float32)
    matrix = np.zeros((size, samples), dtype=np.float32)
    rows = np.arange(size)
    matrix[rows, lower] = 1 - share
    matrix[rows, np.minimum(lower + 1, samples - 1)] += share
    return matrix
