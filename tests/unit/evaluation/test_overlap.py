"""Dice and IoU against numbers counted by hand, and MONAI's."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError
from monai_semigan.evaluation.overlap import class_masks, dice, intersection_over_union

PREDICTED = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 2, 2], [0, 0, 0, 2, 2]])
REFERENCE = np.array([[0, 0, 1, 1, 1], [0, 1, 1, 1, 2], [0, 0, 0, 0, 2]])


def test_overlap_equals_the_count_by_hand() -> None:
    one, two = (class_masks(PREDICTED, REFERENCE, index) for index in (1, 2))

    assert dice(*one) == pytest.approx(2 * 4 / (5 + 6))
    assert intersection_over_union(*one) == pytest.approx(4 / 7)
    assert dice(*two) == pytest.approx(2 * 2 / (4 + 2))
    assert intersection_over_union(*two) == pytest.approx(2 / 4)


def test_ignored_pixels_count_in_neither_map() -> None:
    ignore = np.zeros(REFERENCE.shape, dtype=bool)
    ignore[0, 1] = ignore[0, 4] = ignore[1, 3] = True  # the three pixels where class 1 differs

    masks = class_masks(PREDICTED, REFERENCE, 1, ignore=ignore)

    assert dice(*masks) == intersection_over_union(*masks) == 1.0
    assert masks[0].sum() == masks[1].sum() == 4


@pytest.mark.parametrize("measure", [dice, intersection_over_union])
def test_empty_masks_follow_the_rule(measure) -> None:
    full, empty = np.ones((2, 3), dtype=bool), np.zeros((2, 3), dtype=bool)

    assert measure(empty, empty) == 1.0
    assert measure(full, empty) == measure(empty, full) == 0.0


def test_a_class_that_is_wholly_ignored_is_absent_from_both() -> None:
    masks = class_masks(PREDICTED, REFERENCE, 2, ignore=(PREDICTED == 2) | (REFERENCE == 2))

    assert dice(*masks) == 1.0


def test_different_sizes_are_named_width_first() -> None:
    with pytest.raises(InputError, match=r"label map must have the reference's size 5 x 3, got 3 x 5"):
        class_masks(PREDICTED.T, REFERENCE, 1)
    with pytest.raises(InputError, match=r"ignore mask must have the reference's size 5 x 3, got 4 x 3"):
        class_masks(PREDICTED, REFERENCE, 1, ignore=np.zeros((3, 4), dtype=bool))
    with pytest.raises(InputError, match=r"size \(2, 3, 5\), got 5 x 3"):
        class_masks(PREDICTED, np.stack([REFERENCE] * 2), 1)


def test_overlap_equals_monai_in_three_dimensions() -> None:
    monai = pytest.importorskip("monai.metrics")
    import torch

    rng = np.random.default_rng(3)
    predicted, reference = rng.integers(0, 3, (2, 4, 5, 7))

    for index in (1, 2):
        masks = class_masks(predicted, reference, index)
        one_hot = [torch.from_numpy(mask[None, None]) for mask in masks]
        assert dice(*masks) == pytest.approx(float(monai.compute_dice(*one_hot)))
        assert intersection_over_union(*masks) == pytest.approx(float(monai.compute_iou(*one_hot)))
