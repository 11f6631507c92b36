# SPDX-License-Identifier: Apache-2.0
"""Solids as distance fields: negative inside, about millimetres to the surface outside and inside.

Points are three arrays of one shape, millimetres to the patient's right, anterior and superior (RAS+).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = [
    "Box",
    "Capsule",
    "Common",
    "Cylinder",
    "Ellipsoid",
    "HalfSpace",
    "Point",
    "Points",
    "Shape",
    "Slabs",
    "Trunk",
    "Union",
    "Without",
    "rotation",
]

Point = tuple[float, float, float]
Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Box = tuple[np.ndarray, np.ndarray]
"""Lowest and highest corner, millimetres; infinite where a solid has no end."""

EVERYWHERE: Box = (np.full(3, -np.inf), np.full(3, np.inf))


class Shape(Protocol):
    """A solid."""

    def distance(self, points: Points) -> np.ndarray:
        """Signed distance to the surface in mm, exact in sign alone."""
        ...

    def box(self) -> Box:
        """Corners of a box that the solid lies in."""
        ...


def rotation(degrees: Sequence[float]) -> np.ndarray:
    """Matrix ``(3, 3)`` that turns about the axes to the right, to anterior and to superior, in this order."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid; ``degrees`` turn it about its center."""

    center: Point
    radii: Point
    degrees: Point = (0.0, 0.0, 0.0)

    def distance(self, points: Points) -> np.ndarray:
        """Quotient of the implicit function and its gradient: right to first order at the surface."""
        axes = rotation(self.degrees).T
        offsets = [axis - center for axis, center in zip(points, self.center, strict=True)]
        scaled, steep = np.zeros_like(points[0]), np.zeros_like(points[0])
        for row, radius in zip(axes, self.radii, strict=True):
            along = sum(np.float32(weight) * offset for weight, offset in zip(row, offsets, strict=True))
            scaled += np.square(along / radius)
            steep += np.square(along / radius**2)
        level = np.sqrt(scaled)
        inside: np.ndarray = level * (level - 1) / np.sqrt(np.maximum(steep, 1e-12))
        return inside

    def box(self) -> Box:
        reach = np.sqrt(np.square(rotation(self.degrees) * np.array(self.radii)).sum(axis=1))
        return np.array(self.center) - reach, np.array(self.center) + reach


@dataclass(frozen=True)
class Capsule:
    """A round rod that may taper, such as a piece of a vessel."""

    start: Point
    end: Point
    radius: float
    end_radius: float | None = None

    def distance(self, points: Points) -> np.ndarray:
        direction = np.subtract(self.end, self.start)
        offsets = [axis - center for axis, center in zip(points, self.start, strict=True)]
        along = sum(np.float32(weight) * offset for weight, offset in zip(direction, offsets, strict=True))
        share = np.clip(along / max(float(direction @ direction), 1e-6), 0, 1)
        square = sum(np.square(o - np.float32(d) * share) for o, d in zip(offsets, direction, strict=True))
        end_radius = self.radius if self.end_radius is None else self.end_radius
        outside: np.ndarray = np.sqrt(square) - (self.radius + (end_radius - self.radius) * share)
        return outside

    def box(self) -> Box:
        reach = max(self.radius, self.end_radius or 0.0)
        ends = np.array([self.start, self.end])
        return ends.min(axis=0) - reach, ends.max(axis=0) + reach


@dataclass(frozen=True)
class Cylinder:
    """An endless elliptic cylinder along the body's axis."""

    center: tuple[float, float]
    radii: tuple[float, float]

    def distance(self, points: Points) -> np.ndarray:
        offsets = [axis - center for axis, center in zip(points[:2], self.center, strict=True)]
        level = np.sqrt(sum(np.square(o / r) for o, r in zip(offsets, self.radii, strict=True)))
        inside: np.ndarray = (level - 1) * np.float32(min(self.radii))
        return inside

    def box(self) -> Box:
        low = (*(c - r for c, r in zip(self.center, self.radii, strict=True)), -np.inf)
        high = (*(c + r for c, r in zip(self.center, self.radii, strict=True)), np.inf)
        return np.array(low), np.array(high)


@dataclass(frozen=True)
class Trunk:
    """The body's cross-section, a superellipse that is flatter at the back and widens a little upwards."""

    half_width: float
    half_depth: float
    inset: float = 0.0
    exponent: float = 2.4
    flare: float = 0.0004

    def distance(self, points: Points) -> np.ndarray:
        right, anterior, superior = points
        widening = 1 + self.flare * np.clip(superior, -200, 200)
        width = (self.half_width - self.inset) * widening
        depth = np.where(anterior > 0, self.half_depth, 0.92 * self.half_depth) - self.inset
        power = np.abs(right / width) ** self.exponent + np.abs(anterior / depth) ** self.exponent
        inside: np.ndarray = (power ** (1 / self.exponent) - 1) * depth
        return inside

    def box(self) -> Box:
        return EVERYWHERE


@dataclass(frozen=True)
class Slabs:
    """Endlessly repeated slabs across the body's axis, such as vertebrae or, sloping, ribs.

    Args:
        period: Distance of slabs along the axis, mm.
        thickness: Of each, mm.
        offset: Height of one slab's middle at the origin, mm.
        slope: Rise per mm to anterior; ribs fall.
    """

    period: float
    thickness: float
    offset: float = 0.0
    slope: float = 0.0

    def distance(self, points: Points) -> np.ndarray:
        _, anterior, superior = points
        height = superior - self.slope * anterior - self.offset
        inside: np.ndarray = np.abs((height + self.period / 2) % self.period - self.period / 2) - self.thickness / 2
        return inside

    def box(self) -> Box:
        return EVERYWHERE


@dataclass(frozen=True)
class HalfSpace:
    """All points beyond a plane: ``normal`` points out of the solid."""

    normal: Point
    offset: float

    def distance(self, points: Points) -> np.ndarray:
        along: np.ndarray = sum(  # type: ignore[assignment]
            np.float32(weight) * axis for weight, axis in zip(self.normal, points, strict=True)
        )
        return along - np.float32(self.offset)

    def box(self) -> Box:
        return EVERYWHERE


@dataclass(frozen=True)
class Common:
    """What all solids share."""

    parts: tuple[Shape, ...]

    def distance(self, points: Points) -> np.ndarray:
        return np.maximum.reduce([part.distance(points) for part in self.parts])

    def box(self) -> Box:
        boxes = [part.box() for part in self.parts]
        return np.max([low for low, _ in boxes], axis=0), np.min([high for _, high in boxes], axis=0)


@dataclass(frozen=True)
class Union:
    """Solids that flow into each other over ``blend`` mm."""

    parts: tuple[Shape, ...]
    blend: float = 12.0

    def distance(self, points: Points) -> np.ndarray:
        total, *rest = [part.distance(points) for part in self.parts]
        for other in rest:  # polynomial smooth minimum
            share = np.maximum(self.blend - np.abs(total - other), 0) / self.blend
            total = np.minimum(total, other) - share * share * (self.blend / 4)
        return total

    def box(self) -> Box:
        boxes = [part.box() for part in self.parts]
        low, high = np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)
        return low - self.blend / 4, high + self.blend / 4


@dataclass(frozen=True)
class Without:
    """A solid with others cut out of it."""

    whole: Shape
    cuts: tuple[Shape, ...]

    def distance(self, points: Points) -> np.ndarray:
        return np.maximum.reduce([self.whole.distance(points), *(-cut.distance(points) for cut in self.cuts)])

    def box(self) -> Box:
        return self.whole.box()
