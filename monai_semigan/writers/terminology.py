# SPDX-License-Identifier: Apache-2.0
"""What the classes of a label map are called in DICOM: coded concepts, their two terminologies, and colors.

A bundle may state the codes of its classes in the ``semigan`` block of its metadata, one entry per class after the
background; null leaves a class to `known_segment`. A code is ``[value, scheme, meaning]``:

.. code-block:: json

    {"codes": [{"category": ["91723000", "SCT", "Anatomical Structure"], "type": ["10200004", "SCT", "Liver"],
                "modifier": null, "region": null}]}
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from monai_semigan.errors import ConfigError
from monai_semigan.settings import check_settings

__all__ = [
    "PRIVATE_SCHEME",
    "ClassCodes",
    "Code",
    "SegmentInfo",
    "Terminology",
    "in_terminology",
    "known_segment",
    "segments_of_classes",
]

Terminology = Literal["dicom", "slicer"]
"""Which code stands for "Anatomical Structure": that of the standard's context group, or that of 3D Slicer."""

PRIVATE_SCHEME = "99SEMIGAN"
"""Coding scheme of classes that no entry of `KNOWN` names; "99" marks private schemes (PS3.16 8.2)."""

MAX_VALUE, MAX_MEANING = 16, 64
"""Characters of a code value (SH) and of a meaning or segment label (LO), PS3.5 6.2."""


class Code(NamedTuple):
    """A coded concept (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


ANATOMY = Code("91723000", "SCT", "Anatomical Structure")  # CID 7150
SLICER_ANATOMY = Code("123037004", "SCT", "Anatomical Structure")  # the same in 3D Slicer's and dcmqi's terminology
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150

RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
BOTH = Code("51440002", "SCT", "Right and left")
LUNG = Code("39607008", "SCT", "Lung")
LIVER = Code("10200004", "SCT", "Liver")
SPLEEN = Code("78961009", "SCT", "Spleen")
KIDNEY = Code("64033007", "SCT", "Kidney")
HEART = Code("80891009", "SCT", "Heart")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
SKIN = Code("39937001", "SCT", "Skin")
SKIN_LESION = Code("95324001", "SCT", "Skin lesion")


@dataclass(frozen=True, kw_only=True)
class SegmentInfo:
    """A class of a label map as DICOM describes it (Segment Description, PS3.3 C.8.20.4).

    Attributes:
        name: Segment label, printable ASCII of at most 64 characters.
        color: RGB, 0 to 255.
        category: What kind of thing it is (CID 7150).
        type: What it is (CID 7151).
        modifier: Which of several, for example the side (CID 244).
        region: Where it lies, for findings (CID 4).
    """

    name: str
    color: tuple[int, int, int]
    category: Code
    type: Code
    modifier: Code | None = None
    region: Code | None = None

    def __post_init__(self) -> None:
        _check_text("name", self.name, MAX_MEANING)
        if len(self.color) != 3 or not all(0 <= part <= 255 for part in self.color):
            raise ConfigError(f"`color` of the class `{self.name}` must be three values 0 to 255, got {self.color}.")
        for key in ("category", "type", "modifier", "region"):
            if (code := getattr(self, key)) is not None:
                _check_code(f"`{key}` of the class `{self.name}`", code)

    @property
    def has_private_code(self) -> bool:
        """Whether a receiver needs to be told about `PRIVATE_SCHEME`."""
        return PRIVATE_SCHEME in {
            code.scheme for code in (self.category, self.type, self.modifier, self.region) if code
        }


@dataclass(frozen=True, kw_only=True)
class ClassCodes:
    """Codes of a class as a bundle states them, each ``[value, scheme, meaning]``.

    Attributes:
        category: See `SegmentInfo`, as of the others.
        type: What it is.
        modifier: Which of several.
        region: Where it lies.
    """

    category: tuple[str, str, str]
    type: tuple[str, str, str]
    modifier: tuple[str, str, str] | None = None
    region: tuple[str, str, str] | None = None

    def __post_init__(self) -> None:
        check_settings(self)


KNOWN: dict[str, dict[str, Code]] = {
    "lung": {"category": ANATOMY, "type": LUNG, "modifier": BOTH},
    "right lung": {"category": ANATOMY, "type": LUNG, "modifier": RIGHT},
    "left lung": {"category": ANATOMY, "type": LUNG, "modifier": LEFT},
    "heart": {"category": ANATOMY, "type": HEART},
    "liver": {"category": ANATOMY, "type": LIVER},
    "liver tumor": {"category": ABNORMAL, "type": NEOPLASM, "region": LIVER},
    "spleen": {"category": ANATOMY, "type": SPLEEN},
    "right kidney": {"category": ANATOMY, "type": KIDNEY, "modifier": RIGHT},
    "left kidney": {"category": ANATOMY, "type": KIDNEY, "modifier": LEFT},
    "skin lesion": {"category": ABNORMAL, "type": SKIN_LESION, "region": SKIN},
}
"""Codes by class name; SNOMED CT as in pydicom's dictionary of the context groups of PS3.16."""

