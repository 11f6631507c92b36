# SPDX-License-Identifier: Apache-2.0
"""Augmentations from CT to MR, one kind at a time."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality, random_curves

NOTHING = {"probability": 1.0, "remap": 0.0, "dark_tissue": 0.0, "bias_field": 0.0, "noise": 0.0, "blur": 0.0}


@pytest.fixture
def images():
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(28), indexing="ij")
    body = ((rows - 16) / 14) ** 2 + ((columns - 14) / 13) ** 2 < 1
    grey = torch.rand(16, 1, 32, 28, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.7
    return torch.where(body, grey, torch.tensor(-1.0))


@pytest.mark.parametrize("channels", [1, 3])
def test_range_shape_and_dtype_are_kept(channels):
    torch.manual_seed(0)
    image = torch.rand(8, channels, 24, 20) * 4 - 2

    y = cross_modality(image, CrossModalitySettings(probability=1.0, noise=0.5, bias_field=1.0, blur=3.0))

    assert y.shape == image.shape and y.dtype == image.dtype
    assert torch.isfinite(y).all() and y.min() >= -1 and y.max() <= 1


@pytest.mark.parametrize("settings", [CrossModalitySettings(probability=0.0), CrossModalitySettings(**NOTHING)])
def test_without_probability_or_without_strength_nothing_changes(images, settings):
    torch.manual_seed(0)
    torch.testing.assert_close(cross_modality(images, settings), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["remap", "bias_field", "noise", "blur"])
def test_each_kind_works_alone_and_differs_between_samples(images, kind):
    torch.manual_seed(1)
    same = images[:1].expand_as(images).contiguous()

    y = cross_modality(same, CrossModalitySettings(**(NOTHING | {kind: 1.0})))

    changed = (y - same).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.sum() >= 12
    assert not torch.allclose(y[changed][0], y[changed][1])


def test_curves_start_at_black_and_stay_in_range():
    torch.manual_seed(0)
    curves = random_curves(500, non_monotone=0.5, like=torch.zeros(1))

    assert bool((curves[:, 0] == 0).all()) and curves.min() >= 0 and curves.max() <= 1 + 1e-6
    bends = (curves.diff(dim=1) < -1e-6).any(dim=1).float().mean()
    assert 0.35 < bends < 0.6


def test_monotone_curves_keep_the_order_and_end_at_white():
    torch.manual_seed(0)
    curves = random_curves(200, non_monotone=0.0, like=torch.zeros(1, dtype=torch.float64))

    assert curves.dtype == torch.float64 and bool((curves.diff(dim=1) >= -1e-12).all())
    torch.testing.assert_close(curves[:, -1], torch.ones(200, dtype=torch.float64))


def test_remapping_is_one_curve_per_sample_that_keeps_black():
    torch.manual_seed(3)
    ramp = torch.linspace(-1, 1, 64).repeat(2).reshape(1, 1, 8, 16).expand(16, -1, -1, -1).contiguous()

    y = cross_modality(ramp, CrossModalitySettings(**(NOTHING | {"remap": 1.0}))).flatten(1)

    torch.testing.assert_close(y[:, :64], y[:, 64:])
    torch.testing.assert_close(y[:, 0], -torch.ones(16))


def test_dark_tissue_fills_the_body_but_neither_air_nor_bright_tissue(images):
    torch.manual_seed(1)
    picture = images.clamp_min(-0.5).where(images > -1, images)
    picture[:, :, 12:18, 10:14] = -1  # fat inside

    y = cross_modality(picture, CrossModalitySettings(**(NOTHING | {"dark_tissue": 0.8})))

    lifted = y[:, 0, 14, 12] + 1
    assert (lifted > 0.05).sum() >= 12 and lifted.max() <= 1.6 + 1e-5
    torch.testing.assert_close(y[:, :, 0, 0], picture[:, :, 0, 0])
    torch.testing.assert_close(y[picture > -0.6], picture[picture > -0.6], atol=1e-5, rtol=0)


def test_noise_lifts_air_and_leaves_no_negative_signal(images):
    torch.manual_seed(1)
    y = cross_modality(images, CrossModalitySettings(**(NOTHING | {"noise": 0.2})))

    air = y[:, 0, :3, :3].flatten(1).mean(dim=1)
    assert (air > -1 + 1e-4).sum() >= 14


def test_blur_differs_along_the_axes(images):
    torch.manual_seed(1)
    y = cross_modality(images, CrossModalitySettings(**(NOTHING | {"blur": 4.0})))
    down = y.diff(dim=2).abs().mean(dim=(1, 2, 3)) / images.diff(dim=2).abs().mean(dim=(1, 2, 3))
    across = y.diff(dim=3).abs().mean(dim=(1, 2, 3)) / images.diff(dim=3).abs().mean(dim=(1, 2, 3))

    assert (down < 1.001).all() and (across < 1.001).all()
    assert (down / across).max() > 1.2 and (down / across).min() < 0.85


def test_the_input_is_left_alone(images):
    before = images.clone()

    cross_modality(images, CrossModalitySettings(probability=1.0))

    assert torch.equal(images, before)


def test_some_samples_stay_as_they_are(images):
    one = images[:1].expand(64, -1, -1, -1) * 2
    torch.manual_seed(0)

    y = cross_modality(one, CrossModalitySettings(sample_probability=0.25, probability=1.0))

    kept = (y == one.clamp(-1, 1)).flatten(1).all(dim=1)
    assert 40 <= kept.sum() <= 56  # 48 expected


def test_settings_and_shapes_are_checked():
    with pytest.raises(ConfigError, match="`sample_probability`"):
        CrossModalitySettings(sample_probability=-0.1)
    with pytest.raises(ConfigError, match="`probability`"):
        CrossModalitySettings(probability=1.5)
    with pytest.raises(ConfigError, match="`noise`"):
        CrossModalitySettings(noise=-0.1)
    with pytest.raises(ShapeError, match="`image`"):
        cross_modality(torch.zeros(1, 8, 8), CrossModalitySettings())
