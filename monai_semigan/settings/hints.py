# SPDX-License-Identifier: Apache-2.0
"""What the annotations of a settings dataclass may say, and how they are taken apart."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = [
    "Pattern",
    "Range",
    "choices_of",
    "default_of",
    "fields_of",
    "has_default",
    "is_list",
    "item_hint",
    "without_notes",
]


@dataclasses.dataclass(frozen=True)
class Range:
    """Limits of a number, both ends included unless ``exclusive``; None for none.

    Attributes:
        low: Smallest value.
        high: Largest value.
        exclusive: Which ends do not belong to it.
    """

    low: float | None = None
    high: float | None = None
    exclusive: Literal["none", "low", "high", "both"] = "none"

    def holds(self, value: float) -> bool:
        """Whether a number lies in it; NaN never does."""
        above = self.low is None or (value > self.low if self.exclusive in ("low", "both") else value >= self.low)
        below = self.high is None or (value < self.high if self.exclusive in ("high", "both") else value <= self.high)
        return above and below and not math.isnan(value)

    def __str__(self) -> str:
        low = "" if self.low is None else f"{'above' if self.exclusive in ('low', 'both') else 'from'} {self.low:g}"
        high = "" if self.high is None else f"{'below' if self.exclusive in ('high', 'both') else 'to'} {self.high:g}"
        return " ".join(part for part in (low, high) if part)


@dataclasses.dataclass(frozen=True)
class Pattern:
    """What a string must look like as a whole, and what to call it in an error."""

    regex: str
    meaning: str


def fields_of(kind: Any) -> dict[str, Any]:
    """Return the annotation of each field that a dataclass is built from."""
    return _fields_of(kind)


@lru_cache
def _fields_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a field may be left out."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return what a field is if it is left out; None where it may not be."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def without_notes(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split ``Annotated[X, note, ...]`` into ``X`` and its notes."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return inner, tuple(notes)
    return hint, ()


def choices_of(hint: Any) -> tuple[Any, ...] | None:
    """Return the types of ``X | Y``; None for anything else."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else None


def is_list(hint: Any) -> bool:
    """Whether JSON has a list for it."""
    return get_origin(hint) in (tuple, list, Sequence)


def item_hint(hint: Any) -> Any | None:
    """Return the type of every item of a list; None where each place has its own."""
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0]