SYNONYMS = {
    "lungs": "lung",
    "liver tumour": "liver tumor",
    "kidney right": "right kidney",
    "kidney left": "left kidney",
}


def known_segment(name: str, color: Sequence[int]) -> SegmentInfo:
    """Look a class up by its name; one that is not known gets a code of `PRIVATE_SCHEME`, made from its name.

    Letters outside ASCII lose their marks or are left out of the label.

    Raises:
        ConfigError: The name or the color cannot be written.
    """
    red, green, blue = color
    plain = " ".join(re.sub(r"[_\-]+", " ", name.casefold()).split())
    label = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode() or "class"
    codes = KNOWN.get(SYNONYMS.get(plain, plain))
    if codes is None:
        _check_text("name", label, MAX_MEANING)
        codes = {"category": ANATOMY, "type": Code(_private_value(plain), PRIVATE_SCHEME, label)}
    return SegmentInfo(name=label, color=(red, green, blue), **codes)


def segments_of_classes(
    class_names: Sequence[str], colors: Sequence[Sequence[int]], codes: Sequence[ClassCodes | None] | None = None
) -> tuple[SegmentInfo, ...]:
    """Describe the classes of a bundle, background left out.

    Args:
        class_names: Background first.
        colors: RGB of each class, 0 to 255.
        codes: The bundle's ``codes``; None if it has none.

    Raises:
        ConfigError: There is another number of codes, or one cannot be written to DICOM.
    """
    names = class_names[1:]
    if codes is None:
        codes = [None] * len(names)
    if len(codes) != len(names):
        raise ConfigError(f"`codes` must have one entry for each of {', '.join(names)}, got {len(codes)}.")
    return tuple(
        known_segment(name, color) if entry is None else _stated(name, color, entry)
        for name, color, entry in zip(names, colors[1:], codes, strict=True)
    )


def in_terminology(code: Code, terminology: Terminology) -> Code:
    """Exchange the code for "Anatomical Structure" by the one that the terminology has for it.

    Raises:
        ConfigError: The terminology is unknown.
    """
    if terminology not in ("dicom", "slicer"):
        raise ConfigError(f"`terminology` must be dicom or slicer, got {terminology!r}.")
    anatomy = ANATOMY if terminology == "dicom" else SLICER_ANATOMY
    is_anatomy = code[:2] in (ANATOMY[:2], SLICER_ANATOMY[:2])
    return anatomy if is_anatomy else code


def _stated(name: str, color: Sequence[int], stated: ClassCodes) -> SegmentInfo:
    given = {item.name: getattr(stated, item.name) for item in fields(stated)}
    codes: dict[str, Any] = {key: code and Code(*code) for key, code in given.items()}
    return replace(known_segment(name, color), **codes)


def _check_code(name: str, code: Code) -> None:
    for part, limit in zip(code, (MAX_VALUE, MAX_VALUE, MAX_MEANING), strict=True):
        _check_text(f"code {code[:2]} as {name}", part, limit)


def _check_text(name: str, text: str, limit: int) -> None:
    # ASCII, as the source's character set is kept for the patient's name; a backslash would separate values.
    if not text.strip() or len(text) > limit or not (text.isascii() and text.isprintable()) or "\\" in text:
        name = name.strip("`")
        raise ConfigError(f"`{name}` must be 1 to {limit} printable ASCII characters, no backslash, got {text!r:.80}.")


def _private_value(plain: str) -> str:
    value = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if 0 < len(value) <= MAX_VALUE:
        return value
    return f"{value[:9].strip('-')}-{hashlib.sha256(plain.encode()).hexdigest()[:6]}".strip("-")
