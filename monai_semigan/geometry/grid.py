# SPDX-License-Identifier: Apache-2.0
"""A regular grid of voxels in the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import GeometryError

__all__ = ["VoxelGrid"]

MIN_SPACING_MM = 1e-4
"""Smaller distances between voxels are damaged headers, not anatomy."""

MAX_SPACING_MM = 1000.0
"""Larger ones too."""

MAX_VOXELS = 4_000_000_000
"""A 512 x 512 volume of 15,000 slices; beyond it an affine or a shape was misread."""

MAX_SHEAR_COSINE = 0.05
"""Axes are taken as perpendicular up to this cosine (2.9 degrees): NIfTI affines are float32 and often composed."""

SAME_PLACE_MM = 1e-3
"""Two grids whose corners lie nearer than this are the same."""


@dataclass(frozen=True)
class VoxelGrid:
    """Shape of a volume and the map from its indices to the patient.

    Attributes:
        shape: ``(I, J, K)``, voxels.
        affine: ``(4, 4)`` float64 from the index of a voxel's centre to RAS+ millimetres (x grows to the
            patient's right, y to anterior, z to superior: NIfTI's convention).

    Raises:
        GeometryError: The shape is empty or too large, or the affine is singular, not finite or of no physical size.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)  # a copy: the caller's array may change
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"`shape` must be three sizes >= 1, got {tuple(self.shape)}.")
        if int(np.prod(self.shape, dtype=object)) > MAX_VOXELS:
            raise GeometryError(f"`shape` must hold at most {MAX_VOXELS:,} voxels, got {tuple(self.shape)}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.allclose(affine[3], (0, 0, 0, 1)):
            raise GeometryError(f"`affine` must be a finite 4 x 4 matrix with last row 0 0 0 1, got {affine.tolist()}.")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if not (np.all(spacing >= MIN_SPACING_MM) and np.all(spacing <= MAX_SPACING_MM)):
            raise GeometryError(
                f"Voxels must be {MIN_SPACING_MM} to {MAX_SPACING_MM:.0f} mm apart, got {_listed(spacing)} mm. "
                "Correct the header."
            )
        if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
            raise GeometryError("`affine` must be invertible, but its axes lie in one plane. Correct the header.")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "affine", affine)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VoxelGrid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    __hash__ = None  # type: ignore[assignment]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each array axis."""
        along = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(along[0]), float(along[1]), float(along[2])

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors of the array axes in RAS+, one per column, ``(3, 3)``."""
        directions: np.ndarray = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return directions

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of the voxel (0, 0, 0) in RAS+."""
        return float(self.affine[0, 3]), float(self.affine[1, 3]), float(self.affine[2, 3])

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres; right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def is_orthogonal(self) -> bool:
        """Whether the axes are perpendicular; a gantry tilt that was not resampled makes them oblique to each other."""
        cosines = self.directions.T @ self.directions - np.eye(3)
        return bool(np.abs(cosines).max() <= MAX_SHEAR_COSINE)

    def to_mm(self, indices: np.ndarray) -> np.ndarray:
        """Bring indices ``(N, 3)`` to RAS+ millimetres ``(N, 3)``."""
        placed: np.ndarray = np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return placed

    def to_indices(self, points_mm: np.ndarray) -> np.ndarray:
        """Bring RAS+ millimetres ``(N, 3)`` to fractional indices ``(N, 3)``."""
        inverse = np.linalg.inv(self.affine)
        indices: np.ndarray = np.asarray(points_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        return indices

    def corners_mm(self) -> np.ndarray:
        """Centres of the eight outermost voxels, ``(8, 3)``."""
        ends = np.array(np.meshgrid(*[(0, size - 1) for size in self.shape], indexing="ij")).reshape(3, -1).T
        return self.to_mm(ends)

    def is_same_place(self, other: VoxelGrid, *, tolerance_mm: float = SAME_PLACE_MM) -> bool:
        """Whether both grids have the same shape and, up to the tolerance, the same voxels."""
        return self.shape == other.shape and bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)


def _listed(values: np.ndarray) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
