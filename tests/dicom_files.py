"""Write small DICOM series, right or with a fault, whose voxel positions are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import config, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from monai_semigan.io.dicom.pixels import read_dicom_series
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.series import find_series
from monai_semigan.io.folder import files_in
from monai_semigan.io.volume import SourceVolume

CT, MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SPACING = (0.8, 0.6, 2.5)  # between columns, rows, slices: all different
ORIGIN = (-31.25, 17.5, -203.0)
SECRET = "Secret^Name"

ANGLE = np.radians(20)
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "oblique": (np.cos(ANGLE), 0, -np.sin(ANGLE), np.sin(ANGLE) ** 2, np.cos(ANGLE), np.sin(ANGLE) * np.cos(ANGLE)),
    "negated column": (1, 0, 0, 0, -1, 0),
    "reversed order": (1, 0, 0, 0, 1, 0),
}

Edit = Callable[[Dataset, int], None]


def stored_values(num_slices: int = 5, rows: int = 6, columns: int = 7) -> np.ndarray:
    """Asymmetric 12-bit values, ``(slices, rows, columns)``: every voxel its own."""
    return (np.arange(num_slices * rows * columns).reshape(num_slices, rows, columns) * 3 + 100).astype(np.uint16)


def normal(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def instance(pixels: np.ndarray, **values: object) -> Dataset:
    """One CT slice with patient's data that must never show."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, generate_uid()
    dataset.PatientName, dataset.PatientID = SECRET, "Secret-4711"
    dataset.Modality = "CT"
    dataset.StudyInstanceUID = generate_uid()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    dataset.SliceThickness = str(SPACING[2])
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def decimal(values: Sequence[float]) -> list[str]:
    """Decimal strings of at most 16 characters, as the standard wants them."""
    return [f"{value:.10g}"[:16] for value in values]


def write_series(
    folder: Path,
    pixels: np.ndarray | None = None,
    *,
    orientation: Sequence[float] = ORIENTATIONS["axial"],
    origin: Sequence[float] = ORIGIN,
    is_reversed: bool = False,
    edit: Edit | None = None,
    leave_out: Sequence[int] = (),
    **values: object,
) -> list[Path]:
    """Write one file per slice, named so that the files' order is not the slices'; return them in the slices' order.

    Args:
        folder: Made if need be.
        pixels: Stored values, ``(slices, rows, columns)``.
        orientation: Cosines of row and column.
        origin: Position of slice 0, LPS+.
        is_reversed: InstanceNumber falls along the normal.
        edit: Called with each dataset and its index before it is written.
        leave_out: Indices that are not written.
        values: Set in every dataset.
    """
    pixels = stored_values() if pixels is None else pixels
    uids = {"SeriesInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid(), "SeriesNumber": 3}
    paths = []
    for at, plane in enumerate(pixels):
        position = np.asarray(origin) + at * SPACING[2] * normal(orientation)
        dataset = instance(plane, **(uids | values))
        dataset.ImageOrientationPatient = decimal(orientation)
        dataset.ImagePositionPatient = decimal(position)
        dataset.PixelSpacing = decimal((SPACING[1], SPACING[0]))
        dataset.InstanceNumber = len(pixels) - at if is_reversed else at + 1
        if edit is not None:
            edit(dataset, at)
        if at not in leave_out:
            paths.append(save(dataset, folder / f"image{(at * 7) % 11:02d}_{at}"))
    return paths


def multiframe(pixels: np.ndarray, *, positions: np.ndarray, orientation: Sequence[float]) -> Dataset:
    """An enhanced MR object with one frame per position."""
    dataset = instance(pixels[0], SOPClassUID=ENHANCED_MR, Modality="MR", NumberOfFrames=len(pixels))
    dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = generate_uid(), generate_uid()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    dataset.InstanceNumber, dataset.SeriesNumber = 1, 4
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType, dataset.SliceThickness
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimal((SPACING[1], SPACING[0]))
    measures.SliceThickness = str(SPACING[2])
    plane.ImageOrientationPatient = decimal(orientation)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for at, position in enumerate(positions):
        frame, place, scale, content = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = decimal(position)
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = str(at + 1), "5", "US"
        content.DimensionIndexValues, content.StackID, content.InStackPositionNumber = [1, at + 1], "1", at + 1
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frame.FrameContentSequence = [content]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def read_volume(path: Path, repairs: RepairOptions = NO_REPAIRS) -> SourceVolume:
    """Read the one series that is taken in a file or folder."""
    (series,) = [found for found in find_series(files_in(path), repairs=repairs) if found.info.is_taken]
    return read_dicom_series(series, name=path.stem)


def put_text(path: Path, keyword: str, text: str, *, vr: str | None = None) -> Path:
    """Put any text into an element of a file, under its own short value representation or another, unchecked."""
    tag = tag_for_keyword(keyword)
    vr = vr or dictionary_VR(tag)
    marker = "SEMIGANMARKER~" + "x" * (len(text) + len(text) % 2)
    with config.disable_value_validation():
        dataset = dcmread(path)
        if keyword in dataset:
            del dataset[keyword]
        dataset.add_new(tag, "LO", marker)
        dataset.save_as(path)
    content = path.read_bytes()
    marked = marker.encode() + b" " * (len(marker) % 2)
    at = content.index(marked)
    assert content[at - 4 : at - 2] == b"LO"
    value = text.encode() + b" " * (len(text) % 2)
    head = content[: at - 4] + vr.encode() + len(value).to_bytes(2, "little")
    path.write_bytes(head + value + content[at + len(marked) :])
    return path
