# SPDX-License-Identifier: Apache-2.0
"""Finished label maps under BIDS names: ``derivatives/semigan`` beside the cases.

The cases stay what they are; their label maps get a second name. So nothing is written twice, and the derivative can be
made again at any time, from any state.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from monai_semigan import __version__
from monai_semigan.atomic import replacing
from monai_semigan.cohort.bids import bids_image
from monai_semigan.cohort.rows import CaseRow
from monai_semigan.errors import OutputError
from monai_semigan.files import write_json, write_text
from monai_semigan.segmentation.record import BundleRecord, CaseRecord, ClassRecord

__all__ = ["DERIVATIVES", "LABEL", "write_derivatives"]

DERIVATIVES = "derivatives"

LABEL = "label.nii.gz"
"""The file of a case that is projected."""

BIDS_VERSION = "1.10.0"
"""Of the specification that the names follow."""

RAW = "raw"
"""What the sidecars call the dataset of the images."""


def write_derivatives(
    folder: Path, rows: Iterable[CaseRow], records: Mapping[str, CaseRecord], bundle: BundleRecord
) -> None:
    """Give finished label maps BIDS names, and take these from cases that are finished no more.

    Args:
        folder: The cohort's.
        rows: All, in any state.
        records: Of the finished cases, by name.
        bundle: What made them.

    Raises:
        OutputError: A file cannot be written.
    """
    root = folder / DERIVATIVES / "semigan"
    images = {row.case: image for row in rows if row.case in records and (image := bids_image(row.path)) is not None}
    kept: set[Path] = set()
    for case, image in images.items():
        label = folder / case / LABEL
        if not label.is_file():
            continue
        target = root / f"{image.derived}.nii.gz"
        _project(label, target)
        write_json(root / f"{image.derived}.json", {"Sources": [f"bids:{RAW}:{image.source}"]})
        kept |= {target, root / f"{image.derived}.json"}
    for path in root.glob("sub-*/**/*_dseg.*"):
        if path not in kept and not path.name.startswith("."):
            path.unlink(missing_ok=True)
    if kept:
        write_text(root / "dseg.tsv", _classes_text(next(iter(records.values())).classes))
        source = next(iter(images.values())).root
        write_json(root / "dataset_description.json", _description(bundle, os.path.relpath(source, root)))


def _project(label: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such thing."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(label):
            return
    except OSError as error:
        raise OutputError(f"`{DERIVATIVES}` must be a folder that can be written: {error.strerror}.") from error
    with replacing(target) as temporary:
        try:
            os.link(label, temporary)
        except OSError:
            shutil.copyfile(label, temporary)


def _description(bundle: BundleRecord, raw: str) -> dict[str, Any]:
    return {
        "Name": "Segmentation by monai_semigan",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "monai_semigan", "Version": __version__},
            {"Name": bundle.name, "Version": bundle.version, "Description": f"bundle, SHA-256 {bundle.digest}"},
        ],
        "SourceDatasets": [{"URL": Path(raw).as_posix()}],
        "DatasetLinks": {RAW: Path(raw).as_posix()},
    }


def _classes_text(classes: Iterable[ClassRecord]) -> str:
    """Write the table of classes: BIDS wants index, name, colour and abbreviation."""
    stream = StringIO()
    writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
    writer.writerow(("index", "name", "color", "abbreviation"))
    used: set[str] = set()
    for index, part in enumerate(classes, start=1):
        color = "n/a" if part.color is None else "#{:02x}{:02x}{:02x}".format(*part.color)
        writer.writerow((index, part.name, color, _abbreviated(part.name, used)))
    return stream.getvalue()


def _abbreviated(name: str, used: set[str]) -> str:
    """Shorten a name to the first letters that no other one has."""
    letters = "".join(letter for letter in name.upper() if letter.isalnum()) or "N"
    found = next((letters[:size] for size in range(1, len(letters) + 1) if letters[:size] not in used), None)
    found = found or f"{letters}{len(used) + 1}"
    used.add(found)
    return found
