# SPDX-License-Identifier: Apache-2.0
"""Whom a DICOM file is of. Read on request alone: nothing else of this package needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monai_semigan.io.dicom.headers import is_dicom, quiet_pydicom

__all__ = ["Identity", "read_identity"]

KEYWORDS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "study_date": "StudyDate",
    "accession_number": "AccessionNumber",
    "series_description": "SeriesDescription",
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a report says of the patient when it is asked to; empty where the file does not say it.

    Attributes:
        patient_id: PatientID (0010,0020).
        patient_name: PatientName (0010,0010), as stored: family name, given name, ..., with ``^`` between.
        study_date: StudyDate (0008,0020), YYYYMMDD.
        accession_number: AccessionNumber (0008,0050).
        series_description: SeriesDescription (0008,103E).
    """

    patient_id: str
    patient_name: str
    study_date: str
    accession_number: str
    series_description: str


def read_identity(path: Path) -> Identity | None:
    """Read it from a file's header; None if the file is no DICOM or its header is damaged."""
    import pydicom  # noqa: PLC0415  (0.3 s to import)

    if not is_dicom(path):
        return None
    with quiet_pydicom():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(KEYWORDS.values()))
            found = {name: str(header.get(keyword) or "") for name, keyword in KEYWORDS.items()}
        except Exception:  # a damaged header makes pydicom raise what it likes; reading the pixels says what is wrong
            return None
    return Identity(**{name: "".join(filter(str.isprintable, text)).strip() for name, text in found.items()})
