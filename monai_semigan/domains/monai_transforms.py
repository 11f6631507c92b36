# SPDX-License-Identifier: Apache-2.0
"""A domain's whole chain in a MONAI pipeline, and the way back from the network's square to the source's pixels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

from monai_semigan.domains.base import IMAGE
from monai_semigan.domains.registry import find_domain
from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.transforms.mapped import GEOMETRY_KEY, ArrayTransform, Image, dictionary_version
from monai_semigan.transforms.square import SquareGeometry

__all__ = [
    "PrepareForNetwork",
    "PrepareForNetworkD",
    "PrepareForNetworkDict",
    "PrepareForNetworkd",
    "RestoreLabel",
    "RestoreLabelD",
    "RestoreLabelDict",
    "RestoreLabeld",
]


class PrepareForNetwork(ArrayTransform):
    """The whole chain of a domain's preset: from a source image or slice to the network's input.

    Args:
        domain: Name of the domain, see `domains.registry`.
        modality: Whose preset, of a domain of volumes.
        settings: Fields of the preset.

    Raises:
        ConfigError: The domain, the modality or a field is unknown, or a value is out of range.
    """

    def __init__(self, domain: str, *, modality: str = IMAGE, **settings: Any) -> None:
        found = find_domain(domain)
        presets = found.read_presets({modality: settings} if found.takes_volumes else settings)
        self.takes_volumes, self.preset = found.takes_volumes, presets[modality]

    def __call__(self, img: Image) -> MetaTensor:
        """Apply to ``(C, H, W)``; returns float32 ``(C, S, S)`` in [-1, 1], with the way back in the metadata.

        Raises:
            InputError: The image is constant or holds NaN.
            ShapeError: It has another number of channels than the preset.
        """
        pixels = self._values(img)
        check_shape("img", pixels.shape, f"{self.preset.channels} H W")
        pixels = pixels[0] if self.preset.channels == 1 else np.moveaxis(pixels, 0, -1)
        known = {"spacing_mm": self._known(img, "spacing_mm")}
        if not self.takes_volumes:
            photometric = self._known(img, "photometric", "MONOCHROME2")
            known = {"photometric": photometric, "voi_window": self._known(img, "voi_window")}
        return self._prepared(img, *self.preset.prepare(pixels, **known))


class RestoreLabel(Transform):
    """Bring class scores of the network's square back to the source's pixels and take the largest."""

    backend = [TransformBackends.NUMPY]  # noqa: RUF012  (MONAI's own pattern)

    def __call__(self, img: Image, geometry: Mapping[str, Any]) -> Tensor:
        """Return class ids.

        Args:
            img: Logits or probabilities, ``(K, S, S)``.
            geometry: Fields of `SquareGeometry`.

        Returns:
            ``(1, H, W)`` uint8.
        """
        plain = img.detach().cpu().numpy() if isinstance(img, Tensor) else np.asarray(img)
        way = SquareGeometry(**{name: _plain(value) for name, value in geometry.items()})
        return torch.from_numpy(way.scores_to_label(plain))[None]


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
                "Apply PrepareForNetworkd or ResizeToSquared before."
            )
        for key in self.key_iterator(result):
            label = self.transform(result[key], image.meta[GEOMETRY_KEY])
            kept = {name: value for name, value in image.meta.items() if name == "filename_or_obj"}
            result[key] = MetaTensor(label, meta=kept)
        return result


def _plain(value: Any) -> Any:
    """Undo what a data loader's collation makes of numbers and tuples."""
    if isinstance(value, Tensor):
        value = value.tolist()
    return tuple(int(item) for item in value) if isinstance(value, (list, tuple)) else value


PrepareForNetworkD = PrepareForNetworkDict = PrepareForNetworkd = dictionary_version(PrepareForNetwork)
RestoreLabelD = RestoreLabelDict = RestoreLabeld
