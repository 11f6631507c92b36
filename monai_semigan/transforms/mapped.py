# SPDX-License-Identifier: Apache-2.0
"""What the MONAI classes of all domains share: arrays in and out with their metadata, and the dictionary version.

The arguments of a dictionary class are ``keys``, the array class's arguments, and ``allow_missing_keys``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

from monai_semigan.errors import check_shape
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["GEOMETRY_KEY", "ArrayTransform", "DictionaryTransform", "Image", "dictionary_version"]

GEOMETRY_KEY = "semigan_geometry"
"""Metadata entry with the fields of `SquareGeometry`."""

USED_UP = ("photometric", "voi_window", "spacing_mm")
"""Metadata that a whole chain uses up, and that are not alike in all images of a batch."""

Image = np.ndarray | Tensor
"""What array transforms take; metadata come with a ``MetaTensor``."""


class ArrayTransform(Transform):
    """Apply a function of NumPy arrays to channel-first images, keeping the metadata.

    Attributes:
        axes: The shape that images must have, see `check_shape`.
    """

    backend = [TransformBackends.NUMPY]
    axes: ClassVar[str] = "1 H W"

    def _plain(self, img: Image) -> np.ndarray:
        """Return the values, ``(C, H, W)`` or as ``axes`` says."""
        check_shape("img", img.shape, self.axes)
        return self._values(img)

    def _values(self, img: Image) -> np.ndarray:
        """Return the values, of any shape."""
        return img.detach().cpu().numpy() if isinstance(img, Tensor) else np.asarray(img)

    def _apply(self, img: Image, function: Callable[[np.ndarray], np.ndarray], **meta: Any) -> MetaTensor:
        """Apply a function to each channel of an image."""
        return self._result(img, np.stack([function(channel) for channel in self._plain(img)]), **meta)

    def _result(self, img: Image, values: np.ndarray, **meta: Any) -> MetaTensor:
        """Wrap new values, with the metadata of the image and further ones."""
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        return MetaTensor(tensor, meta={**_meta(img), **meta})

    def _prepared(self, img: Image, values: np.ndarray, geometry: SquareGeometry) -> MetaTensor:
        """Wrap the network's input with the way back."""
        result = self._result(img, values, **{GEOMETRY_KEY: asdict(geometry)})
        for key in USED_UP:
            result.meta.pop(key, None)
        return result

    def _known(self, img: Image, key: str, default: Any = None) -> Any:
        """Return an entry of the metadata."""
        return _meta(img).get(key, default)


class DictionaryTransform(MapTransform):
    """Apply an array transform to the entries of ``keys``.

    Args:
        keys: Entries to transform.
        settings: Arguments of the array transform.
        allow_missing_keys: Pass dictionaries without the keys.
        named_settings: Arguments of the array transform.
    """

    array_transform: ClassVar[type[Transform]]

    def __init__(
        self, keys: KeysCollection, *settings: Any, allow_missing_keys: bool = False, **named_settings: Any
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = self.array_transform(*settings, **named_settings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.transform(result[key])
        return result


def dictionary_version(array_transform: type[Transform]) -> type[DictionaryTransform]:
    """Make the dictionary class of an array class: its name with a ``d``, for that class's own module."""
    names = {
        "array_transform": array_transform,
        "__module__": array_transform.__module__,
        "__doc__": f"Dictionary version of `{array_transform.__name__}`.",
    }
    return type(f"{array_transform.__name__}d", (DictionaryTransform,), names)


def _meta(img: Image) -> dict[str, Any]:
    return dict(img.meta) if isinstance(img, MetaTensor) else {}
