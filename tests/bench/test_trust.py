# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks say of expected Dice."""

from __future__ import annotations

import math

import pytest

from benchmarks.trust import trust_numbers, trust_text

PAIRS = [(0.95, 0.94), (0.96, 0.95), (0.80, 0.60), (0.85, 0.70)]


def test_a_limit_parts_good_from_bad() -> None:
    numbers = trust_numbers(PAIRS, 0.9)

    assert numbers["rank_correlation"] == pytest.approx(1)
    assert (numbers["uncertain"], numbers["expected_dice"]) == pytest.approx((0.5, 0.89))
    assert (numbers["dice_certain"], numbers["dice_uncertain"]) == pytest.approx((0.945, 0.65))
    assert (numbers["bad"], numbers["bad_warned"], numbers["others_warned"]) == (2, 1.0, 0.0)
    assert trust_text(numbers).endswith(
        "50% warned of (0% unlike), Dice 0.945 if certain, 0.650 if uncertain; of 2 below 0.8 100%, of the others 0%"
    )


def test_unlike_cases_are_warned_of_and_not_compared() -> None:
    numbers = trust_numbers([*PAIRS[:2], (math.nan, 0.3), (math.nan, 0.9)], 0.9)

    assert (numbers["expected_dice"], numbers["dice_told"]) == pytest.approx((0.955, 0.945))
    assert (numbers["unlike"], numbers["uncertain"], numbers["bad_warned"]) == (0.5, 0.5, 1.0)
    assert numbers["others_warned"] == pytest.approx(1 / 3)
    assert "expected Dice" not in trust_text(trust_numbers([(math.nan, 0.3)], 0.9))


@pytest.mark.parametrize(("limit", "share"), [(None, 0.0), (0.1, 0.0), (1.0, 1.0)])
def test_one_part_may_be_empty(limit: float | None, share: float) -> None:
    numbers = trust_numbers(PAIRS, limit)

    assert numbers["uncertain"] == share
    assert numbers["dice_certain" if share else "dice_uncertain"] is None


def test_without_differences_there_is_no_correlation() -> None:
    numbers = trust_numbers([(0.9, 1.0), (0.8, 1.0)], None)

    assert numbers["rank_correlation"] is None
    assert "rank correlation not defined; 0% warned of" in trust_text(numbers)
