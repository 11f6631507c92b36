# SPDX-License-Identifier: Apache-2.0
"""Whether drawn images repeat training images: how near the nearest one is, against how near it is to unseen ones.

A generator that copies draws images nearer to the training images than unseen real images are (Meehan, Chaudhuri and
Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models"); a single copy is also far nearer to
one training image than to that one's rivals (Carlini et al. 2023, "Extracting Training Data from Diffusion Models").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from monai_semigan.errors import InputError, check_shape

__all__ = ["COPY_SHARE", "Nearest", "SpaceAudit", "audit_space", "nearer", "nearest_neighbors"]

NUM_RIVALS = 10
"""Next neighbours that the nearest one is compared with."""

LOW_QUANTILE = 0.05
"""Of the unseen images: a single one that has a twin among the training images does not move it."""

COPY_SHARE = 0.5
"""A sample is a copy if its distance, or its ratio, is below this share of the unseen images' low quantile; ours."""

CHUNK = 64
"""Rows whose distances are held at once."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of Q images.

    Attributes:
        indices: Which, ``(Q,)``.
        distances: How far, ``(Q,)``.
        ratios: That distance over the mean of the next ones', ``(Q,)``; 1 where there is one training image alone.
    """

    indices: np.ndarray
    distances: np.ndarray
    ratios: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SpaceAudit:
    """What one space says.

    Attributes:
        median: Distance of the samples to their nearest training image.
        median_unseen: The same of unseen real images.
        p_value: That samples would be as near or nearer if they were as near as unseen images are: Mann-Whitney's
            test, one-sided. Small: the samples are nearer.
        copy_distance: Below it a sample is a copy.
        copy_ratio: Likewise, of its ratio.
        p_values: Per sample, share of unseen images that are as near or nearer, ``(1 + k) / (1 + n)``.
        is_copy: Per sample.
    """

    median: float
    median_unseen: float
    p_value: float
    copy_distance: float
    copy_ratio: float
    p_values: np.ndarray
    is_copy: np.ndarray


def nearest_neighbors(queries: np.ndarray, training: np.ndarray) -> Nearest:
    """Find the nearest training image of each query, by Euclidean distance.

    Args:
        queries: ``(Q, D)`` floats.
        training: ``(T, D)``.

    Raises:
        InputError: There is no query or no training image.
        ShapeError: They have different lengths.
    """
    size = check_shape("queries", queries.shape, "Q D")
    check_shape("training", training.shape, f"T {size['D']}")
    if not len(queries) or not len(training):
        raise InputError(f"There must be images to compare, got {len(queries)} and {len(training)}.")
    reference = training.astype(np.float32, copy=False)
    norms = np.einsum("td,td->t", reference, reference, dtype=np.float64)
    indices, distances, ratios = [], [], []
    kept = min(NUM_RIVALS + 1, len(reference))
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK].astype(np.float32, copy=False)
        squares = np.einsum("qd,qd->q", part, part, dtype=np.float64)[:, None] - 2.0 * (part @ reference.T) + norms
        order = np.argpartition(squares, kept - 1, axis=1)[:, :kept]
        # Of the few nearest exactly: differences of large squares lose what tells a copy from a likeness.
        exact = np.linalg.norm(part[:, None].astype(np.float64) - reference[order], axis=2)
        rank = exact.argsort(axis=1, kind="stable")
        order, exact = np.take_along_axis(order, rank, axis=1), np.take_along_axis(exact, rank, axis=1)
        rivals = exact[:, 1:].mean(axis=1) if kept > 1 else exact[:, 0]
        indices.append(order[:, 0])
        distances.append(exact[:, 0])
        ratios.append(np.divide(exact[:, 0], rivals, out=np.ones(len(part)), where=rivals > 0))
    return Nearest(*(np.concatenate(parts) for parts in (indices, distances, ratios)))


def nearer(a: Nearest, b: Nearest) -> Nearest:
    """Take, of two views of the same images, for each image the one that is nearer to a training image."""
    is_first = a.distances <= b.distances
    return Nearest(
        np.where(is_first, a.indices, b.indices),
        np.where(is_first, a.distances, b.distances),
        np.where(is_first, a.ratios, b.ratios),
    )


def audit_space(samples: Nearest, unseen: Nearest) -> SpaceAudit:
    """Compare samples with unseen real images."""
    counts = (unseen.distances[None, :] <= samples.distances[:, None]).sum(axis=1)
    limits = [COPY_SHARE * float(np.quantile(part, LOW_QUANTILE)) for part in (unseen.distances, unseen.ratios)]
    return SpaceAudit(
        median=float(np.median(samples.distances)),
        median_unseen=float(np.median(unseen.distances)),
        p_value=float(mannwhitneyu(samples.distances, unseen.distances, alternative="less").pvalue),
        copy_distance=limits[0],
        copy_ratio=limits[1],
        p_values=(1 + counts) / (1 + len(unseen.distances)),
        is_copy=(samples.distances < limits[0]) | (samples.ratios < limits[1]),
    )
