# SPDX-License-Identifier: Apache-2.0
"""What is known of one segmented case: the content of ``case.json``, and all that a report says of the case.

A record is built once, by whoever segmented the case, and read back from ``case.json`` by `settings.read_settings`:
reports, tables and writers take it as it is. Nothing of a patient is in it unless it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from monai_semigan.settings import Pattern, Range, check_settings

__all__ = [
    "CASE_SCHEMA",
    "BundleRecord",
    "CaseRecord",
    "ClassRecord",
    "OodRecord",
    "ReconstructionRecord",
    "SlicesRecord",
    "SourceRecord",
    "volume_text",
]

CASE_SCHEMA: Final = "semigan-case-2"

Sha256 = Annotated[str, Pattern("[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits")]
Share = Annotated[float, Range(0, 1)]
Amount = Annotated[float, Range(0)]
Byte = Annotated[int, Range(0, 255)]


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """Where a case came from.

    Attributes:
        name: Of the file or folder, never of a patient.
        format: What it was read as.
        sha256: Over the content of all its files.
        series_sha256: Over the DICOM SeriesInstanceUID: names a series without telling it.
        num_files: Files that it was read from.
        location_sha256: Over the path: where it was, without telling it; null for what was never a file.
    """

    name: str
    format: Literal["png", "jpeg", "tiff", "dicom", "nifti", "itk", "array"]
    sha256: Sha256
    series_sha256: Sha256 | None = None
    num_files: Annotated[int, Range(0)] = 1
    location_sha256: Sha256 | None = None


@dataclass(frozen=True, kw_only=True)
class BundleRecord:
    """What made a result.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        digest: SHA-256 over its description and weights.
    """

    name: str
    version: str
    digest: Sha256


@dataclass(frozen=True, kw_only=True)
class ClassRecord:
    """One class of a label, background left out.

    Attributes:
        name: Of the class.
        share: Of the pixels or voxels.
        area_mm2: Of an image whose spacing is known.
        volume_ml: Of a volume.
        expected_dice: How right the label is expected to be; null where the class was not found, the bundle does not
            say what its expectation is worth, or the source is unlike the bundle's images.
        removed: Pixels or voxels that the bundle's rules took from the class.
        filled: Pixels or voxels that they gave to it.
        color: RGB in which the pictures show it, 0 to 255.
        is_cut: It reaches a face of the volume: what is measured may be a part of it. Of an image never.
    """

    name: str
    share: Share
    area_mm2: Amount | None = None
    volume_ml: Amount | None = None
    expected_dice: Share | None = None
    removed: Annotated[int, Range(0)] = 0
    filled: Annotated[int, Range(0)] = 0
    color: tuple[Byte, Byte, Byte] | None = None
    is_cut: bool = False


@dataclass(frozen=True, kw_only=True)
class ReconstructionRecord:
    """How like the source the generator's image is.

    Attributes:
        measure: ``mean_squared``: mean squared error of the network's image, range [-1, 1]; ``local_correlation``: one
            minus the squared local correlation, blind to contrast, where the bundle's inversion compares so.
        encoder: With the encoder's embedding; of a volume the mean over the slices with label.
        refined: With the refined embedding; equal to ``encoder`` without refinement.
        limit: Value of ``encoder`` above which an image is unlike those that the bundle was made for.
    """

    measure: Literal["mean_squared", "local_correlation"]
    encoder: float | None
    refined: float | None
    limit: float


@dataclass(frozen=True, kw_only=True)
class OodRecord:
    """How unlike the images that the bundle knows a case is, see `segmentation.ood`.

    Attributes:
        score: From 0, the most usual, to 1; half is where images of the bundle's own kind end. Of a volume that of its
            median slice with label, or without any label of all slices.
        limit: Score above which a case is out of distribution.
        parts: The same by what was compared, as if all of the image were as unlike.
        slices: Of a volume by axial slice, from inferior to superior; null for an empty one.
    """

    score: Share
    limit: Share
    parts: Mapping[str, Share] = field(default_factory=dict)
    slices: tuple[Share | None, ...] = ()

    @property
    def is_unlike(self) -> bool:
        """Whether the case is out of distribution."""
        return self.score > self.limit


@dataclass(frozen=True, kw_only=True)
class SlicesRecord:
    """How many axial slices of a volume were what.

    Attributes:
        total: All.
        empty: Nothing to see in them.
        refined: Refined by inversion.
        with_label: Some class was found.
    """

    total: Annotated[int, Range(0)]
    empty: Annotated[int, Range(0)]
    refined: Annotated[int, Range(0)]
    with_label: Annotated[int, Range(0)]


@dataclass(frozen=True, kw_only=True)
class CaseRecord:
    """One segmented case.

    Attributes:
        schema: Version of this description.
        kind: ``image`` or ``volume``.
        case: Name of the case, and of its folder.
        source: Where it came from.
        bundle: What made it.
        versions: Of this package, Python, and what computes or decodes.
        request: What was asked for, defaults resolved: a later call that asks the same need not make the case again.
        size: Pixels ``(H, W)`` or voxels ``(I, J, K)`` of the label, as the source has them.
        spacing_mm: Distance of pixels (row, column) or voxels (I, J, K); null if unknown.
        axcodes: Directions that the axes of a volume grow to, such as ``RAS``.
        modality: As DICOM writes it; null for images.
        modality_reason: How it was found.
        window: Values that the picture of a volume shows black and white; HU of CT.
        classes: The classes, background left out.
        reconstruction: How like the source the generator's image is.
        ood: How unlike the images that the bundle knows the source is; null if the bundle does not say.
        steps_taken: Steps of inversion of an image.
        trace: Loss of the inversion by step, of an image.
        slices: Of a volume.
        seconds: Wall time by stage.
        warnings: What a reader should know.
        identity: Whom a DICOM source is of, on request alone.
        files: SHA-256 of each file of the case, by name.
    """

    schema: Literal["semigan-case-2"] = CASE_SCHEMA
    kind: Literal["image", "volume"]
    case: str
    source: SourceRecord
    bundle: BundleRecord
    versions: Mapping[str, str]
    request: Mapping[str, Any]
    size: tuple[Annotated[int, Range(1)], ...]
    spacing_mm: tuple[Annotated[float, Range(0, exclusive="low")], ...] | None = None
    axcodes: tuple[Literal["L", "R", "A", "P", "S", "I"], ...] | None = None
    modality: str | None = None
    modality_reason: str | None = None
    window: tuple[float, float] | None = None
    classes: tuple[ClassRecord, ...]
    reconstruction: ReconstructionRecord
    ood: OodRecord | None = None
    steps_taken: Annotated[int, Range(0)] | None = None
    trace: tuple[float, ...] = ()
    slices: SlicesRecord | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    identity: Mapping[str, str] | None = None
    files: Mapping[str, Sha256] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def lowest_expected_dice(self) -> float | None:
        """Of the classes that were found; None if none was."""
        return min((part.expected_dice for part in self.classes if part.expected_dice is not None), default=None)


def volume_text(volume_ml: float) -> str:
    """Write a volume for readers: two digits, as no label is right to more. Files for programs hold all of them."""
    return f"{float(f'{volume_ml:.2g}'):g}"
