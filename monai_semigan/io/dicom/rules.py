# SPDX-License-Identifier: Apache-2.0
"""Which DICOM series are segmented: rules, and what they say about each series."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from monai_semigan.errors import ConfigError

__all__ = ["PLANES", "SeriesInfo", "SeriesRules", "why_no_single_image", "why_no_slices"]

PLANES = ("axial", "coronal", "sagittal")

VOLUME_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "legacy converted enhanced MR",
    "1.2.840.10008.5.1.4.1.1.128": "PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "legacy converted enhanced PET",
    "1.2.840.10008.5.1.4.1.1.130": "enhanced PET",
}
"""Storage classes whose instances are slices of a volume (PS3.4 B.5)."""

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Prefix of the secondary capture storage classes."""

SEGMENTATIONS = "1.2.840.10008.5.1.4.1.1.66."
"""Root of the SOP classes of registrations, segmentations and surfaces (PS3.4 B.5)."""

LOCALIZER_TYPES = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVEY"})
"""Words in Image Type (0008,0008) that mark planning images; LOCALIZER is the standard's (PS3.3 C.8.2.1.1.1)."""

DERIVED_TYPES = {
    "MOSAIC": "many slices tiled into one picture",
    "SCREEN SAVE": "a screenshot",
    "SCREENSHOT": "a screenshot",
    "DOSE_INFO": "a dose table",
    "MIP": "a projection",
    "MINIP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "VOLUME RENDERED": "a rendering",
}
"""Words in Image Type of pictures that are no slices."""


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """One series, or one of the stacks that a series holds, without its patient's data.

    Attributes:
        series_uid: SeriesInstanceUID (0020,000E).
        part: Number of the stack in the series from 1, and how many there are.
        modality: Modality (0008,0060).
        description: Series Description (0008,103E): free text, which may name a patient; show it on request only.
        body_part: Body Part Examined (0018,0015); empty if it is not said.
        num_slices: Instances, or frames of a multi-frame instance.
        plane: ``axial``, ``coronal`` or ``sagittal``, the nearest; None if unknown.
        shape: Columns, rows.
        spacing_mm: Between columns, rows and slices; None if unknown or no regular stack.
        is_localizer: Planning images.
        is_taken: The rules take it.
        reason: Why it is taken or left.
        fault: Why it cannot be read as it is; None if it can. Of series that are left, None.
    """

    series_uid: str
    part: tuple[int, int]
    series_number: int | None
    modality: str | None
    description: str
    num_slices: int
    plane: str | None
    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    is_localizer: bool
    body_part: str = ""
    is_taken: bool = True
    reason: str = ""
    fault: str | None = None

    @property
    def short_hash(self) -> str:
        """Eight hexadecimal digits of the series' UID: enough to tell series apart, useless to find a patient."""
        return hashlib.sha256(self.series_uid.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class SeriesRules:
    """Which series are taken. Without any rule: every series of slices but localizers, captures and projections.

    Attributes:
        modalities: Of these; empty for any. Upper case, as in (0008,0060).
        description: Regular expression that must be found in Series Description, whatever the case; None for any.
        body_part: The same of Body Part Examined.
        min_slices: At least as many.
        max_slices: At most as many; None for any.
        plane: ``axial``, ``coronal`` or ``sagittal``; None for any.

    Raises:
        ConfigError: An expression is no valid one, the plane is unknown, or a number is below 1.
    """

    modalities: tuple[str, ...] = ()
    description: str | None = None
    body_part: str | None = None
    min_slices: int = 1
    max_slices: int | None = None
    plane: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", tuple(word.upper() for word in self.modalities))
        if self.plane is not None and self.plane not in PLANES:
            raise ConfigError(f"`plane` must be one of {', '.join(PLANES)}, got {self.plane!r}.")
        if self.min_slices < 1:
            raise ConfigError(f"`min_slices` must be at least 1, got {self.min_slices}.")
        if self.max_slices is not None and self.max_slices < self.min_slices:
            raise ConfigError(f"`max_slices` must be at least {self.min_slices}, got {self.max_slices}.")
        for name, text in (("description", self.description), ("body_part", self.body_part)):
            try:
                re.compile(text or "")
            except re.error as error:  # noqa: PERF203  (two of them)
                raise ConfigError(f"`{name}` must be a regular expression, got {text!r}: {error}.") from None

    def why_left(self, info: SeriesInfo) -> str | None:
        """Return why the rules leave a series of slices, or None if they take it."""
        if info.is_localizer:
            return "a localizer"
        if self.modalities and info.modality not in self.modalities:
            return f"modality {info.modality or 'unknown'}, not {' or '.join(self.modalities)}"
        for name, rule, text in (
            ("description", self.description, info.description),
            ("body part", self.body_part, info.body_part),
        ):
            if rule and not re.search(rule, text, re.IGNORECASE):
                return f"its {name} does not match `{rule}`"
        if self.plane and info.plane != self.plane:
            return f"{info.plane or 'unknown'} slices, not {self.plane}"
        return self._why_left_by_number(info.num_slices)

    def _why_left_by_number(self, num_slices: int) -> str | None:
        if num_slices < self.min_slices:
            return f"{num_slices} slices, fewer than {self.min_slices}"
        if self.max_slices is not None and num_slices > self.max_slices:
            return f"{num_slices} slices, more than {self.max_slices}"
        return None


def why_no_slices(sop_class_uid: str, image_type: tuple[str, ...], samples: int) -> str | None:
    """Return why instances are no slices of a volume, or None if they are."""
    if sop_class_uid.startswith(SECONDARY_CAPTURE):
        return "a secondary capture"
    if not sop_class_uid:
        return "of unknown kind: SOPClassUID is missing"
    if sop_class_uid not in VOLUME_CLASSES:
        return "no CT, MR or PET slices"
    for word, meaning in DERIVED_TYPES.items():
        if word in image_type:
            return meaning
    if image_type[:1] == ("DERIVED",) and "PERFUSION" in image_type:
        return "a computed map"
    return "a color picture" if samples != 1 else None


def why_no_single_image(sop_class_uid: str, image_type: tuple[str, ...], *, has_pixels: bool) -> str | None:
    """Return why an instance is no single image, such as a radiograph or a photograph, or None if it is.

    Args:
        sop_class_uid: Of the instance.
        image_type: Its Image Type (0008,0008), upper case.
        has_pixels: It has rows and columns.
    """
    if not has_pixels:
        return "no image"
    if sop_class_uid.startswith(SEGMENTATIONS):
        return "a segmentation"
    if sop_class_uid.startswith(SECONDARY_CAPTURE):
        return "a secondary capture"
    if sop_class_uid in VOLUME_CLASSES:
        return "a slice of a volume"
    return next((meaning for word, meaning in DERIVED_TYPES.items() if word in image_type), None)
