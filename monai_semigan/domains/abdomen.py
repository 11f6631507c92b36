# SPDX-License-Identifier: Apache-2.0
"""Chains for axial slices of the trunk: the same frame for CT and MR, each with its own way to grey values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monai_semigan.errors import ConfigError, InputError, check_shape
from monai_semigan.transforms.body import Box, Modality, body_box, volume_body_boxes
from monai_semigan.transforms.ct_window import window_hu
from monai_semigan.transforms.intensity import check_grey_values
from monai_semigan.transforms.mri import body_percentiles, correct_bias_field, window_signal
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["AxialSlicePreset", "CtSlicePreset", "ModalityPresets", "MrSlicePreset"]

Window = tuple[float, float]
"""Values shown black and white."""


@dataclass(frozen=True, kw_only=True)
class AxialSlicePreset(ABC):
    """What CT and MR slices share: frame and square. Use `CtSlicePreset` or `MrSlicePreset`.

    Attributes:
        image_size: Side S of the network's square, pixels.
        max_stretch: See `SquareGeometry`; for the body's box.
        field_of_view_mm: Side of a fixed square around the body's middle, which needs the spacing; None takes the
            body's box, which does not.
    """

    modality: ClassVar[Modality]
    channels: ClassVar[int] = 1

    image_size: int = 64
    max_stretch: float = 1.5
    field_of_view_mm: float | None = None

    def __post_init__(self) -> None:
        if self.field_of_view_mm is not None and not self.field_of_view_mm > 0:
            raise ConfigError(f"`field_of_view_mm` must be > 0 or None, got {self.field_of_view_mm}.")

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

    def prepare_volume(
        self, slices: np.ndarray, *, spacing_mm: tuple[float, float] | None = None
    ) -> tuple[np.ndarray, list[SquareGeometry]]:
        """Prepare a volume with one window and smooth boxes.

        Args:
            slices: ``(S, H, W)``.
            spacing_mm: ``(row, column)`` distance of pixels.

        Returns:
            ``(S, 1, image_size, image_size)`` float32 in [-1, 1], and the way back of each slice.

        Raises:
            InputError: The volume is constant or holds NaN; or the spacing is needed and unknown.
        """
        check_shape("slices", slices.shape, "S H W")
        check_grey_values(slices)
        slices = self.corrected(slices)
        window, boxes = self.window_of(slices), self.frames(slices, spacing_mm=spacing_mm)
        prepared = [
            self.prepare(pixels, spacing_mm=spacing_mm, box=box, window=window)
            for pixels, box in zip(slices, boxes, strict=True)
        ]
        return np.stack([image for image, _ in prepared]), [geometry for _, geometry in prepared]

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""
        return geometry.label(label, num_classes)

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
        boxes = volume_body_boxes(slices, modality=self.modality)
        return [self._field(box, spacing_mm) for box in boxes]

    @abstractmethod
    def _grey(self, pixels: np.ndarray, low: float, high: float) -> np.ndarray:
        """Values to [-1, 1]."""

    def _geometry(self, pixels: np.ndarray, spacing_mm: tuple[float, float] | None, box: Box | None) -> SquareGeometry:
        height, width = pixels.shape
        if box is None:
            box = self._field(body_box(pixels, modality=self.modality) or (0, height, 0, width), spacing_mm)
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

    modality: ClassVar[Modality] = "CT"

    low_hu: float = 0.0
    high_hu: float = 255.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low_hu < self.high_hu:
            raise ConfigError(f"`low_hu` must be below `high_hu`, got {self.low_hu} and {self.high_hu}.")

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

    modality: ClassVar[Modality] = "MR"

    low_percentile: float = 1.0
    high_percentile: float = 99.5
    correct_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ConfigError(
                "Percentiles must satisfy 0 <= low_percentile < high_percentile <= 100, "
                f"got {self.low_percentile} and {self.high_percentile}."
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


SLICE_PRESETS: Mapping[str, type[AxialSlicePreset]] = {"CT": CtSlicePreset, "MR": MrSlicePreset}


@dataclass(frozen=True)
class ModalityPresets(Mapping[str, AxialSlicePreset]):
    """The modalities that a bundle accepts, each with its own chain.

    Attributes:
        presets: Modality (``CT``, ``MR``) to preset; all prepare for the same square.

    Raises:
        ConfigError: None is given, a modality is unknown, or the presets differ in size.
    """

    presets: Mapping[str, AxialSlicePreset]

    def __post_init__(self) -> None:
        sizes = {preset.image_size for preset in self.presets.values()}
        if len(sizes) != 1:
            raise ConfigError(f"All modalities must have one `image_size`, got {sorted(sizes)}.")
        for name, preset in self.presets.items():
            if not isinstance(preset, SLICE_PRESETS.get(name, ())):
                raise ConfigError(
                    f"Modality {name!r} must be CT or MR with its own preset, got {type(preset).__name__}."
                )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Mapping[str, Any]]) -> ModalityPresets:
        """Build from fields by modality, as a bundle's metadata hold them.

        Raises:
            ConfigError: A modality or a field is unknown.
        """
        unknown = sorted(set(settings) - set(SLICE_PRESETS))
        if unknown:
            raise ConfigError(f"Modalities must be of {', '.join(SLICE_PRESETS)}, got {', '.join(unknown)}.")
        try:
            return cls({name: SLICE_PRESETS[name](**fields) for name, fields in settings.items()})
        except TypeError as error:
            raise ConfigError(f"The preprocessing of a modality has an unknown field: {error}.") from error

    def __getitem__(self, modality: str) -> AxialSlicePreset:
        if modality not in self.presets:
            raise InputError(f"The modality must be one of {', '.join(self.presets)}, got {modality!r}.")
        return self.presets[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self.presets

    def __iter__(self) -> Any:
        return iter(self.presets)

    def __len__(self) -> int:
        return len(self.presets)
