# SPDX-License-Identifier: Apache-2.0
"""The end of a MONAI pipeline: clean label maps and write them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.inference.postprocess import ComponentRules
from monai_semigan.io.label_file import write_label

__all__ = ["CleanLabel", "CleanLabelD", "CleanLabelDict", "CleanLabeld", "SaveImageLabeld"]


class CleanLabel(Transform):
    """Drop pieces of a class and fill holes in a label map: see `inference.postprocess`.

    Args:
        components: Fields of `ComponentRule` by class name, as in a bundle's metadata.
        class_names: Name of each class, background first.

    Raises:
        ConfigError: A name is no class, or a rule is wrong.
    """

    backend = [TransformBackends.NUMPY]  # noqa: RUF012  (MONAI's own pattern)

    def __init__(self, components: Mapping[str, Mapping[str, Any]], class_names: Sequence[str]) -> None:
        self.rules = ComponentRules.from_json(components, class_names)

    def __call__(self, img: np.ndarray | Tensor) -> Tensor:
        """Apply to class ids, ``(1, H, W)`` or ``(1, I, J, K)``; returns uint8 of the same shape and metadata."""
        plain = img.detach().cpu().numpy() if isinstance(img, Tensor) else np.asarray(img)
        cleaned = torch.from_numpy(self.rules.apply(plain[0].astype(np.uint8)))[None]
        return MetaTensor(cleaned).copy_meta_from(img) if isinstance(img, MetaTensor) else cleaned


class CleanLabeld(MapTransform):
    """Dictionary version of `CleanLabel`.

    Args:
        keys: Entries with label maps.
        components: Fields of `ComponentRule` by class name, as in a bundle's metadata.
        class_names: Name of each class, background first.
        allow_missing_keys: Pass dictionaries without the keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        components: Mapping[str, Mapping[str, Any]],
        class_names: Sequence[str],
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = CleanLabel(components, class_names)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.transform(result[key])
        return result


class SaveImageLabeld(MapTransform):
    """Write label maps ``(1, H, W)`` as ``<output_dir>/<stem of the source>.png``, class ids as grey values.

    Args:
        keys: Entries with label maps whose metadata name the source.
        output_dir: Folder, created when needed.
        allow_missing_keys: Pass dictionaries without the keys.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            label = data[key]
            if not isinstance(label, MetaTensor) or "filename_or_obj" not in label.meta:
                raise ConfigError(f"`{key!s}` must name its source in its metadata. Load images with `LoadImaged`.")
            self.output_dir.mkdir(parents=True, exist_ok=True)
            stem = Path(str(label.meta["filename_or_obj"])).stem
            write_label(self.output_dir / f"{stem}.png", label.as_tensor()[0].cpu().numpy())
        return dict(data)


CleanLabelD = CleanLabelDict = CleanLabeld
