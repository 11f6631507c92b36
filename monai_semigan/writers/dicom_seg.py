# SPDX-License-Identifier: Apache-2.0
"""Write label maps as DICOM SEG (PS3.3 A.51) that lies on its source image frame by frame.

A frame of the result takes its plane from the source frame that the slice was read from, so nothing is flipped,
resampled or rounded, whatever the series' orientation; slices that are no frames (filled in) are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from monai_semigan.errors import ConfigError, OutputError, check_shape
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import (
    SERIES_DESCRIPTION,
    AlgorithmInfo,
    coded,
    complete,
    derived_uid,
    instance_number,
    making,
    private_scheme,
    save,
    series_number,
)
from monai_semigan.writers.dicom_source import place_frames, place_image, refer_without_plane
from monai_semigan.writers.terminology import Code, SegmentInfo, Terminology

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

__all__ = ["EmptyRule", "SegKind", "SegRecipe", "tracking_uid", "write_dicom_seg", "write_dicom_seg_2d"]

logger = logging.getLogger(__name__)

SegKind = Literal["BINARY", "LABELMAP"]
"""BINARY: one bit per pixel and segment, read everywhere; LABELMAP: class ids, for many classes and new viewers."""

EmptyRule = Literal["skip", "write"]
"""What becomes of a label without any class: no file, or one whose frames are all empty."""

SERIES_OFFSET = 1000
"""Added to the source's SeriesNumber."""


def write_dicom_seg(
    path: PathLike,
    label: np.ndarray,
    volume: SourceVolume,
    *,
    segments: Sequence[SegmentInfo],
    algorithm: AlgorithmInfo,
    kind: SegKind = "BINARY",
    terminology: Terminology = "dicom",
    empty: EmptyRule = "skip",
) -> Path | None:
    """Write the label map of a DICOM series as DICOM SEG.

    Args:
        path: The file to write; an existing one is replaced.
        label: Class ids on the volume's grid, ``(I, J, K)`` uint8; 0 is background.
        volume: What was segmented; its origin has the source's headers.
        segments: Classes 1, 2, ... in order.
        algorithm: What made the label.
        kind: How it is stored.
        terminology: Which codes are used.
        empty: Whether a label without any class is written.

    Returns:
        The file; None for an empty label that was skipped.

    Raises:
        OutputError: The volume is not from DICOM, its slices are not the series' frames, the label has classes without
            a segment, or the file cannot be written.
        InputError: A header lacks what names an image.
        ConfigError: An option is unknown.
        ShapeError: The label does not have the volume's shape.
    """
    path = Path(path)
    _check(label, segments, kind, empty)
    sizes = check_shape("label", label.shape, "I J K")
    if tuple(sizes.values()) != volume.grid.shape:
        raise OutputError(f"`label` must have the volume's shape {volume.grid.shape}, got {label.shape}.")
    if not isinstance(volume.origin, DicomOrigin):
        raise OutputError("A DICOM SEG needs a DICOM series that it refers to, but the input is none. Write NIfTI.")
    if empty == "skip" and not label.any():
        return None
    source = place_frames(volume.origin, volume.grid)
    frames = source.frames(label)
    if empty == "skip" and not frames.any():
        logger.info("the label lies in slices alone that were filled in: no DICOM SEG was written")
        return None
    recipe = SegRecipe(segments=segments, algorithm=algorithm, kind=kind, terminology=terminology)
    with making(path.name):
        result = recipe.make(frames, source.headers, source.full)
    return save(result, path)


def write_dicom_seg_2d(
    path: PathLike,
    label: np.ndarray,
    source: PathLike | Dataset,
    *,
    segments: Sequence[SegmentInfo],
    algorithm: AlgorithmInfo,
    kind: SegKind = "BINARY",
    terminology: Terminology = "dicom",
    empty: EmptyRule = "skip",
) -> Path | None:
    """Write the label map of a single DICOM image (CR, DX, photograph, dermoscopy, ...) as DICOM SEG.

    An image without a place in the patient gives a SEG without a frame of reference: its pixels are those of the image
    that it refers to (the Frame of Reference module is not needed then, PS3.3 A.51.3).

    Args:
        path: The file to write; an existing one is replaced.
        label: Class ids, ``(H, W)`` uint8; 0 is background.
        source: The image's header as it was read, or its file.
        segments: As for `write_dicom_seg`, with the options that follow.
        algorithm: What made the label.
        kind: How it is stored.
        terminology: Which codes are used.
        empty: Whether a label without any class is written.

    Returns:
        The file; None for an empty label that was skipped.

    Raises:
        OutputError: The source has several frames or another size, the label has classes without a segment, or the
            file cannot be written.
        InputError: The source is damaged or gone.
        ConfigError: An option is unknown.
        ShapeError: The label is not two-dimensional.
    """
    path = Path(path)
    _check(label, segments, kind, empty)
    check_shape("label", label.shape, "H W")
    if empty == "skip" and not label.any():
        return None
    place = place_image(source)
    full, values = place.full, ElementValues(place.full)
    shape = values.integer("Rows"), values.integer("Columns")
    if label.shape != shape:
        raise OutputError(f"`label` must have the image's shape {shape}, got {label.shape}.")
    recipe = SegRecipe(segments=segments, algorithm=algorithm, kind=kind, terminology=terminology)
    with making(path.name):
        result = recipe.make(label, place.headers, full)
        refer_without_plane(result, full)
    return save(result, path)


