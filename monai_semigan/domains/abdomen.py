# SPDX-License-Identifier: Apache-2.0
"""Chains for axial slices of the trunk: the same frame for CT and MR, each with its own way to grey values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from monai_semigan.domains.base import Domain, ImageSize, Stretch, Window
from monai_semigan.errors import ConfigError, InputError, check_shape
from monai_semigan.settings import Range, check_settings
from monai_semigan.transforms.body import Box, Modality, body_box, volume_body_boxes
from monai_semigan.transforms.ct_window import check_hu, window_hu
from monai_semigan.transforms.intensity import check_grey_values
from monai_semigan.transforms.modality import guess_modality
from monai_semigan.transforms.mri import body_percentiles, correct_bias_field, window_signal
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["ABDOMEN", "AxialSlicePreset", "CtSlicePreset", "MrSlicePreset"]


@dataclass(frozen=True, kw_only=True)
class AxialSlicePreset(ABC):
    """What CT and MR slices share: frame and square. Use `CtSlicePreset` or `MrSlicePreset`.

    Attributes:
        image_size: Side S of the network's square, pixels.
        max_stretch: See `SquareGeometry`; for the body's box.
        field_of_view_mm: Side of a fixed square around the body's middle, which needs the spacing; None takes the
            body's box, which does not.
    """

    framed_as: ClassVar[Modality]
    channels: ClassVar[int] = 1
    has_upright: ClassVar[bool] = True

    image_size: ImageSize = 64
    max_stretch: Stretch = 1.5
    field_of_view_mm: Annotated[float, Range(1, 5000)] | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    def prepare(
        self,
        pixels: np.ndarray,
        *,
        photometric: str = "MONOCHROME2",
        voi_window: Window | None = None,
        spacing_mm: tuple[float, float] | None = None,
        box: Box | None = None,
        window: Window | None = None,
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one slice.

        Args:
            pixels: ``(H, W)``, anterior at the top, the patient's left at the right: HU or MR signal.
            photometric: Ignored: the values are physical.
            voi_window: Ignored, likewise.
            spacing_mm: ``(row, column)`` distance of pixels.
            box: The slice's box from `frames`; None looks for the body in this slice.
            window: Values shown black and white from `window_of`; None decides by this slice.

        Returns:
            ``(1, S, S)`` float32 in [-1, 1], and the way back.

        Raises:
            InputError: The slice holds NaN, or is constant and no window is given; or the spacing is needed and
                unknown.
        """
        check_shape("pixels", pixels.shape, "H W")
        if window is None:
            check_grey_values(pixels)
            window = self.window_of(pixels[None])
        elif pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise InputError("The slice must hold finite values, got NaN or infinity. Check how it was exported.")
        geometry = self._geometry(pixels, spacing_mm, box)
        grey = self._grey(pixels, *window)
        return geometry.image(grey, fill=-1.0)[None], geometry

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""
        return geometry.label(label, num_classes)

    def check_values(self, voxels: np.ndarray) -> tuple[str, ...]:
        """Refuse values that cannot be of the modality; here none. Returns warnings."""
        return ()

    def corrected(self, slices: np.ndarray) -> np.ndarray:
        """Correct what concerns a whole volume ``(S, H, W)``, before all else; the same shape."""
        return slices

    @property
    def corrects_bias(self) -> bool:
        """Whether `corrected` makes a float32 copy of the volume without its bias field."""
        return False

    @abstractmethod
    def window_of(self, slices: np.ndarray | Sequence[np.ndarray]) -> Window:
        """Return the values of a volume ``(S, H, W)`` that are shown black and white."""

    def frames(
        self, slices: np.ndarray | Sequence[np.ndarray], *, spacing_mm: tuple[float, float] | None = None
    ) -> list[Box]:
        """Return the box of each slice of a volume ``(S, H, W)``, smooth along the slices."""
        boxes = volume_body_boxes(slices, modality=self.framed_as)
        return [self._field(box, spacing_mm) for box in boxes]

    @abstractmethod
    def _grey(self, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
        """Values to [-1, 1]."""

    def _geometry(self, pixels: np.ndarray, spacing_mm: tuple[float, float] | None, box: Box | None) -> SquareGeometry:
        height, width = pixels.shape
        if box is None:
            box = self._field(body_box(pixels, modality=self.framed_as) or (0, height, 0, width), spacing_mm)
        top, bottom, left, right = box
        sides = bottom - top, right - left
        is_field = self.field_of_view_mm is not None
        return SquareGeometry(
            source_shape=(height, width),
            crop_box=box,
            image_size=self.image_size,
            max_stretch=max(sides) / min(sides) if is_field else self.max_stretch,  # a square in mm fills the square
            may_overhang=is_field,
        )

    def _field(self, box: Box, spacing_mm: tuple[float, float] | None) -> Box:
        """Replace a body's box by the field of view around its middle, if one is set."""
        if self.field_of_view_mm is None:
            return box
        if spacing_mm is None:
            raise InputError("`spacing_mm` must be known for a field of view in mm. Use field_of_view_mm=None.")
        edges = []
        for (first, last), spacing in zip((box[:2], box[2:]), spacing_mm, strict=True):
            size = max(1, round(self.field_of_view_mm / spacing))
            start = round((first + last - size) / 2)
            edges += [start, start + size]
        return edges[0], edges[1], edges[2], edges[3]


@dataclass(frozen=True, kw_only=True)
class CtSlicePreset(AxialSlicePreset):
    """CT: HU in a fixed window; pictures that show 0..255 HU as 0..255 are read the same way.

    Attributes:
        low_hu: Highest value that is black.
        high_hu: Lowest value that is white.
    """

    framed_as: ClassVar[Modality] = "CT"

    low_hu: Annotated[float, Range(-5000, 100_000)] = 0.0
    high_hu: Annotated[float, Range(-5000, 100_000)] = 255.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low_hu < self.high_hu:
            raise ConfigError(f"`low_hu` must be below `high_hu`, got {self.low_hu} and {self.high_hu}.")

    def check_values(self, voxels: np.ndarray) -> tuple[str, ...]:
        """Refuse what is not HU, as far as the window needs it, see `check_hu`. Returns warnings."""
        return check_hu(voxels, window=(self.low_hu, self.high_hu))

    def window_of(self, slices: np.ndarray | Sequence[np.ndarray]) -> Window:
        """Return the fixed window."""
        return self.low_hu, self.high_hu

    def _grey(self, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
        return window_hu(pixels, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class MrSlicePreset(AxialSlicePreset):
    """MR: a window between two percentiles of the signal inside the body, one for the volume.

    Attributes:
        low_percentile: Shown black, percent.
        high_percentile: Shown white, percent.
        correct_bias: Whether N4 corrects the volume first: about ten seconds of a CPU for 256 x 256 x 34.
    """

    framed_as: ClassVar[Modality] = "MR"

    low_percentile: Annotated[float, Range(0, 100)] = 1.0
    high_percentile: Annotated[float, Range(0, 100)] = 99.5
    correct_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low_percentile < self.high_percentile:
            raise ConfigError(
                f"`low_percentile` must be below `high_percentile`, got {self.low_percentile} and "
                f"{self.high_percentile}."
            )

    @property
    def corrects_bias(self) -> bool:
        """Whether it was asked for."""
        return self.correct_bias

    def corrected(self, slices: np.ndarray) -> np.ndarray:
        """Correct the bias field, if asked for."""
        return correct_bias_field(slices) if self.correct_bias else slices

    def window_of(self, slices: np.ndarray | Sequence[np.ndarray]) -> Window:
        """Return the percentiles inside the body."""
        return body_percentiles(slices, low=self.low_percentile, high=self.high_percentile)

    def _grey(self, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
        return window_signal(pixels, low=low, high=high)


ABDOMEN = Domain(
    name="abdomen",
    presets={"CT": CtSlicePreset, "MR": MrSlicePreset},
    guess_modality=guess_modality,
)
