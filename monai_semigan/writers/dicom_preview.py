# SPDX-License-Identifier: Apache-2.0
"""Write a picture of a result as DICOM Secondary Capture (PS3.3 A.8), for viewers that show nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import (
    SERIES_DESCRIPTION,
    AlgorithmInfo,
    complete,
    derived_uid,
    making,
    save,
    series_number,
)
from monai_semigan.writers.dicom_source import laterality, lean_header, source_header

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_dicom_preview"]

SERIES_OFFSET = 2000
"""Added to the source's SeriesNumber."""


def write_dicom_preview(
    path: PathLike, picture: np.ndarray, source: PathLike | Dataset, *, algorithm: AlgorithmInfo, number: int = 1
) -> Path:
    """Write a picture into the study of a DICOM file, in a series of its own.

    Pictures of one source series and one algorithm come into one series, by ``number``. Their identifiers follow from
    these, so a repeated run replaces its pictures.

    Args:
        path: The file to write; an existing one is replaced.
        picture: RGB, ``(H, W, 3)`` uint8; it must not show who the patient is.
        source: The header of an image of the series that the picture shows, or its file.
        algorithm: What made the result.
        number: InstanceNumber, from 1.

    Raises:
        OutputError: The picture is no RGB picture, or the file cannot be written.
        InputError: The source is damaged or gone.
    """
    path = Path(path)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise OutputError(f"`picture` must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}.")
    if number < 1:
        raise OutputError(f"`number` must be at least 1, got {number}.")
    full = source_header(source)
    seed = ["preview", str(full.SeriesInstanceUID), algorithm.digest, algorithm.settings]
    with making(path.name):
        import highdicom as hd  # noqa: PLC0415  (0.6 s to import)
        from pydicom import Dataset  # noqa: PLC0415  (only who writes DICOM pays for the import)
        from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415  (the same)

        result = hd.sc.SCImage.from_ref_dataset(
            lean_header(full),
            pixel_array=np.ascontiguousarray(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "P"),  # highdicom wants one; emptied below
            series_instance_uid=derived_uid("series", *seed),
            series_number=series_number(full, SERIES_OFFSET),
            sop_instance_uid=derived_uid(*seed, number),
            instance_number=number,
            series_description=SERIES_DESCRIPTION,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **algorithm.equipment,
        )
        result.PatientOrientation = []  # type 2C, unknown: a montage has several
        result.Laterality = laterality(full)  # type 2C
        result.BurnedInAnnotation = "NO"  # nothing that identifies the patient (PS3.3 C.7.6.1)
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = full.SOPClassUID, full.SOPInstanceUID
        result.SourceImageSequence = [reference]
        complete(result, full, algorithm, seed=seed)
    return save(result, path)
