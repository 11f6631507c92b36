# SPDX-License-Identifier: Apache-2.0
"""Chest X-ray transforms for MONAI pipelines: array classes, and dictionary classes with the suffix ``d``.

They wrap the functions of `intensity`, `border`, `square` and `presets`. Images are channel-first, ``(1, H, W)``, with
rows before columns. Transforms that change the geometry note it in the metadata of the image (`GEOMETRY_KEY`), from
which `RestoreLabel` finds the way back to the source's pixels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

from monai_semigan.domains.chest_xray import ChestXrayPreset
from monai_semigan.errors import ConfigError
from monai_semigan.transforms.border import content_box
from monai_semigan.transforms.intensity import adjust_gamma, apply_voi_window, equalize, invert_polarity
from monai_semigan.transforms.mapped import GEOMETRY_KEY, ArrayTransform, DictionaryTransform, Image
from monai_semigan.transforms.square import SquareGeometry

__all__ = [
    "GEOMETRY_KEY",
    "AdjustGamma",
    "AdjustGammaD",
    "AdjustGammaDict",
    "AdjustGammad",
    "ApplyVoiWindow",
    "ApplyVoiWindowD",
    "ApplyVoiWindowDict",
    "ApplyVoiWindowd",
    "CropBorder",
    "CropBorderD",
    "CropBorderDict",
    "CropBorderd",
    "EqualizeGrey",
    "EqualizeGreyD",
    "EqualizeGreyDict",
    "EqualizeGreyd",
    "InvertPolarity",
    "InvertPolarityD",
    "InvertPolarityDict",
    "InvertPolarityd",
    "PrepareChestXray",
    "PrepareChestXrayD",
    "PrepareChestXrayDict",
    "PrepareChestXrayd",
    "ResizeToSquare",
    "ResizeToSquareD",
    "ResizeToSquareDict",
    "ResizeToSquared",
    "RestoreLabel",
    "RestoreLabelD",
    "RestoreLabelDict",
    "RestoreLabeld",
]


class InvertPolarity(ArrayTransform):
    """Invert images whose metadata says ``photometric: MONOCHROME1`` (DICOM PS3.3 C.7.6.3.1.2); others pass unchanged.

    Args:
        always: Invert whatever the metadata says.
    """

    def __init__(self, *, always: bool = False) -> None:
        self.always = always

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 of the same shape."""
        inverts = self.always or self._known(img, "photometric") == "MONOCHROME1"
        return self._apply(img, invert_polarity if inverts else lambda pixels: pixels, photometric="MONOCHROME2")


class ApplyVoiWindow(ArrayTransform):
    """Scale a window of grey values to [0, 1] and clip outside (DICOM PS3.3 C.11.2.1.2).

    Args:
        center: Window centre, grey values; None takes ``voi_window`` from the metadata, and passes images without.
        width: Window width, grey values.
    """

    def __init__(self, *, center: float | None = None, width: float | None = None) -> None:
        if (center is None) != (width is None):
            raise ConfigError(f"`center` and `width` must be given together, got {center} and {width}.")
        self.window = None if center is None or width is None else (center, width)

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 in [0, 1], or unchanged values."""
        window = self.window or self._known(img, "voi_window")
        if window is None:
            return self._apply(img, lambda pixels: pixels)
        center, width = window
        return self._apply(img, lambda pixels: apply_voi_window(pixels, center=center, width=width), voi_window=None)


class CropBorder(ArrayTransform):
    """Crop dark bars, collimator blades and flat frames; the box goes into the metadata as ``crop_box``.

    Args:
        max_share: No more than this share of the image is cut from one side.
    """

    def __init__(self, *, max_share: float = 0.45) -> None:
        self.max_share = max_share

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 ``(1, H', W')``."""
        box = content_box(np.asarray(img[0]), max_share=self.max_share)
        top, bottom, left, right = box
        shape = tuple(img.shape[1:])
        return self._apply(img, lambda pixels: pixels[top:bottom, left:right], crop_box=box, source_shape=shape)


class ResizeToSquare(ArrayTransform):
    """Resize into the network's square; the way back goes into the metadata.

    After `CropBorder` the way back leads to the uncropped source.

    Args:
        image_size: Side of the square, pixels.
        max_stretch: See `SquareGeometry`.
    """

    def __init__(self, image_size: int, *, max_stretch: float = 1.0) -> None:
        self.image_size, self.max_stretch = image_size, max_stretch

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 ``(1, S, S)``."""
        height, width = img.shape[1:]
        here = SquareGeometry(
            source_shape=(height, width),
            crop_box=(0, height, 0, width),
            image_size=self.image_size,
            max_stretch=self.max_stretch,
        )
        whole, box = here, self._known(img, "crop_box")
        if box is not None:
            source_shape = tuple(self._known(img, "source_shape"))
            whole = replace(here, source_shape=source_shape, crop_box=tuple(box))
        return self._apply(img, here.image, **{GEOMETRY_KEY: asdict(whole)})


class EqualizeGrey(ArrayTransform):
    """Equalize the histogram to [-1, 1]: see `intensity.equalize`."""

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)``; returns float32 in [-1, 1]."""
        return self._apply(img, equalize)


