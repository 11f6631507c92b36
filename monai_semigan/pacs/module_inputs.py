# SPDX-License-Identifier: Apache-2.0
"""The files that a container is given, under names that say nothing of a patient.

mercure calls files after the UIDs of series and instance, XNAT and others after subjects. What a name says would go on
into cases, reports and logs, so DICOM files are linked under numbers; other files keep their names, by which alone
their results are known.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from monai_semigan.errors import InputError, OutputError
from monai_semigan.io.dicom.file import is_dicom, open_dicom
from monai_semigan.io.dicom.rules import SeriesInfo, SeriesRules, why_no_single_image
from monai_semigan.io.folder import files_in

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["LinkedInputs", "link_inputs"]

DICOM_FOLDER = "dicom"


@dataclass(frozen=True, kw_only=True)
class LinkedInputs:
    """What was found in a folder.

    Attributes:
        folder: Links to what is taken.
        num_taken: How many there are.
        left: How many files are not taken, by the reason.
    """

    folder: Path
    num_taken: int
    left: Mapping[str, int] = field(default_factory=dict)


def link_inputs(
    source: Path, folder: Path, *, takes_volumes: bool, rules: SeriesRules, with_others: bool, skip: Path
) -> LinkedInputs:
    """Link the files of a folder into another one.

    Args:
        source: Folder with files.
        folder: Empty folder for the links.
        takes_volumes: The rules are for series, and applied when these are known; else they are applied here, to
            single images.
        rules: Which DICOM files are taken.
        with_others: Take files that are no DICOM, too.
        skip: A subfolder that is left out, such as that of the results.

    Raises:
        InputError: The folder does not exist or cannot be read.
        OutputError: Neither links nor copies can be made.
    """
    if not source.is_dir():
        raise InputError(f"`{source}` must be a folder with the files to segment, but is none. Is it mounted?")
    found = files_in(source, skip=skip)
    unreadable = sum(not os.access(path, os.R_OK) for path in found)
    if unreadable:  # else they would count as no DICOM, and the task as done
        raise InputError(
            f"`{source}` must hold files that can be read, but {unreadable} of {len(found)} cannot. Run the container "
            "as their owner."
        )
    taken, left = 0, Counter[str]()
    for path in found:
        is_own = is_dicom(path)
        if not is_own and not with_others:
            continue  # mercure's task.json, tags and the like
        reason = None if takes_volumes or not is_own else _why_left(path, rules)
        if reason is not None:
            left[reason] += 1
            continue
        taken += 1
        name = Path(DICOM_FOLDER, f"instance-{taken:06d}.dcm") if is_own else path.relative_to(source)
        _link(path, folder / name)
    return LinkedInputs(folder=folder, num_taken=taken, left=dict(left))


def _why_left(path: Path, rules: SeriesRules) -> str | None:
    """Say why a DICOM file is no image to segment; None if it is one, or if reading it must say what is wrong."""
    try:
        file = open_dicom(path)
    except InputError:
        return None
    if file is None:
        return None
    header = file.header
    image_type = tuple(str(word).upper() for word in header.get("ImageType") or ())
    reason = why_no_single_image(str(header.get("SOPClassUID", "")), image_type, has_pixels="Rows" in header)
    return reason or rules.why_left(_as_series(header))


def _as_series(header: Dataset) -> SeriesInfo:
    return SeriesInfo(
        series_uid=str(header.get("SeriesInstanceUID", "")),
        part=(1, 1),
        series_number=None,
        modality=str(header.get("Modality", "")) or None,
        description=str(header.get("SeriesDescription", "")),
        num_slices=1,
        plane=None,
        shape=(0, 0),
        spacing_mm=None,
        is_localizer=False,
    )


def _link(path: Path, target: Path) -> None:
    """Link a file; copy it where the file system has no links, as shares of Windows do not."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to(path.resolve())
        except OSError:
            shutil.copyfile(path, target)
    except OSError as error:
        raise OutputError(f"The output must be a folder that can be written: {error.strerror}.") from error
