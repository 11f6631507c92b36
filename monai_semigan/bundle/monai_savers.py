# SPDX-License-Identifier: Apache-2.0
"""The end of a MONAI pipeline: write label maps.

MONAI Label and MONAI Deploy read and write files themselves and drop transforms that would write: MONAI Deploy those
with ``SaveImage`` in the name of their class, MONAI Label those of the kind ``SaveImaged``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms.io.dictionary import SaveImaged

from monai_semigan.bundle.monai_readers import VolumeReader
from monai_semigan.errors import ConfigError, GeometryError
from monai_semigan.files import safe_name
from monai_semigan.io.image_file import to_stored
from monai_semigan.io.label_file import write_label
from monai_semigan.io.label_volume import write_nifti_label

__all__ = ["SaveImageLabeld", "SaveImageVolumeLabeld"]

GRID_TOLERANCE = 1e-3
"""Of an affine's entries, mm: some hosts keep affines in float32."""


class SaveImageLabeld(SaveImaged):
    """Write label maps ``(1, H, W)`` as ``<output_dir>/<stem of the source>.png``, class ids as grey values.

    They lie on the source's pixels as stored, whatever its orientation.

    Args:
        keys: Entries with label maps whose metadata name the source.
        output_dir: Folder, created when needed.
        allow_missing_keys: Pass dictionaries without the keys.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, output_dir=output_dir, output_ext=".png", allow_missing_keys=allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            label, source = _label_and_source(data, key)
            self.output_dir.mkdir(parents=True, exist_ok=True)
            stem = Path(source).stem
            upright = label.as_tensor()[0].cpu().numpy()
            write_label(self.output_dir / f"{stem}.png", to_stored(upright, int(label.meta.get("orientation", 1))))
        return dict(data)


class SaveImageVolumeLabeld(SaveImaged):
    """Write label volumes ``(1, I, J, K)`` as ``<output_dir>/<case>.nii.gz``, exactly on their sources.

    The source is read again: what a NIfTI file needs to lie on it does not pass through a data loader.

    Args:
        keys: Entries with label maps whose metadata name the source, as `VolumeReader` leaves them.
        output_dir: Folder, created when needed.
        case_key: Entry with the case's name, as `volume_datalist` gives it; without it the source's own name.
        allow_missing_keys: Pass dictionaries without the keys.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str, *, case_key: str = "case", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, output_dir=output_dir, allow_missing_keys=allow_missing_keys)
        self.output_dir, self.case_key = Path(output_dir), case_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the labels and return the data as they are.

        Raises:
            ConfigError: A label map does not name its source.
            GeometryError: It no longer lies on its source's grid.
            OutputError: It cannot be written; nothing of it is left.
        """
        for key in self.key_iterator(dict(data)):
            label, source = _label_and_source(data, key)
            ((_, volume),) = VolumeReader().read(source)
            ids, affine = label.as_tensor()[0].cpu().numpy(), np.asarray(label.affine.cpu(), dtype=np.float64)
            if ids.shape != volume.grid.shape or not np.allclose(
                affine, volume.grid.affine, rtol=0, atol=GRID_TOLERANCE
            ):
                raise GeometryError(
                    f"`{key!s}` must lie on the grid of `{volume.name}`, shape {volume.grid.shape}, got shape "
                    f"{ids.shape} or another affine. Invert what moved or resampled it first."
                )
            self.output_dir.mkdir(parents=True, exist_ok=True)
            name = safe_name(str(data.get(self.case_key) or volume.name))
            write_nifti_label(self.output_dir / f"{name}.nii.gz", ids, volume)
        return dict(data)


def _label_and_source(data: Mapping[Hashable, Any], key: Hashable) -> tuple[MetaTensor, str]:
    label = data[key]
    if not isinstance(label, MetaTensor) or "filename_or_obj" not in label.meta:
        raise ConfigError(f"`{key!s}` must name its source in its metadata. Load images with `LoadImaged`.")
    return label, str(label.meta["filename_or_obj"])
