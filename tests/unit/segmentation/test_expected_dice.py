# SPDX-License-Identifier: Apache-2.0
"""Expected Dice: what probabilities say of a label made from them."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ShapeError
from monai_semigan.segmentation.expected_dice import expected_dice, expected_overlap


def logits_of(p: torch.Tensor) -> torch.Tensor:
    """Logits of background and foreground, ``(S, S)`` to ``(1, 2, S, S)``."""
    return torch.stack([(1 - p).log(), p.log()])[None]


def test_it_is_the_mean_dice_of_truths_drawn_from_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(48, 48, generator=generator).clamp(0.01, 0.99)
    label = p > 0.5
    truths = torch.rand(400, 48, 48, generator=generator) < p
    shared = (truths & label).sum(dim=(1, 2))
    drawn = 2 * shared / (truths.sum(dim=(1, 2)) + label.sum())

    expected = expected_dice(expected_overlap(logits_of(p), logits_of(p)))

    assert expected.shape == (1, 1)
    assert float(expected) == pytest.approx(float(drawn.mean()), abs=2e-3)


def test_a_certain_label_is_expected_to_be_right_and_a_contradicted_one_is_not() -> None:
    p = torch.full((8, 8), 1e-9)
    p[2:6, 2:6] = 1 - 1e-6
    moved = p.roll(2, dims=0)

    assert float(expected_dice(expected_overlap(logits_of(p), logits_of(p)))) == pytest.approx(1, abs=1e-4)
    # half of the moved square is shared: 2 (16 + 8) / 2 of 16 + 16
    between = expected_dice(expected_overlap(logits_of(p), logits_of(p), logits_of(moved)))
    assert float(between) == pytest.approx(0.75, abs=1e-4)


def test_overlaps_of_slices_add_up_and_absent_classes_are_none() -> None:
    logits = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    logits[:, 3] -= 50  # never found
    overlap = expected_overlap(logits, logits)
    stacked = expected_overlap(logits.movedim(0, 2).reshape(1, 4, 48, 16), logits.movedim(0, 2).reshape(1, 4, 48, 16))

    torch.testing.assert_close(overlap.sum(dim=0, keepdim=True), stacked)
    assert expected_dice(overlap)[:, 2].isnan().all() and not overlap[:, 2].any()
    assert ((expected_dice(overlap)[:, :2] > 0) & (expected_dice(overlap)[:, :2] <= 1)).all()


def test_renderings_have_the_shape_of_the_label() -> None:
    with pytest.raises(ShapeError, match="`renderings`"):
        expected_overlap(torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 8, 8))
