# SPDX-License-Identifier: Apache-2.0
"""Write an image that a generator drew as DICOM Secondary Capture (PS3.3 A.8) that nobody can take for a patient's.

Name, id, image type, the attribute Synthetic Data, comments and description all say what it is; identifiers follow from
bundle, settings and number, and there is no time of day in it: drawn again, the file is the same.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import AlgorithmInfo, complete, derived_uid, making, save

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["NO_TIME", "write_dicom_synthetic"]

NO_TIME = datetime.datetime(1900, 1, 1, tzinfo=datetime.timezone.utc)
"""Where the standard demands a time: what was never acquired has none, and equal items are equal files."""

DESCRIPTION = "Synthetic image, no patient"

COMMENTS = "Synthetic: drawn by a neural network, shows no patient. Research only, not for diagnosis."

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

MAX_NUMBER = 2**31 - 1
"""Largest integer string (IS), PS3.5 6.2."""


def write_dicom_synthetic(path: PathLike, pixels: np.ndarray, *, algorithm: AlgorithmInfo, number: int) -> Dataset:
    """Write a drawn image.

    Args:
        path: The file to write; an existing one is replaced.
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB, uint8.
        algorithm: What drew it; its settings must tell equal numbers of different runs apart.
        number: Of the item, from 1: its patient's, and its InstanceNumber.

    Returns:
        The header, for a DICOM SEG of its label.

    Raises:
        OutputError: The pixels are no such image, the number is out of range, or the file cannot be written.
    """
    path = Path(path)
    is_color = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.dtype != np.uint8 or not pixels.size or not (is_color or pixels.ndim == 2):
        raise OutputError(f"`pixels` must be (H, W) or (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}.")
    if not 1 <= number <= MAX_NUMBER:
        raise OutputError(f"`number` must be 1 to {MAX_NUMBER}, got {number}.")
    with making(path.name):
        result = _image(pixels, algorithm, number, is_color=is_color)
    save(result, path)
    del result.PixelData
    return result


def _image(pixels: np.ndarray, algorithm: AlgorithmInfo, number: int, *, is_color: bool) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (only who writes DICOM pays for the import)
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415  (the same)
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415  (the same)

    seed = ["synthetic", algorithm.digest, algorithm.settings, number]
    result, patient = Dataset(), Dataset()
    patient.PatientName, patient.PatientID = f"Synthetic^{number:06d}", f"SYNTHETIC-{number:06d}"
    patient.PatientIdentityRemoved, patient.DeidentificationMethod = "YES", "Synthetic: there is no patient"
    result.SOPClassUID, result.SOPInstanceUID = SECONDARY_CAPTURE, derived_uid("instance", *seed)
    result.StudyInstanceUID, result.SeriesInstanceUID = derived_uid("study", *seed), derived_uid("series", *seed)
    result.SyntheticData = "YES"
    result.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    result.ConversionType = "SYN"  # synthetic image (PS3.3 C.8.6.1)
    result.Modality, result.SeriesNumber, result.InstanceNumber = "OT", 1, number
    result.StudyDescription = result.SeriesDescription = DESCRIPTION
    result.ImageComments = COMMENTS
    result.DerivationDescription = f"Drawn by the generator of {algorithm.name} {algorithm.version}"
    result.BurnedInAnnotation, result.LossyImageCompression = "NO", "00"
    result.PatientOrientation, result.Laterality = None, None  # type 2C, unknown
    equipment = algorithm.equipment
    result.Manufacturer, result.ManufacturerModelName = equipment["manufacturer"], equipment["manufacturer_model_name"]
    result.DeviceSerialNumber, result.SoftwareVersions = (
        equipment["device_serial_number"],
        equipment["software_versions"],
    )
    result.Rows, result.Columns = pixels.shape[:2]
    result.SamplesPerPixel = 3 if is_color else 1
    result.PhotometricInterpretation = "RGB" if is_color else "MONOCHROME2"
    if is_color:
        result.PlanarConfiguration = 0
    result.BitsAllocated = result.BitsStored = 8
    result.HighBit, result.PixelRepresentation = 7, 0
    content = pixels.tobytes()
    result.PixelData = content + b"\0" * (len(content) % 2)
    result["PixelData"].VR = "OB"
    complete(result, patient, algorithm, seed=seed)
    for kind in ("InstanceCreation", "Content", "Series"):  # optional here: better none than one that was made up
        del result[f"{kind}Date"], result[f"{kind}Time"]
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return result
