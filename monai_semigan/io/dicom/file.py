# SPDX-License-Identifier: Apache-2.0
"""A DICOM file on its way through a case: opened once where it can be, its header kept, its bytes until they are used.

A file is opened when it is looked at. What is read then is the header, and all bytes if there is room for them; the
digest, the pixels, the identity and the results that refer to it come from that. Only bytes for which there was no room
are read by a second opening.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.values import quiet_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "DISPLAY_TAGS",
    "PATIENT_TAGS",
    "REFERENCE_TAGS",
    "DicomFile",
    "header_of",
    "is_dicom",
    "open_dicom",
    "transfer_syntax",
]

PREAMBLE = 128
"""Bytes before the letters DICM (PS3.10, section 7.1)."""

HEAD = PREAMBLE + 4

FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
"""File Meta Information and the first group of an image: what a file without preamble begins with."""

MAX_FIRST_ELEMENT_BYTES = 256
"""Of the first element of a file without preamble: a group length, a character set, an image type or a UID."""

PATIENT_TAGS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
"""What a result takes over of the patient and the study; the first nine must be there and may be empty (PS3.3 C.7)."""

REFERENCE_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "Manufacturer",
    "ManufacturerModelName",
)
"""What a result needs to refer to an image, nothing that identifies a person; the first six must be there."""

IMAGE_TAGS = (
    "SeriesNumber",
    "InstanceNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "ImageType",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PatientOrientation",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "EchoTime",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


DISPLAY_TAGS = (
    "PhotometricInterpretation",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PixelAspectRatio",
    "ImagerPixelSpacing",
    "Laterality",
    "ImageLaterality",
)
"""How an image is shown, which a presentation state must repeat, and which side of the body it shows."""


class DicomFile:
    """A file's header, and its bytes while they are held.

    Attributes:
        path: The file.
        header: Without pixels; what no reader or writer of this package uses is left out.
        size: Bytes of the file.
    """

    def __init__(self, path: Path, header: Dataset, size: int, content: bytes | None) -> None:
        self.path, self.header, self.size = path, header, size
        self._content = content

    @property
    def held_bytes(self) -> int:
        """Bytes in memory beside the header."""
        return 0 if self._content is None else len(self._content)

    def content(self) -> bytes:
        """Return all bytes; hold them until `release`.

        Raises:
            InputError: The file is gone or cannot be read.
        """
        if self._content is None:
            try:
                self._content = self.path.read_bytes()
            except OSError as error:
                raise InputError(f"`{self.path.name}` must be readable: {error.strerror}.") from error
        return self._content

    def release(self) -> None:
        """Let the bytes go; the header stays."""
        self._content = None

    def digest(self) -> str:
        """Compute the SHA-256 of the bytes, which are held from then on.

        Raises:
            InputError: The file is gone or cannot be read.
        """
        return hashlib.sha256(self.content()).hexdigest()

    def dataset(self) -> Dataset:
        """Parse the file with its pixels; the bytes are released.

        Raises:
            InputError: The file is damaged or gone.
        """
        content = self.content()
        self.release()
        try:
            return _parse(io.BytesIO(content))
        except Exception as error:  # a damaged file makes pydicom raise what it likes
            raise _damaged(self.path, error) from None


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, whatever its name; not DICOMDIR, which only lists others."""
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            return _is_dicom_head(stream.read(HEAD))
    except OSError:
        return False


def open_dicom(path: Path, *, room: int = 0) -> DicomFile | None:
    """Open a file once and read its header; None if it is no DICOM.

    Args:
        path: The file.
        room: Bytes that may be held: a file that has no more is read whole.

    Raises:
        InputError: It cannot be read, or its header is damaged.
    """
    if path.name.upper() == "DICOMDIR":
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD)
            if not _is_dicom_head(head):
                return None
            size = os.fstat(stream.fileno()).st_size
            content = head + stream.read() if size <= room else None
            source: BinaryIO = stream if content is None else io.BytesIO(content)
            source.seek(0)
            return DicomFile(path, _parse(source, header_only=True), size, content)
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error.strerror or type(error).__name__}.") from None
    except Exception as error:  # a damaged header makes pydicom raise what it likes
        raise _damaged(path, error) from None


