# SPDX-License-Identifier: Apache-2.0
"""What the bundles' configs need to list their data."""

from __future__ import annotations

from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.io.image_file import find_images
from monai_semigan.io.volume_input import VolumeCandidate, find_volumes

__all__ = ["image_datalist", "volume_datalist"]


def image_datalist(folder: str) -> list[dict[str, str]]:
    """List the images of a file or folder as MONAI data entries, ``[{"image": path}]``.

    Raises:
        InputError: There is none.
    """
    return [{"image": str(path)} for path in find_images([folder])]


def volume_datalist(folder: str) -> list[dict[str, str]]:
    """List the volumes of a file or folder as MONAI data entries, ``[{"image": path, "case": name}]``.

    A path is a NIfTI, MHA or NRRD file, a multi-frame DICOM file, or the folder of a DICOM series. MONAI's pipelines
    hand on paths: a series needs its own folder here, unlike in ``semigan segment``.

    Raises:
        InputError: There is none, or a series shares its folder with other volumes.
    """
    found = find_volumes([folder])
    for candidate in found:
        others = [other for other in found if other is not candidate and _is_among(candidate, other)]
        if others:
            raise InputError(
                f"`{candidate.path.name}` must hold one DICOM series and nothing else, got {len(others) + 1} volumes. "
                "Give each series its own folder, or use `semigan segment`."
            )
    return [{"image": str(_place(candidate)), "case": candidate.name} for candidate in found]


def _place(candidate: VolumeCandidate) -> Path:
    return candidate.files[0] if len(candidate.files) == 1 else candidate.path


def _is_among(series: VolumeCandidate, other: VolumeCandidate) -> bool:
    """Whether reading the series' folder would find the other volume too."""
    return _place(series).is_dir() and any(file.is_relative_to(series.path) for file in other.files)
