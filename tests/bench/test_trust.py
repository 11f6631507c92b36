# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks say of expected Dice."""

from __future__ import annotations

import pytest

from benchmarks.trust import trust_numbers, trust_text

PAIRS = [(0.95, 0.94), (0.96, 0.95), (0.80, 0.60), (0.85, 0.70)]


def test_a_limit_parts_good_from_bad() -> None:
    numbers = trust_numbers(PAIRS, 0.9)

    assert numbers["rank_correlation"] == pytest.approx(1)
    assert (numbers["uncertain"], numbers["expected_dice"]) == pytest.approx((0.5, 0.89))
    assert (numbers["dice_certain"], numbers["dice_uncertain"]) == pytest.approx((0.945, 0.65))
    assert trust_text(numbers).endswith("50% uncertain, Dice 0.945 if certain, 0.650 if uncertain")


@pytest.mark.parametrize(("limit", "share"), [(None, 0.0), (0.1, 0.0), (1.0, 1.0)])
def test_one_part_may_be_empty(limit: float | None, share: float) -> None:
    numbers = trust_numbers(PAIRS, limit)

    assert numbers["uncertain"] == share
    assert numbers["dice_certain" if share else "dice_uncertain"] is None


def test_without_differences_there_is_no_correlation() -> None:
    numbers = trust_numbers([(0.9, 1.0), (0.8, 1.0)], None)

    assert numbers["rank_correlation"] is None
    assert "rank correlation not defined; 0% uncertain" in trust_text(numbers)
