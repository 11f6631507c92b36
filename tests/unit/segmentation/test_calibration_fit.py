# SPDX-License-Identifier: Apache-2.0
"""The correction of the expected Dice: it keeps the order, finds what was put in, and changes little on little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from monai_semigan.errors import ConfigError
from monai_semigan.segmentation.calibration_fit import fit_calibration, moved_calibration
from monai_semigan.segmentation.expected_dice import DiceCalibration

TOO_SURE = DiceCalibration(offset=-1.5, slope=1.4)


def cases(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What is expected of labels, and what is true by `TOO_SURE`."""
    expected = np.random.default_rng(0).uniform(0.6, 0.99, count)
    return expected, expit(-1.5 + 1.4 * logit(expected))


def test_what_was_put_in_is_found() -> None:
    found = fit_calibration(*cases(400))

    assert (found.offset, found.slope) == (pytest.approx(-1.5, abs=0.02), pytest.approx(1.4, abs=0.02))


def test_cases_without_weight_do_not_count() -> None:
    expected, dice = cases(400)
    wrong = np.concatenate([dice, np.full(400, 0.1)])

    found = fit_calibration(np.tile(expected, 2), wrong, np.repeat([1.0, 0.0], 400))

    assert found.slope == pytest.approx(1.4, abs=0.02)


def test_one_case_changes_little_where_many_change_much() -> None:
    expected, dice = np.full(1, 0.95), np.full(1, 0.93)

    assert abs(fit_calibration(expected, dice).slope - 1) < 0.15


def test_the_order_stays_and_is_undone() -> None:
    values = np.linspace(0.01, 0.99, 50)

    assert (np.diff(TOO_SURE(values)) > 0).all()
    np.testing.assert_allclose(TOO_SURE.undone(TOO_SURE(values)), values, atol=1e-3)
    assert np.isnan(TOO_SURE(np.array([np.nan]))).all()
    assert 0 < TOO_SURE(0.0) < TOO_SURE(1.0) < 1


@pytest.mark.parametrize("before", [None, TOO_SURE])
def test_a_few_cases_of_a_site_move_the_mean_and_leave_the_slope(before: DiceCalibration | None) -> None:
    expected, dice = np.array([0.9, 0.95, np.nan, 0.97]), np.array([0.8, 0.9, 0.0, 0.95])

    moved = moved_calibration(before, expected, dice)

    assert moved.slope == (1.0 if before is None else before.slope)
    assert np.nanmean(moved(expected)) == pytest.approx(dice[[0, 1, 3]].mean(), abs=1e-3)


def test_where_nothing_was_found_or_right_there_is_a_calibration_too() -> None:
    assert moved_calibration(TOO_SURE, np.array([np.nan]), np.array([0.0])) == TOO_SURE
    assert moved_calibration(None, np.array([0.9, 0.8]), np.zeros(2))(0.9) < 0.01


def test_a_slope_that_turns_the_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="slope"):
        DiceCalibration(offset=0.0, slope=0.0)
