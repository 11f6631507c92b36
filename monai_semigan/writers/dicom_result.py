# SPDX-License-Identifier: Apache-2.0
"""What all DICOM objects that this package writes share: who made them, their identifiers, whose patient they are.

An identifier follows from what went in, so that a repeated run replaces its earlier result in an archive instead of
adding another. The patient's data reach the object from the source's header alone: no library that might log or raise
them gets to see them, and they appear in no file name.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_semigan import __version__
from monai_semigan.atomic import replacing
from monai_semigan.errors import ConfigError, OutputError, SemiGanError
from monai_semigan.io.dicom.file import PATIENT_TAGS
from monai_semigan.io.dicom.values import MALFORMED, ElementValues, quiet_dicom
from monai_semigan.writers.terminology import PRIVATE_SCHEME, Code, Terminology, in_terminology

if TYPE_CHECKING:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import CodedConcept
    from pydicom import Dataset

__all__ = [
    "SERIES_DESCRIPTION",
    "AlgorithmInfo",
    "coded",
    "complete",
    "derived_uid",
    "instance_number",
    "making",
    "private_scheme",
    "save",
    "series_number",
]

SERIES_DESCRIPTION = "AI result - research only"

MANUFACTURER = "monai_semigan developers"
MODEL_NAME = "monai_semigan"

LARGEST_SERIES_NUMBER = 2**31 - 1
"""Largest integer string (IS), PS3.5 6.2."""

TYPE_2 = PATIENT_TAGS[:9]
"""Must be there and may be empty (Patient and General Study modules, PS3.3 C.7.1.1 and C.7.2.1)."""


@dataclass(frozen=True, kw_only=True)
class AlgorithmInfo:
    """What made a result.

    Attributes:
        name: Of the bundle, printable ASCII of at most 64 characters.
        version: Of the bundle, the same.
        digest: SHA-256 of the bundle, 64 hexadecimal digits.
        settings: What else the result depends on, JSON types: another value gives other identifiers.
        created: When the result was made; None for now. Only this and nothing else differs between equal runs.
    """

    name: str
    version: str
    digest: str
    settings: dict[str, Any] = field(default_factory=dict)
    created: datetime.datetime | None = None

    def __post_init__(self) -> None:
        for key in ("name", "version", "digest"):
            text = getattr(self, key)
            if not 0 < len(text) <= 64 or not (text.isascii() and text.isprintable()) or "\\" in text:
                raise ConfigError(f"`{key}` must be 1 to 64 printable ASCII characters, got {text!r:.80}.")

    @property
    def equipment(self) -> dict[str, Any]:
        """Arguments of highdicom's classes (General Equipment, PS3.3 C.7.5.1)."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "device_serial_number": self.digest[:16],
            "software_versions": [f"{MODEL_NAME} {__version__}", self.digest, f"{self.name} {self.version}"[:63]],
        }


def coded(code: Code, terminology: Terminology = "dicom") -> CodedConcept:
    """Turn a code into what highdicom's classes take."""
    from highdicom.sr import CodedConcept  # noqa: PLC0415  (0.6 s to import)

    return CodedConcept(*in_terminology(code, terminology))


def private_scheme() -> CodingSchemeIdentificationItem:
    """Say what `PRIVATE_SCHEME` is."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem  # noqa: PLC0415  (see coded)

    return CodingSchemeIdentificationItem(
        designator=PRIVATE_SCHEME,
        name="Classes and measures of monai_semigan that have no code elsewhere",
        responsible_organization=MANUFACTURER,
    )


def derived_uid(*parts: Any) -> str:
    """Make a UID from what it stands for: equal parts, equal UID (PS3.5 B.2, from the first 16 bytes of a SHA-256).

    Args:
        parts: JSON types.
    """
    content = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    digest = hashlib.sha256(f"semigan {content}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def series_number(source: Dataset, offset: int) -> int:
    """Return the source's SeriesNumber plus an offset; the offset alone where it has no usable one."""
    number = max(0, ElementValues(source).integer("SeriesNumber") or 0)
    return number + offset if number + offset <= LARGEST_SERIES_NUMBER else offset


def instance_number(source: Dataset) -> int:
    """Return the source's InstanceNumber; 1 where it has no usable one."""
    return max(1, ElementValues(source).integer("InstanceNumber") or 1)


@contextlib.contextmanager
def making(name: str) -> Iterator[None]:
    """Turn what highdicom and pydicom raise into one clear error, and keep them quiet.

    Raises:
        OutputError: Something in the source's header does not fit the standard.
    """
    try:
        with quiet_dicom():
            yield
    except SemiGanError:
        raise
    except MALFORMED as error:
        raise OutputError(
            f"`{name}` could not be made: the source's header does not allow it ({type(error).__name__}). "
            "Use the NIfTI or PNG result, or correct the header."
        ) from None  # its text may quote the header


def complete(result: Dataset, source: Dataset, algorithm: AlgorithmInfo, *, seed: Sequence[Any]) -> None:
    """Fill in patient and study from the source's header, and replace what is random or the time of day.

    Args:
        result: As highdicom made it from a header without the patient.
        source: A full header.
        algorithm: Its ``created`` is the time of the content.
        seed: What the result's identifiers are derived from.
    """
    for keyword in PATIENT_TAGS:
        with contextlib.suppress(*MALFORMED):  # a damaged element is left out
            result.add(source[keyword])
    if source.get("SyntheticData") == "YES":  # what is made of a drawn image is no measurement either (PS3.3 C.12.1)
        result.SyntheticData = "YES"
    for keyword in TYPE_2:
        if keyword not in result:
            setattr(result, keyword, None)
    created = algorithm.created or datetime.datetime.now().astimezone()
    date, time = created.strftime("%Y%m%d"), created.strftime("%H%M%S")
    for kind in ("InstanceCreation", "Content", "Series"):
        setattr(result, f"{kind}Date", date)
        setattr(result, f"{kind}Time", time)
    if "DateOfSecondaryCapture" in result:
        result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = date, time
    for item in result.get("ContributingEquipmentSequence") or []:
        item.ContributionDateTime = date + time
    dimensions = derived_uid("dimensions", *seed)
    for name in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in result.get(name) or []:
            item.DimensionOrganizationUID = dimensions


def save(result: Dataset, path: Path) -> Path:
    """Write a DICOM file whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with replacing(path) as temporary, making(path.name):
        result.save_as(temporary, enforce_file_format=True)
    return path
