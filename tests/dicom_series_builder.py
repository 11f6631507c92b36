"""DICOM sources of results: small series and single images on disk, with the volume that a reader makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dicom_files import CT, ENHANCED_MR, ORIENTATIONS, ORIGIN, SPACING, decimal, save
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.dicom.file import open_dicom
from monai_semigan.io.volume import DicomOrigin, SourceVolume

IMAGES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "XC": "1.2.840.10008.5.1.4.1.1.77.1.4",
    "DMS": "1.2.840.10008.5.1.4.1.1.77.1.7",
}
"""Single images by Modality: computed and digital radiography, photograph, dermoscopy."""

SHAPE = (7, 6, 5)  # columns, rows, slices
SECRETS = {
    "PatientName": "Secret^Name",
    "PatientID": "Secret-4711",
    "PatientBirthDate": "19010203",
    "PatientSex": "O",
    "ReferringPhysicianName": "Secret^Doctor",
    "AccessionNumber": "SecretAccession",
    "StudyID": "SecretStudy",
    "StudyDate": "20010101",
    "StudyTime": "120000",
}
"""What must arrive in a result and show nowhere else."""


def dataset(sop_class: str, rows: int, columns: int, **values: object) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SeriesNumber, made.InstanceNumber = 3, 1
    made.Rows, made.Columns = rows, columns
    made.Manufacturer = "Scanner maker"
    for name, value in (SECRETS | values).items():
        setattr(made, name, value)
    return made


def affine_of(orientation: Sequence[float], *, is_reversed: bool = False) -> np.ndarray:
    """LPS+ affine of columns, rows, slices."""
    row, column = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    normal = np.cross(row, column) * (-1 if is_reversed else 1)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row, column, normal], axis=1) * SPACING
    affine[:3, 3] = ORIGIN
    return affine


def volume_of(files: Sequence[Path], affine: np.ndarray, shape: tuple[int, int, int], **origin: object) -> SourceVolume:
    headers = [open_dicom(file).header for file in files]
    known = {"headers": tuple(headers), "slices": tuple(range(shape[2]))} | origin
    return SourceVolume(
        name="case",
        voxels=np.zeros(shape, dtype=np.int16),
        grid=VoxelGrid(shape, lps_from_ras(affine)),
        modality="CT",
        origin=DicomOrigin(series_uid="1.2.3", files=tuple(files), **known),
    )


def write_series(
    folder: Path,
    orientation: str = "axial",
    *,
    is_reversed: bool = False,
    shape: tuple[int, int, int] = SHAPE,
    without: Sequence[str] = (),
    left_out: Sequence[int] = (),
    **values: object,
) -> SourceVolume:
    """Write one CT file per slice, without pixels: nothing that writes results needs them.

    Args:
        folder: Made if need be.
        orientation: One of `ORIENTATIONS`.
        is_reversed: The volume's slices run against the normal of rows and columns.
        shape: Columns, rows, slices.
        without: Tags to remove.
        left_out: Slices of the volume that have no file.
        values: Set in every file.
    """
    cosines, affine = ORIENTATIONS[orientation], affine_of(ORIENTATIONS[orientation], is_reversed=is_reversed)
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    frame_of_reference = generate_uid()
    files = []
    for at in range(shape[2]):
        made = dataset(CT, shape[1], shape[0], **({"Modality": "CT"} | uids | values))
        made.FrameOfReferenceUID = frame_of_reference
        made.ImageOrientationPatient = decimal(cosines)
        made.ImagePositionPatient = decimal(affine[:3, 3] + at * affine[:3, 2])
        made.PixelSpacing, made.SliceThickness = decimal((SPACING[1], SPACING[0])), str(SPACING[2])
        made.InstanceNumber = at + 1
        for keyword in without:
            del made[keyword]
        if at not in left_out:
            files.append(save(made, folder / f"{(at * 7) % 11:02d}_{at}.dcm"))
    slices = tuple(at for at in range(shape[2]) if at not in left_out)
    return volume_of(files, affine, shape, slices=slices, is_repaired=bool(left_out))


def write_multiframe(
    folder: Path, *, orientation: str = "oblique", is_everything_per_frame: bool = False
) -> SourceVolume:
    """Write an enhanced MR object, with spacing and orientation shared as Siemens does or per frame as Philips does."""
    affine = affine_of(ORIENTATIONS[orientation])
    made = dataset(ENHANCED_MR, SHAPE[1], SHAPE[0], Modality="MR", NumberOfFrames=SHAPE[2])
    made.FrameOfReferenceUID = generate_uid()
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = decimal((SPACING[1], SPACING[0])), str(SPACING[2])
    plane.ImageOrientationPatient = decimal(ORIENTATIONS[orientation])
    shared, frames = Dataset(), []
    order = [2, 0, 4, 1, 3]  # frames need not be in the order of the slices
    for at in order:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = decimal(affine[:3, 3] + at * affine[:3, 2])
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    for target in frames if is_everything_per_frame else [shared]:
        target.PixelMeasuresSequence, target.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], frames
    return volume_of([save(made, folder / "multi.dcm")], affine, SHAPE, slices=tuple(order))


def write_image(path: Path, modality: str, *, rows: int = 9, columns: int = 12, **values: object) -> Path:
    """Write a single image that has no place in the patient."""
    made = dataset(IMAGES[modality], rows, columns, Modality=modality)
    made.PatientOrientation = ["L", "F"] if modality in ("CR", "DX") else None
    for name, value in values.items():
        setattr(made, name, value)
    return save(made, path)


def write_xray(path: Path, pixels: np.ndarray, **values: object) -> Path:
    """Write grey values of 8 bit as a CR image."""
    stored = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "SamplesPerPixel": 1}
    rows, columns = pixels.shape
    kind = {"PixelData": pixels.tobytes(), "PhotometricInterpretation": "MONOCHROME2"}
    return write_image(path, "CR", rows=rows, columns=columns, **(kind | stored | values))
