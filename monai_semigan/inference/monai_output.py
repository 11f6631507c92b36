# SPDX-License-Identifier: Apache-2.0
"""Write label maps at the end of a MONAI pipeline."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform

from monai_semigan.errors import ConfigError
from monai_semigan.io.label_file import write_label

__all__ = ["SaveImageLabeld"]


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
