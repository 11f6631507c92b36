# SPDX-License-Identifier: Apache-2.0
"""How labels change along a path."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError, ShapeError
from monai_semigan.evaluation.consistency import label_path


def test_changes_are_shares_of_all_pixels():
    labels = np.zeros((4, 4, 5), dtype=np.uint8)
    labels[1, 0, :2] = 1  # 2 of 20 pixels
    labels[2, 0, :2], labels[2, 1, 0] = 2, 1  # 3 more
    labels[3] = labels[0]  # and all back

    path = label_path(labels)

    assert path.changes == pytest.approx((0.1, 0.15, 0.15))
    assert path.largest_change == pytest.approx(0.15)
    assert path.total_variation == pytest.approx(0.4)
    assert path.direct_change == 0


def test_one_label_is_no_path():
    with pytest.raises(InputError, match="at least two labels, got 1"):
        label_path(np.zeros((1, 4, 4), dtype=np.uint8))
    with pytest.raises(ShapeError):
        label_path(np.zeros((4, 4), dtype=np.uint8))