def tracking_uid(instance_uids: Sequence[str], segment: SegmentInfo, algorithm: AlgorithmInfo) -> str:
    """Return the UID that names one segment in all results on the same images: SEG and measurements (PS3.3 10.27)."""
    return derived_uid("tracking", list(instance_uids), segment.name, algorithm.digest, algorithm.settings)


def _check(label: np.ndarray, segments: Sequence[SegmentInfo], kind: str, empty: str) -> None:
    if kind not in ("BINARY", "LABELMAP"):
        raise ConfigError(f"`kind` must be BINARY or LABELMAP, got {kind!r}.")
    if empty not in ("skip", "write"):
        raise ConfigError(f"`empty` must be skip or write, got {empty!r}.")
    if not 1 <= len(segments) <= 255:
        raise ConfigError(f"`segments` must describe 1 to 255 classes, got {len(segments)}.")
    if label.dtype != np.uint8:
        raise OutputError(f"`label` must be uint8 class ids, got {label.dtype}.")
    if label.size and int(label.max()) > len(segments):
        raise OutputError(f"`label` must have classes 0 to {len(segments)}, one per segment, got {int(label.max())}.")


@dataclass(frozen=True, kw_only=True)
class SegRecipe:
    """The options that a result depends on beside its source.

    Attributes:
        segments: Classes 1, 2, ... in order.
        algorithm: What made the label.
        kind: How it is stored; FRACTIONAL: the probability of a single class, 0 to 1, in steps of 1/255.
        terminology: Which codes are used.
        offset: Added to the source's SeriesNumber.
    """

    segments: Sequence[SegmentInfo]
    algorithm: AlgorithmInfo
    kind: Literal["BINARY", "LABELMAP", "FRACTIONAL"]
    terminology: Terminology = "dicom"
    offset: int = SERIES_OFFSET

    def seed(self, source_uids: Sequence[str]) -> list[Any]:
        """What identifiers are derived from."""
        described = [[at.name, at.color, at.category, at.type, at.modifier, at.region] for at in self.segments]
        algorithm = self.algorithm
        return ["SEG", list(source_uids), algorithm.digest, algorithm.settings, self.kind, self.terminology, described]

    def make(self, frames: np.ndarray, headers: Sequence[Dataset], full: Dataset) -> Dataset:
        """Build the object, patient and study included.

        Args:
            frames: Class ids uint8 or probabilities float32, ``(N, rows, columns)``.
            headers: Lean, of the same frames.
            full: The first one's whole header.
        """
        import highdicom as hd  # noqa: PLC0415  (0.6 s to import)

        uids = sorted(str(header.SOPInstanceUID) for header in headers)
        is_private = any(item.has_private_code for item in self.segments)
        result = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=frames,
            segmentation_type=self.kind,
            segment_descriptions=[self._description(at, item, uids) for at, item in enumerate(self.segments, start=1)],
            series_instance_uid=derived_uid("series", *self.seed([str(headers[0].SeriesInstanceUID)])),
            series_number=series_number(full, self.offset),
            sop_instance_uid=derived_uid(*self.seed(uids)),
            instance_number=instance_number(full) if len(headers) == 1 else 1,
            series_description=SERIES_DESCRIPTION,
            content_description=SERIES_DESCRIPTION,
            content_label="SEGMENTATION",
            omit_empty_frames=bool(frames.any()),
            coding_schemes=[private_scheme()] if is_private else None,
            **self.algorithm.equipment,
        )
        complete(result, full, self.algorithm, seed=self.seed(uids))
        return result

    def _description(self, number: int, item: SegmentInfo, uids: Sequence[str]) -> SegmentDescription:
        import highdicom as hd  # noqa: PLC0415  (see make)
        from pydicom.sr.codedict import codes  # noqa: PLC0415  (see make)

        def concept(code: Code) -> hd.sr.CodedConcept:
            return coded(code, self.terminology)

        description = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=item.name,
            segmented_property_category=concept(item.category),
            segmented_property_type=concept(item.type),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=hd.AlgorithmIdentificationSequence(
                name=self.algorithm.name,
                family=codes.DCM.ArtificialIntelligence,
                version=self.algorithm.version,
                source="monai_semigan",
                parameters={"bundle_sha256": self.algorithm.digest},
            ),
            tracking_uid=tracking_uid(uids, item, self.algorithm),
            tracking_id=item.name,
            anatomic_regions=[concept(item.region)] if item.region else None,
            display_color=hd.color.CIELabColor.from_rgb(*item.color),
        )
        if item.modifier:
            modified = description.SegmentedPropertyTypeCodeSequence[0]
            modified.SegmentedPropertyTypeModifierCodeSequence = [concept(item.modifier)]
        return description