class AdjustGamma(ArrayTransform):
    """Raise grey values in [-1, 1], seen as [0, 1], to a power.

    Args:
        gamma: Exponent > 0; above 1 darkens.
    """

    def __init__(self, gamma: float) -> None:
        if gamma <= 0:
            raise ConfigError(f"`gamma` must be > 0, got {gamma}.")
        self.gamma = gamma

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)`` in [-1, 1]; returns the same range."""
        return self._apply(img, lambda image: adjust_gamma(image, self.gamma))


class PrepareChestXray(ArrayTransform):
    """The whole chain of `ChestXrayPreset`: from a source image to the network's input.

    Args:
        settings: Fields of `ChestXrayPreset`.
    """

    def __init__(self, **settings: Any) -> None:
        self.preset = ChestXrayPreset(**settings)

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(1, H, W)`` grey values of any range; returns float32 ``(1, S, S)`` in [-1, 1].

        Raises:
            InputError: The image is constant or holds NaN.
        """
        prepared, geometry = self.preset.prepare(
            self._plain(img)[0],
            photometric=self._known(img, "photometric", "MONOCHROME2"),
            voi_window=self._known(img, "voi_window"),
        )
        return self._prepared(img, prepared, geometry)


class RestoreLabel(Transform):
    """Bring class scores of the network's square back to the source's pixels and take the largest."""

    backend = [TransformBackends.NUMPY]

    def __call__(self, img: Image, geometry: Mapping[str, Any]) -> Tensor:
        """Return class ids.

        Args:
            img: Logits or probabilities, ``(K, S, S)``.
            geometry: Fields of `SquareGeometry`.

        Returns:
            ``(1, H, W)`` uint8.
        """
        plain = img.detach().cpu().numpy() if isinstance(img, Tensor) else np.asarray(img)
        return torch.from_numpy(_geometry(geometry).scores_to_label(plain))[None]


class InvertPolarityd(DictionaryTransform):
    """Dictionary version of `InvertPolarity`."""

    array_transform = InvertPolarity


class ApplyVoiWindowd(DictionaryTransform):
    """Dictionary version of `ApplyVoiWindow`."""

    array_transform = ApplyVoiWindow


class CropBorderd(DictionaryTransform):
    """Dictionary version of `CropBorder`."""

    array_transform = CropBorder


class ResizeToSquared(DictionaryTransform):
    """Dictionary version of `ResizeToSquare`."""

    array_transform = ResizeToSquare


class EqualizeGreyd(DictionaryTransform):
    """Dictionary version of `EqualizeGrey`."""

    array_transform = EqualizeGrey


class AdjustGammad(DictionaryTransform):
    """Dictionary version of `AdjustGamma`."""

    array_transform = AdjustGamma


class PrepareChestXrayd(DictionaryTransform):
    """Dictionary version of `PrepareChestXray`."""

    array_transform = PrepareChestXray


class RestoreLabeld(MapTransform):
    """Dictionary version of `RestoreLabel`.

    Args:
        keys: Entries with class scores.
        image_key: Entry whose metadata hold the geometry.
        allow_missing_keys: Pass dictionaries without the keys.
    """

    def __init__(self, keys: KeysCollection, *, image_key: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key, self.transform = image_key, RestoreLabel()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        image = result[self.image_key]
        if not isinstance(image, MetaTensor) or GEOMETRY_KEY not in image.meta:
            raise ConfigError(
                f"`{self.image_key}` must carry the geometry of its preparation. "
                "Apply PrepareChestXrayd, another Prepare...d or ResizeToSquared before."
            )
        for key in self.key_iterator(result):
            label = self.transform(result[key], image.meta[GEOMETRY_KEY])
            kept = {name: value for name, value in image.meta.items() if name == "filename_or_obj"}
            result[key] = MetaTensor(label, meta=kept)
        return result


def _geometry(fields: Mapping[str, Any]) -> SquareGeometry:
    values = {name: _plain(value) for name, value in fields.items()}
    return SquareGeometry(**values)


def _plain(value: Any) -> Any:
    """Undo what a data loader's collation makes of numbers and tuples."""
    if isinstance(value, Tensor):
        value = value.tolist()
    return tuple(int(item) for item in value) if isinstance(value, (list, tuple)) else value


InvertPolarityD = InvertPolarityDict = InvertPolarityd
ApplyVoiWindowD = ApplyVoiWindowDict = ApplyVoiWindowd
CropBorderD = CropBorderDict = CropBorderd
ResizeToSquareD = ResizeToSquareDict = ResizeToSquared
EqualizeGreyD = EqualizeGreyDict = EqualizeGreyd
AdjustGammaD = AdjustGammaDict = AdjustGammad
PrepareChestXrayD = PrepareChestXrayDict = PrepareChestXrayd
RestoreLabelD = RestoreLabelDict = RestoreLabeld