def header_of(content: bytes, name: str = "instance") -> Dataset:
    """Parse the header of a file's whole bytes, and check that the pixels are all there.

    Args:
        content: The bytes.
        name: What errors call it.

    Raises:
        InputError: It is no DICOM, has no pixels, or ends before its pixels do.
    """
    if not _is_dicom_head(content[:HEAD]):
        raise InputError(f"`{name}` must be a DICOM file, but is none.")
    source = io.BytesIO(content)
    try:
        header = _parse(source, header_only=True)
        end = _end_of_pixels(content, source.tell(), header)
    except Exception as error:  # a damaged header makes pydicom raise what it likes
        raise _damaged(Path(name), error) from None
    if end is None:
        raise InputError(f"`{name}` must be an image, but has no pixels.")
    if end > len(content):
        raise InputError(f"`{name}` must hold {end} bytes by its own header, got {len(content)}. Send it again.")
    return header


def _end_of_pixels(content: bytes, at: int, header: Dataset) -> int | None:
    """Where the element ends that the header ends at; None if those are no pixels (7FE0,0008 to 7FE0,0010)."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_transfer_syntax and syntax.is_deflated:  # the place in what was inflated
        return len(content)
    order: Literal["little", "big"] = "little" if header.original_encoding[1] else "big"
    group, element = (int.from_bytes(content[at + step : at + step + 2], order) for step in (0, 2))
    if group != 0x7FE0 or element not in (0x0008, 0x0009, 0x0010):
        return None
    is_long = not header.original_encoding[0]  # explicit VR: two letters, two reserved bytes, four of length
    start = at + (12 if is_long else 8)
    length = int.from_bytes(content[start - 4 : start], order)
    if length == 0xFFFFFFFF:  # items, the last of them a delimiter
        return len(content) if content.rstrip(b"\0")[-4:] == b"\xfe\xff\xdd\xe0" else len(content) + 1
    return start + length


def transfer_syntax(dataset: Dataset) -> str:
    """Return the name of a transfer syntax, ``unknown`` for one that the standard does not have."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    return str(syntax.name) if syntax is not None and syntax.is_transfer_syntax and not syntax.is_private else "unknown"


def _is_dicom_head(head: bytes) -> bool:
    return head[PREAMBLE:] == b"DICM" or _starts_without_preamble(head)


def _starts_without_preamble(head: bytes) -> bool:
    """Whether bytes begin with a plausible first element, little-endian: explicit or implicit VR (PS3.5, 7.1)."""
    if head[:2] not in FIRST_GROUPS or len(head) < 12 or head[3] != 0:
        return False
    vr = head[4:6]
    if vr.isalpha() and vr.isupper():
        return int.from_bytes(head[6:8], "little") <= MAX_FIRST_ELEMENT_BYTES
    return int.from_bytes(head[4:8], "little") <= MAX_FIRST_ELEMENT_BYTES


def _parse(source: BinaryIO, *, header_only: bool = False) -> Dataset:
    import pydicom  # noqa: PLC0415  (0.3 s to import)
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian  # noqa: PLC0415

    tags: list[Any] | None = [*PATIENT_TAGS, *REFERENCE_TAGS, *IMAGE_TAGS, *DISPLAY_TAGS] if header_only else None
    with quiet_dicom():
        dataset = pydicom.dcmread(source, stop_before_pixels=header_only, specific_tags=tags, force=True)
        dataset.buffer = None  # pydicom keeps the source, which may be the whole file
        if not dataset.file_meta.get("TransferSyntaxUID"):
            is_implicit, is_little_endian = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
        return dataset


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"`{path.name}` must be a complete DICOM file, but is damaged ({type(error).__name__}). Copy it again."
    )
