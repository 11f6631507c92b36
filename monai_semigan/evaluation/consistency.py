# SPDX-License-Identifier: Apache-2.0
"""How labels change along a path of images: smoothly, or by jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.errors import InputError, check_shape

__all__ = ["LabelPath", "label_path"]


@dataclass(frozen=True)
class LabelPath:
    """Changes of the label from step to step, as shares of all pixels.

    Attributes:
        changes: Share of the pixels whose class differs from the step before, one per step.
        direct_change: Share of the pixels whose class differs between first and last.
    """

    changes: tuple[float, ...]
    direct_change: float

    @property
    def largest_change(self) -> float:
        """The largest jump."""
        return max(self.changes)

    @property
    def total_variation(self) -> float:
        """Sum of all changes: at least the direct one; more where pixels change back and forth."""
        return sum(self.changes)


def label_path(labels: np.ndarray) -> LabelPath:
    """Measure the labels of a path.

    Args:
        labels: Class ids in order, ``(F, H, W)``.

    Raises:
        InputError: There are fewer than two.
        ShapeError: They are no stack of label maps.
    """
    check_shape("labels", labels.shape, "F H W")
    if len(labels) < 2:
        raise InputError(f"A path must have at least two labels, got {len(labels)}.")
    changes = (labels[1:] != labels[:-1]).mean(axis=(1, 2))
    return LabelPath(tuple(map(float, changes)), float((labels[0] != labels[-1]).mean()))
