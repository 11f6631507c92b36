# SPDX-License-Identifier: Apache-2.0
"""List the DICOM series among files, and say of each why it would be segmented or left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesInfo, SeriesRules
from monai_semigan.io.dicom.series import find_series
from monai_semigan.io.folder import files_in
from monai_semigan.io.zip_input import unpack_zip
from monai_semigan.types import PathLike, Progress

__all__ = ["list_series"]


def list_series(
    path: PathLike,
    rules: SeriesRules | None = None,
    *,
    repairs: RepairOptions = NO_REPAIRS,
    progress: Progress | None = None,
) -> list[SeriesInfo]:
    """List the series in a DICOM file, a folder with its subfolders, or a zip. Only headers are read.

    Args:
        path: File, folder or zip.
        rules: Which series to take.
        repairs: What may be done to irregular series.
        progress: Called after each file.

    Raises:
        InputError: The path does not exist, the zip cannot be used, or there is no DICOM image.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        is_zip = path.suffix.lower() == ".zip" and path.is_file()
        files = files_in(unpack_zip(path, folder) if is_zip else path)
        found = find_series(files, rules, repairs=repairs, progress=progress)
    if not found:
        raise InputError(f"`{path.name}` must hold DICOM images, but holds none.")
    return [series.info for series in found]
