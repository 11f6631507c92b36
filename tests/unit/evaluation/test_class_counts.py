"""Counts of classes."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError
from monai_semigan.evaluation.class_counts import class_counts

LABEL = np.zeros((3, 4, 5), dtype=np.uint8)
LABEL[:2, 1, :] = 1
LABEL[2, 3, 4] = 2


def test_counts_of_any_shape() -> None:
    assert class_counts(LABEL, 3) == (49, 10, 1)
    assert class_counts(LABEL.astype(np.int64), 4) == (49, 10, 1, 0)
    assert class_counts(LABEL[:, :, 4], 3) == (9, 2, 1)
    assert class_counts(np.zeros((0, 3), dtype=np.uint8), 2) == (0, 0)


def test_what_is_no_label_is_refused() -> None:
    with pytest.raises(InputError, match="0 to 1, got 0 to 2"):
        class_counts(LABEL, 2)
    with pytest.raises(InputError, match="class ids"):
        class_counts(LABEL.astype(np.float32), 3)
    with pytest.raises(InputError, match="got -1"):
        class_counts(np.array([[-1]]), 3)
