# SPDX-License-Identifier: Apache-2.0
"""MR signal: window, bias field, quantiles."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ConfigError, InputError, ShapeError
from monai_semigan.transforms.body import body_mask
from monai_semigan.transforms.mri import body_percentiles, correct_bias_field, match_quantiles, window_signal


def test_percentiles_are_taken_inside_the_body(make_mr):
    signal = make_mr()

    low, high = body_percentiles(signal[None], low=5, high=99)

    assert low > 90 and 600 < high < 750  # air would be near 10
    padded = np.pad(signal, 60, mode="wrap") * 0 + 5
    padded[60:-60, 60:-60] = signal
    np.testing.assert_allclose(body_percentiles(padded[None], low=5, high=99), (low, high), rtol=0.1)


def test_percentiles_scale_with_the_signal(make_mr):
    volume = np.stack([make_mr(seed=at) for at in range(3)])

    np.testing.assert_allclose(body_percentiles(volume * 12), np.multiply(body_percentiles(volume), 12), rtol=1e-5)


def test_without_a_body_all_counts():
    ramp = np.linspace(0, 1, 400).reshape(1, 20, 20)

    low, high = body_percentiles(ramp, low=0, high=100)

    assert 0 <= low < high <= 1


def test_window():
    np.testing.assert_allclose(window_signal(np.array([0, 10, 20, 99]), low=10, high=30), [-1, -1, 0, 1])
    with pytest.raises(ConfigError, match="`low`"):
        window_signal(np.zeros(2), low=1, high=1)


@pytest.mark.parametrize("num_slices", [1, 2, 6])
def test_n4_flattens_a_bias_field_and_keeps_the_mean(make_mr, num_slices):
    flat = np.where(body_mask(make_mr(), modality="MR"), 200.0, 3.0)
    flat = flat + np.random.default_rng(0).normal(0, 1, flat.shape)
    inner = np.s_[:, 60:100, 50:140]
    field = np.exp(np.linspace(-0.5, 0.5, flat.shape[1]))
    volume = np.stack([flat * field] * num_slices)

    corrected = correct_bias_field(volume)

    assert corrected.shape == volume.shape and corrected.dtype == np.float32
    assert corrected[inner].std() < 0.4 * volume[inner].std()
    inside = body_mask(volume[0], modality="MR")
    np.testing.assert_allclose(corrected[:, inside].mean(), volume[:, inside].mean(), rtol=0.01)


def test_n4_leaves_a_volume_without_body_alone():
    dots = np.zeros((1, 60, 60), dtype=np.float32)
    dots[0, 3, 3] = 1

    np.testing.assert_array_equal(correct_bias_field(dots), dots)


def test_matched_quantiles_are_those_of_the_reference_and_keep_the_order():
    signal = np.random.default_rng(0).gamma(2, size=(40, 50))
    reference = np.linspace(-1, 1, 21) ** 3

    matched = match_quantiles(signal, reference)

    np.testing.assert_allclose(np.quantile(matched, np.linspace(0, 1, 21)), reference, atol=0.01)
    order = np.argsort(signal.ravel())
    assert (np.diff(matched.ravel()[order]) >= 0).all()
    np.testing.assert_allclose(match_quantiles(signal * 50 + 3, reference), matched, atol=1e-5)


def test_quantiles_can_be_taken_inside_a_mask(make_mr):
    signal = make_mr()
    mask = body_mask(signal, modality="MR")

    matched = match_quantiles(signal, (0.0, 0.5, 1.0), mask=mask)

    assert abs(np.median(matched[mask]) - 0.5) < 0.01


def test_bad_input_is_refused(make_mr):
    nothing = np.full((2, 30, 30), 4.0)
    broken = np.where(np.eye(30), np.nan, 1.0)[None]
    for volume, message in ((nothing, "constant"), (broken, "NaN")):
        with pytest.raises(InputError, match=message):
            body_percentiles(volume)
        with pytest.raises(InputError, match=message):
            correct_bias_field(volume)
        with pytest.raises(InputError, match=message):
            match_quantiles(volume, (0, 1))
    with pytest.raises(ShapeError, match="`slices`"):
        correct_bias_field(make_mr())
    with pytest.raises(ConfigError, match="Percentiles"):
        body_percentiles(make_mr()[None], low=60, high=50)
    for reference in ((1.0,), (2.0, 1.0), (0.0, np.nan)):
        with pytest.raises(ConfigError, match="`reference`"):
            match_quantiles(make_mr(), reference)
