# SPDX-License-Identifier: Apache-2.0
"""Slices of a simple trunk, and skin with a lesion: asymmetric, so that flips show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

TRUNK = (30, 130, 25, 165)
"""``(top, bottom, left, right)`` of the drawn wall."""


def ellipse(shape, center, radii):
    rows, columns = np.indices(shape)
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 < 1


def ct_slice(*, table: bool = True, arm: bool = False, seed: int = 0) -> np.ndarray:
    """Draw HU: skin, fat, wall, liver (left in the picture), spine, a table below, 180 x 190."""
    shape = (180, 190)
    hu = np.full(shape, -1000.0)
    center = (80, 95)
    hu[ellipse(shape, center, (58, 79))] = -100  # fat
    hu[ellipse(shape, center, (50, 70))] = 50  # wall
    hu[ellipse(shape, center, (43, 63))] = -90
    hu[ellipse(shape, (75, 65), (30, 34))] = 110  # liver
    hu[ellipse(shape, (115, 95), (13, 12))] = 400  # spine
    if table:
        rows, columns = np.indices(shape)
        hu[np.abs(rows - (150 - (columns - 95) ** 2 / 900)) < 2] = 300
    if arm:
        hu[ellipse(shape, (90, 184), (12, 5))] = 60
    return hu + np.random.default_rng(seed).normal(0, 8, shape)


def mr_slice(*, seed: int = 0) -> np.ndarray:
    """Draw the same trunk as MR signal: fat dim, liver grey, vessels and spine bright, noise in air."""
    shape = (180, 190)
    signal = np.zeros(shape)
    center = (80, 95)
    signal[ellipse(shape, center, (53, 74))] = 120
    signal[ellipse(shape, center, (50, 70))] = 160
    signal[ellipse(shape, (75, 65), (30, 34))] = 300
    signal[ellipse(shape, (115, 95), (13, 12))] = 700
    rng = np.random.default_rng(seed)
    return np.hypot(signal + rng.normal(0, 8, shape), rng.normal(0, 8, shape))


def skin(*, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw skin with a brown lesion, ``(192, 256, 3)`` in [0, 1], and the lesion's mask."""
    shape = (192, 256)
    lesion = ellipse(shape, (100, 110), (40, 55))
    rgb = np.empty((*shape, 3))
    rgb[:] = (0.85, 0.68, 0.6)
    rgb[lesion] = (0.45, 0.28, 0.2)
    noisy = rgb + np.random.default_rng(seed).normal(0, 0.008, rgb.shape)
    return noisy.clip(0, 1).astype(np.float32), lesion


@pytest.fixture
def make_ct() -> Callable[..., np.ndarray]:
    return ct_slice


@pytest.fixture
def make_mr() -> Callable[..., np.ndarray]:
    return mr_slice


@pytest.fixture
def make_skin() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return skin


@pytest.fixture
def trunk() -> tuple[int, int, int, int]:
    return TRUNK
