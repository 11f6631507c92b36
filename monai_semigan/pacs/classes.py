# SPDX-License-Identifier: Apache-2.0
"""Which DICOM objects are taken in: images that a bundle can segment, in the transfer syntaxes that we decode.

Results of our own kind (segmentations, reports, captures) are not among them, so that a PACS which forwards everything
never sends them round in a circle.
"""

from __future__ import annotations

from typing import Any

from monai_semigan.io.dicom.rules import VOLUME_CLASSES

__all__ = ["IMAGE_CLASSES", "SYNTAXES", "all_contexts", "contexts"]

IMAGE_CLASSES = {
    **VOLUME_CLASSES,
    "1.2.840.10008.5.1.4.1.1.1": "computed radiography",
    "1.2.840.10008.5.1.4.1.1.1.1": "digital X-ray for presentation",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "digital X-ray for processing",
    "1.2.840.10008.5.1.4.1.1.77.1.1": "endoscopic photograph",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "photograph",
    "1.2.840.10008.5.1.4.1.1.77.1.7": "dermoscopic photograph",
}
"""Storage classes (PS3.4 B.5)."""

SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit, little endian
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",  # JPEG
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",  # JPEG 2000
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",  # RLE
)
"""Transfer syntaxes (PS3.5 A), those that cost nothing to decode first."""

USUAL = tuple(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("7", "11.", "30", "66.", "88.", "104."))
"""Storage classes of captures, presentations, maps, segmentations, reports and documents begin so."""


def contexts() -> list[Any]:
    """Return presentation contexts for all of them."""
    from pynetdicom import build_context  # noqa: PLC0415  (the extra)

    return [build_context(name, list(SYNTAXES)) for name in IMAGE_CLASSES]


def all_contexts() -> list[Any]:
    """Return contexts for images first, then for other objects of a study, the usual ones before the rest."""
    from pynetdicom import AllStoragePresentationContexts  # noqa: PLC0415  (the extra)

    images = contexts()
    known = {context.abstract_syntax for context in images}
    others = [context for context in AllStoragePresentationContexts if context.abstract_syntax not in known]
    usual = [context for context in others if str(context.abstract_syntax).startswith(USUAL)]
    return [*images, *usual, *(context for context in others if context not in usual)]
