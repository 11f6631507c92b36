# SPDX-License-Identifier: Apache-2.0
"""Windows of HU, the check that values are HU, and telling CT from MR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.transforms.ct_window import WINDOWS, HuWindow, check_hu, find_window, window_hu
from monai_semigan.transforms.modality import guess_modality


def test_a_window_is_linear_between_its_ends_and_clips_outside():
    hu = np.array([-1000, -50, 50, 150, 2000], dtype=np.int16)

    np.testing.assert_allclose(window_hu(hu, low=-50, high=150), [-1, -1, 0, 1, 1])
    assert window_hu(hu, low=-50, high=150).dtype == np.float32


@pytest.mark.property
@given(center=st.floats(-1000, 1000), width=st.floats(1, 4000), seed=st.integers(0, 99))
def test_windows_never_swap_grey_values(center, width, seed):
    window = HuWindow(center, width)
    hu = np.sort(np.random.default_rng(seed).uniform(-1500, 3000, 100))

    shown = window_hu(hu, low=window.low, high=window.high)

    assert (np.diff(shown) >= 0).all() and shown.min() >= -1 and shown.max() <= 1


def test_named_windows():
    assert {"liver", "lung", "bone", "soft_tissue", "brain", "liver_255"} <= set(WINDOWS)
    assert (WINDOWS["liver_255"].low, WINDOWS["liver_255"].high) == (0, 255)
    assert find_window("lung") is WINDOWS["lung"]
    with pytest.raises(ConfigError, match="liver_255"):
        find_window("kidney")
    with pytest.raises(ConfigError, match="`width`"):
        HuWindow(0, 0)
    with pytest.raises(ConfigError, match="`low`"):
        window_hu(np.zeros(3), low=5, high=5)


def test_hu_pass_with_padding_too(make_ct):
    hu = make_ct().astype(np.int16)
    check_hu(hu)
    hu[:40] = -3024  # outside the reconstruction circle
    check_hu(hu)
    check_hu(hu[20:140, 30:160])  # cropped, but with air somewhere


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hu: hu + 1024, "1024 too high"),
        (lambda hu: (hu + 1000).clip(0), "rescale was lost"),
        (lambda hu: hu.clip(0, 255), "assume_windowed"),
        (lambda hu: hu / 4000, "unit range"),
        (lambda hu: hu.clip(-100, 250), "clipped"),
        (lambda hu: ((hu + 1000) * 3).clip(0), "rescale was lost"),
        (lambda hu: hu + 600, "median"),
        (lambda hu: np.where(hu < -900, -2000, hu + 1024), "subtract 1024"),
        (lambda hu: np.where(hu > 350, np.nan, hu), "NaN"),
        (lambda hu: hu * 0 + 7, "7 throughout"),
    ],
)
def test_what_cannot_be_hu_is_refused_with_the_cause(make_ct, change, message):
    with pytest.raises(InputError, match=message):
        check_hu(change(make_ct()))


def test_windowed_values_pass_when_said_so(make_ct):
    check_hu(make_ct().clip(0, 255), assume_windowed=True)
    with pytest.raises(InputError, match="windowed"):
        check_hu(make_ct(), assume_windowed=True)


def test_ct_and_mr_are_told_apart_with_a_reason(make_ct, make_mr):
    assert guess_modality(make_ct()).modality == "CT"
    assert "HU" in guess_modality(make_ct().astype(np.int16)).reason
    stored = guess_modality((make_ct() + 1024).clip(0).astype(np.uint16) + (np.indices((180, 190)).sum(0) == 0) * 1800)
    assert stored.modality == "CT" and "rescale" in stored.reason
    for scale in (1.0, 0.01, 4.0):
        assert guess_modality(make_mr() * scale).modality == "MR"
    centered = (make_mr() - make_mr().mean()) / make_mr().std()
    assert guess_modality(centered).modality == "MR"
    for bad in (np.zeros((4, 4, 4)), np.full((4, 4), np.nan), np.zeros((0, 3))):
        with pytest.raises(InputError, match="finite"):
            guess_modality(bad)


def test_a_ct_clipped_outside_the_window_passes_with_a_warning(make_ct):
    clipped = make_ct().clip(-125, 275)

    (warning,) = check_hu(clipped, window=(0, 255))

    assert "no air" in warning
    assert check_hu(make_ct(), window=(0, 255)) == ()
    for values, window in (
        (clipped, (-150, 255)),
        (make_ct().clip(-125, 100), (0, 255)),
        (make_ct().clip(0), (0, 255)),
    ):
        with pytest.raises(InputError, match="must have air"):
            check_hu(values, window=window)
    with pytest.raises(InputError, match="1024 too high"):
        check_hu(make_ct() + 1024, window=(0, 255))


def test_pure_air_has_no_tissue():
    air = np.linspace(-1010, -990, 600).reshape(20, 30)

    with pytest.raises(InputError, match=r"must show tissue near 0\.\.100 HU, got -1010\.\.-990"):
        check_hu(air)
