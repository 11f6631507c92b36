# SPDX-License-Identifier: Apache-2.0
"""Values of DICOM elements, whatever a header holds: one that cannot be used counts as unknown, and is noted by tag.

No value is ever quoted, as a patient's name may stand in any tag: library remarks that do so are silenced.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["MALFORMED", "ElementValues", "quiet_dicom"]

LOUD = ("pydicom", "highdicom", "highdicom.base", "highdicom.valuerep", "pylibjpeg", "openjpeg", "libjpeg", "gdcm")
"""Loggers of the libraries that read and write DICOM."""

MALFORMED = (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)
"""What pydicom and highdicom raise at values that they cannot convert; the text quotes them."""


@contextlib.contextmanager
def quiet_dicom() -> Iterator[None]:
    """Keep what the DICOM libraries warn and log to themselves: it quotes values, the patient's among them."""
    loggers = [logging.getLogger(name) for name in LOUD]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, was_disabled in zip(loggers, before, strict=True):
                logger.disabled = was_disabled


class ElementValues:
    """Read elements of a header, or of the first of several datasets that has one.

    Attributes:
        malformed: Keywords of elements that were there but held nothing usable, in the order of reading.
    """

    def __init__(self, *datasets: Dataset) -> None:
        self.datasets = datasets
        self.malformed: dict[str, None] = {}

    def raw(self, keyword: str) -> Any:
        """Return a value as pydicom converts it; None if it is absent, empty or cannot be converted."""
        for dataset in self.datasets:
            try:
                with quiet_dicom():
                    value = dataset.get(keyword)
            except Exception:  # pydicom raises what it likes, and quotes the value
                self.malformed[keyword] = None
                continue
            if value is not None and not (isinstance(value, (str, bytes)) and not value.strip()):
                return value
        return None

    def has(self, keyword: str) -> bool:
        """Whether the element is there, also without a value."""
        return any(keyword in dataset for dataset in self.datasets)

    def text(self, keyword: str) -> str:
        """Return a value as text, several ones with backslashes between; empty if there is none."""
        value = self.raw(keyword)
        if value is None:
            return ""
        return "\\".join(map(str, value)) if _is_several(value) else str(value)

    def words(self, keyword: str) -> tuple[str, ...]:
        """Return the values as upper-case words."""
        return tuple(word.strip().upper() for word in self.text(keyword).split("\\") if word.strip())

    def numbers(self, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
        """Return finite numbers, also those stored as text; None unless there are ``count`` of them, or at least one.

        A value that is there and cannot be used, such as one with a decimal comma, is noted as malformed.
        """
        value = self.raw(keyword)
        if value is None:
            return None
        if isinstance(value, str):
            value = value.split("\\")
        try:
            numbers = tuple(float(entry) for entry in (value if _is_several(value) else [value]))
        except (TypeError, ValueError, OverflowError):
            numbers = ()
        if not numbers or (count is not None and len(numbers) != count) or not all(map(math.isfinite, numbers)):
            self.malformed[keyword] = None
            return None
        return numbers

    def number(self, keyword: str) -> float | None:
        """Return the first finite number."""
        numbers = self.numbers(keyword)
        return None if numbers is None else numbers[0]

    def integer(self, keyword: str) -> int | None:
        """Return the first number, whole ones alone."""
        number = self.number(keyword)
        if number is not None and number != int(number):
            self.malformed[keyword] = None
            return None
        return None if number is None else int(number)

    def sequence(self, keyword: str) -> Sequence[Any]:
        """Return the items of a sequence; none if it is absent or no sequence."""
        value = self.raw(keyword)
        return value if value is not None and _is_several(value) else ()


def _is_several(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
