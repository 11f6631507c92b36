# SPDX-License-Identifier: Apache-2.0
"""Whom a DICOM file is of. Read on request alone: nothing else of this package needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monai_semigan.io.dicom.values import ElementValues

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Identity", "identity_of"]


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


def identity_of(header: Dataset) -> Identity:
    """Take it from a header that was read."""
    values = ElementValues(header)

    def printable(keyword: str) -> str:
        return "".join(filter(str.isprintable, values.text(keyword))).strip()

    return Identity(
        patient_id=printable("PatientID"),
        patient_name=printable("PatientName"),
        study_date=printable("StudyDate"),
        accession_number=printable("AccessionNumber"),
        series_description=printable("SeriesDescription"),
    )
