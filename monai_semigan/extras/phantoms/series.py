# SPDX-License-Identifier: Apache-2.0
"""Write drawn volumes as DICOM series, one file per slice, as a scanner sends them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_phantom_series"]

SOP_CLASSES = {"CT": "1.2.840.10008.5.1.4.1.1.2", "MR": "1.2.840.10008.5.1.4.1.1.4"}
WINDOWS = {"CT": (60, 400), "MR": (400, 800)}
"""Center and width; of CT in HU."""

CT_INTERCEPT = -1024
DATE, TIME = "20200101", "120000"


def write_phantom_series(
    folder: Path, voxels: np.ndarray, grid: VoxelGrid, *, modality: Literal["CT", "MR"], name: str = "phantom"
) -> list[Path]:
    """Write one DICOM file per slice along K; columns run along I, rows along J.

    UIDs depend on the name, the modality and the slice alone. Instances are numbered as the slices come, in whichever
    direction K runs.

    Args:
        folder: New or empty.
        voxels: ``(I, J, K)``; HU for CT, values from 0 for MR.
        grid: Where they lie; must be orthogonal.
        modality: Decides the SOP class.
        name: Of the case; becomes patient ID and part of the UIDs.

    Returns:
        The files, in the order of K.

    Raises:
        GeometryError: The grid is sheared, which slices of one orientation and even distance cannot express.
    """
    if not grid.is_orthogonal:
        raise GeometryError("`grid` must be orthogonal to be written as a DICOM series.")
    folder.mkdir(parents=True, exist_ok=True)
    affine = lps_from_ras(grid.affine)
    files = []
    for k in range(grid.shape[2]):
        dataset = _identity(name, modality, k)
        _place(dataset, affine, grid, k)
        _acquisition(dataset, modality)
        stored = voxels[:, :, k].T.astype(np.int32) - (CT_INTERCEPT if modality == "CT" else 0)
        _pixels(dataset, np.clip(stored, 0, 65535).astype(np.uint16), modality)
        path = folder / f"{k:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def _identity(name: str, modality: str, k: int) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (0.3 s to import)
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: PLC0415

    def uid(*parts: str) -> str:
        return str(generate_uid(entropy_srcs=["semigan phantom", name, *parts]))

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SOP_CLASSES[modality], uid(modality, str(k))
    dataset.PatientName, dataset.PatientID = f"Phantom^{name}", name
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyInstanceUID, dataset.StudyID, dataset.AccessionNumber = uid(), "1", ""
    dataset.StudyDate, dataset.StudyTime, dataset.ReferringPhysicianName = DATE, TIME, ""
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.Modality = uid(modality), 1, modality
    dataset.BodyPartExamined, dataset.SeriesDescription = "ABDOMEN", f"drawn abdomen, {modality}"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = uid("frame"), ""
    dataset.Manufacturer, dataset.PatientPosition = "monai_semigan", "HFS"
    dataset.InstanceNumber, dataset.AcquisitionNumber = k + 1, 1
    dataset.ContentDate, dataset.ContentTime = DATE, TIME
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _place(dataset: Dataset, affine: np.ndarray, grid: VoxelGrid, k: int) -> None:
    """Image Plane module (PS3.3 C.7.6.2)."""
    from pydicom.valuerep import DSfloat  # noqa: PLC0415

    def decimals(values: np.ndarray) -> list[DSfloat]:
        return [DSfloat(float(value), auto_format=True) for value in values]

    columns, rows, gap = grid.spacing_mm
    dataset.ImageOrientationPatient = decimals(np.concatenate([affine[:3, 0] / columns, affine[:3, 1] / rows]))
    dataset.ImagePositionPatient = decimals(affine[:3, 3] + k * affine[:3, 2])
    dataset.PixelSpacing = decimals(np.array([rows, columns]))
    dataset.SliceThickness = decimals(np.array([gap]))[0]


def _acquisition(dataset: Dataset, modality: str) -> None:
    """CT Image and MR Image modules (PS3.3 C.8.2.1, C.8.3.1)."""
    if modality == "CT":
        dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = CT_INTERCEPT, 1, "HU"
        dataset.KVP = 120
    else:
        dataset.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
        dataset.ScanningSequence, dataset.SequenceVariant = "SE", "SK"
        dataset.ScanOptions, dataset.MRAcquisitionType = "FS", "2D"
        dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = 2500, 80, 20


def _pixels(dataset: Dataset, stored: np.ndarray, modality: str) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.WindowCenter, dataset.WindowWidth = WINDOWS[modality]
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
