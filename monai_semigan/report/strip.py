# SPDX-License-Identifier: Apache-2.0
"""Strips of marks, one for every patient or case, each leading to what it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MAX_MARKS", "Mark", "Strip", "Value", "make_strips"]

WIDTH, HEIGHT, EDGE = 1000, 44, 12
"""Of a strip, in units of its drawing; the edge keeps whole marks."""

MAX_MARKS = 600
"""More in a strip are thinned out by rank, the lowest kept: they would not be told apart, and fill the page."""

KEPT_LOWEST = 100

LANES = (0.5, 0.28, 0.72, 0.4, 0.6, 0.16, 0.84)
"""Heights of marks in turn, so that neighbours do not cover each other."""


@dataclass(frozen=True)
class Value:
    """One number with a name.

    Attributes:
        name: What it is of.
        value: Between 0 and 1.
        address: What its mark leads to; None for nothing.
    """

    name: str
    value: float
    address: str | None = None


@dataclass(frozen=True)
class Mark:
    """One mark: its place in the drawing, what it says, and where it leads."""

    x: float
    y: float
    text: str
    address: str | None


@dataclass(frozen=True)
class Strip:
    """One row of marks.

    Attributes:
        name: Of the row.
        note: How many, and their mean.
        marks: Ascending.
        band: Left and right end of the interval, or of the middle half; None without.
        middle: Place of the mean or the median; None without.
    """

    name: str
    note: str
    marks: tuple[Mark, ...]
    band: tuple[float, float] | None = None
    middle: float | None = None


def make_strips(rows: Mapping[str, Sequence[Value]]) -> tuple[list[Strip], list[tuple[float, str]]]:
    """Place the marks of all rows on one common axis.

    Returns:
        The strips, with a band from quartile to quartile, and the axis: place and text of each tick.
    """
    rows = {name: sorted(values, key=lambda item: item.value) for name, values in rows.items() if values}
    lowest = min((values[0].value for values in rows.values()), default=0.0)
    low = min(0.9, np.floor(10 * lowest) / 10)

    def place(value: float) -> float:
        return round(EDGE + (value - low) / (1 - low) * (WIDTH - 2 * EDGE), 1)

    step = 0.1 if low >= 0.5 else 0.2 if low > 0 else 0.25
    ticks = [(place(value), f"{value:.2g}") for value in np.arange(1.0, low - 1e-9, -step)[::-1]]
    strips = []
    for name, values in rows.items():
        numbers = np.array([item.value for item in values])
        quarter, middle, more = (float(value) for value in np.quantile(numbers, (0.25, 0.5, 0.75)))
        marks = tuple(
            Mark(place(item.value), round(HEIGHT * LANES[at % len(LANES)], 1), f"{item.name}: {item.value:.3f}",
                 item.address)
            for at, item in enumerate(_thinned(values))
        )  # fmt: skip
        band = (place(quarter), place(more)) if len(values) > 3 else None
        strips.append(Strip(name, f"{len(values)}, median {middle:.3f}", marks, band, place(middle)))
    return strips, ticks


def _thinned(values: Sequence[Value]) -> list[Value]:
    if len(values) <= MAX_MARKS:
        return list(values)
    rest = np.linspace(KEPT_LOWEST, len(values) - 1, MAX_MARKS - KEPT_LOWEST).round().astype(int)
    return [*values[:KEPT_LOWEST], *(values[at] for at in rest)]
