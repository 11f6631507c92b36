# SPDX-License-Identifier: Apache-2.0
"""Render the drawn abdomen as CT and as MR, with its label volume, on any voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.extras.phantoms.anatomy import LABELS, Anatomy, Layer, draw_anatomy
from monai_semigan.extras.phantoms.shapes import Points
from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["LABELS", "AbdomenPhantom", "abdomen_grid", "draw_abdomen"]

EXTENT_MM = (400.0, 320.0, 220.0)
"""Field of view to the left, posterior and superior that shows the whole abdomen of every seed with some air."""

SLAB_VOXELS = 2_000_000
"""Voxels rendered at once: about 100 MB of temporary arrays."""

CT_NOISE_HU = 11.0
MR_NOISE = 9.0
"""Standard deviation of the noise; of the magnitude's two channels in MR."""

WARP_MM = 9.0
"""The most that the waves displace a point: 4 waves of up to 2.2 mm per axis, rounded up."""


@dataclass(frozen=True, eq=False)
class AbdomenPhantom:
    """One anatomy in two contrasts.

    Attributes:
        voxels_ct: ``(I, J, K)`` int16, HU; air is about -1000.
        voxels_mr: ``(I, J, K)`` int16, arbitrary units from 0, T2-weighted with suppressed fat.
        label: ``(I, J, K)`` uint8, class ids of `LABELS`.
        grid: Where the voxels lie.
    """

    voxels_ct: np.ndarray
    voxels_mr: np.ndarray
    label: np.ndarray
    grid: VoxelGrid


def abdomen_grid(
    shape: tuple[int, int, int] = (256, 256, 48), *, spacing_mm: tuple[float, float, float] | None = None
) -> VoxelGrid:
    """Lay an axial grid over the abdomen: indices grow to the patient's left, to posterior and to superior.

    Args:
        shape: ``(I, J, K)``.
        spacing_mm: Of each axis; None for the one at which the shape shows the whole abdomen.
    """
    if spacing_mm is None:
        in_plane = max(EXTENT_MM[0] / shape[0], EXTENT_MM[1] / shape[1])
        spacing_mm = (in_plane, in_plane, EXTENT_MM[2] / shape[2])
    affine = np.diag([-spacing_mm[0], -spacing_mm[1], spacing_mm[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[1, 3] -= 8.0  # room for the table
    return VoxelGrid(shape, affine)


def draw_abdomen(grid: VoxelGrid | None = None, *, seed: int = 0) -> AbdomenPhantom:
    """Draw the abdomen of one patient on a grid of any orientation.

    The anatomy depends on the seed alone, so two grids show the same patient; the noise depends on the grid too.

    Args:
        grid: Where to draw; None for `abdomen_grid`.
        seed: The patient.
    """
    grid = abdomen_grid() if grid is None else grid
    anatomy = draw_anatomy(seed)
    ct, mr = np.empty(grid.shape, np.int16), np.empty(grid.shape, np.int16)
    label = np.zeros(grid.shape, np.uint8)
    depth = max(1, SLAB_VOXELS // (grid.shape[0] * grid.shape[1]))
    for start in range(0, grid.shape[2], depth):
        slab = slice(start, min(start + depth, grid.shape[2]))
        rng = np.random.default_rng([seed, 1, start])
        points = _points(grid, slab)
        hu, signal = _paint(grid, slab, anatomy, points, label[..., slab])
        ct[..., slab] = np.clip(np.rint(hu + _ct_noise(rng, hu.shape)), -1024, 3071)
        mr[..., slab] = np.rint(_magnitude(rng, signal * _bias_field(points, seed)))
    return AbdomenPhantom(ct, mr, label, grid)


def _points(grid: VoxelGrid, slab: slice) -> Points:
    indices = np.ogrid[: grid.shape[0], : grid.shape[1], slab]
    placed = [
        sum((np.float32(grid.affine[row, axis]) * indices[axis] for axis in range(3)), np.float32(grid.affine[row, 3]))
        for row in range(3)
    ]
    right, anterior, superior = (np.asarray(axis, dtype=np.float32) for axis in placed)
    return right, anterior, superior


def _paint(
    grid: VoxelGrid, slab: slice, anatomy: Anatomy, points: Points, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the tissues over each other; returns HU and MR signal without noise, and writes the label in place."""
    hu, signal = np.full(points[0].shape, -1000, np.float32), np.zeros(points[0].shape, np.float32)
    soft_mm = max(1.0, min(grid.spacing_mm))
    for layers, places in ((anatomy.outside, points), (anatomy.layers, _warp(points, anatomy.waves))):
        for layer in layers:
            region = _region(grid, slab, layer)
            if region is None:
                continue
            distance = layer.shape.distance((places[0][region], places[1][region], places[2][region]))
            cover = np.clip(0.5 - distance / soft_mm, 0, 1)  # part of the voxel that the tissue fills
            hu[region] += cover * (layer.tissue.hu - hu[region])
            signal[region] += cover * (layer.tissue.mr - signal[region])
            if layer.label is not None:
                label[region][distance < 0] = layer.label
    return hu, signal


def _region(grid: VoxelGrid, slab: slice, layer: Layer) -> tuple[slice, slice, slice] | None:
    """Indices of the slab's part that a layer can reach; None if it reaches none."""
    low, high = layer.shape.box()
    inside = (np.maximum(low - WARP_MM, -1e4), np.minimum(high + WARP_MM, 1e4))
    corners = np.array(np.meshgrid(*zip(*inside, strict=True), indexing="ij")).reshape(3, -1).T
    indices = grid.to_indices(corners)
    first = np.maximum(np.floor(indices.min(axis=0)).astype(int), (0, 0, slab.start))
    last = np.minimum(np.ceil(indices.max(axis=0)).astype(int) + 1, (*grid.shape[:2], slab.stop))
    if np.any(first >= last):
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return i, j, slice(k.start - slab.start, k.stop - slab.start)


def _warp(points: Points, waves: np.ndarray) -> Points:
    moved = list(points)
    for direction, shift, (phase, _, _) in waves.astype(np.float32):
        height = np.sin(sum(w * axis for w, axis in zip(direction, points, strict=True)) + phase)
        moved = [axis + amount * height for axis, amount in zip(moved, shift, strict=True)]
    return moved[0], moved[1], moved[2]


def _ct_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise with short correlation in the first two axes, as a reconstruction kernel leaves it."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    for axis in (0, 1):
        noise += 0.6 * np.roll(noise, 1, axis=axis)
    scaled: np.ndarray = noise * np.float32(CT_NOISE_HU / (1 + 0.6**2))
    return scaled


def _bias_field(points: Points, seed: int) -> np.ndarray:
    """Receive field of coils in front of and behind the patient: brighter near them, smooth, about 0.6 to 1.5."""
    rng = np.random.default_rng([seed, 2])
    right, anterior, superior = (axis / 150 for axis in points)
    slope = rng.uniform(-0.12, 0.12, 3)
    bowl = rng.uniform(0.1, 0.3)
    field = slope[0] * right + slope[1] * anterior + slope[2] * superior
    return np.exp(np.clip(field + bowl * (np.square(right) + np.square(anterior) - 0.4), -0.6, 0.5)).astype(np.float32)


def _magnitude(rng: np.random.Generator, signal: np.ndarray) -> np.ndarray:
    """Rician noise: the magnitude of a complex signal (Gudbjartsson and Patz 1995)."""
    real = signal + MR_NOISE * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = MR_NOISE * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary)
