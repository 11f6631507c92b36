# SPDX-License-Identifier: Apache-2.0
"""Perturbations of the encoder's inputs, one kind at a time."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.training.perturb import PerturbSettings, perturb

NOTHING = {
    "probability": 1.0, "log2_gamma": 0.0, "contrast": 0.0, "brightness": 0.0, "bias_field": 0.0, "noise": 0.0,
    "blur": 0.0, "patch": 0.0,
}  # fmt: skip


@pytest.fixture
def images():
    return torch.rand(16, 1, 24, 20, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


@pytest.mark.parametrize("channels", [1, 3])
def test_range_shape_and_dtype_are_kept(channels):
    torch.manual_seed(0)
    image = torch.rand(16, channels, 24, 20) * 4 - 2

    y = perturb(image, PerturbSettings(probability=1.0, brightness=1.0, noise=1.0))

    assert y.shape == image.shape and y.dtype == image.dtype
    assert y.min() >= -1 and y.max() <= 1


@pytest.mark.parametrize("settings", [PerturbSettings(probability=0.0), PerturbSettings(**NOTHING)])
def test_without_probability_or_without_strength_nothing_changes(images, settings):
    torch.testing.assert_close(perturb(images, settings), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["log2_gamma", "contrast", "brightness", "bias_field", "noise", "blur", "patch"])
def test_each_kind_works_alone_and_differs_between_samples(images, kind):
    torch.manual_seed(1)
    same = images[:1].expand_as(images).contiguous()

    y = perturb(same, PerturbSettings(**(NOTHING | {kind: 0.5})))

    changed = (y - same).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert changed.sum() >= 12
    assert not torch.allclose(y[changed][0], y[changed][1])


def test_brightness_is_one_offset_per_image(images):
    torch.manual_seed(1)
    difference = perturb(images * 0.1, PerturbSettings(**(NOTHING | {"brightness": 0.1}))) - images * 0.1

    torch.testing.assert_close(difference, difference[:, :, :1, :1].expand_as(difference), atol=1e-5, rtol=0)


def test_gamma_keeps_black_and_white_and_the_order_of_greys():
    torch.manual_seed(1)
    ramp = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8).expand(8, -1, -1, -1)

    y = perturb(ramp, PerturbSettings(**(NOTHING | {"log2_gamma": 1.0}))).flatten(1)

    torch.testing.assert_close(y[:, 0], torch.full((8,), -1.0))
    torch.testing.assert_close(y[:, -1], torch.ones(8))
    assert bool((y.diff(dim=1) >= 0).all())


def test_a_patch_has_one_grey_value_and_a_limited_size(images):
    torch.manual_seed(1)
    settings = PerturbSettings(**(NOTHING | {"patch": 0.4}))

    for before, after in zip(images, perturb(images, settings), strict=True):
        covered = (after - before).abs() > 1e-5
        assert covered.float().mean() <= 0.4**2 + 0.08
        if covered.any():
            assert after[covered].max() - after[covered].min() < 1e-6


def test_blur_smooths():
    images = torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    torch.manual_seed(1)
    y = perturb(images, PerturbSettings(**(NOTHING | {"blur": 1.0})))

    assert y.diff(dim=3).abs().mean() < 0.8 * images.diff(dim=3).abs().mean()


def test_some_samples_stay_as_they_are(images):
    one = images[:1].expand(64, -1, -1, -1) * 2
    torch.manual_seed(0)

    y = perturb(one, PerturbSettings(sample_probability=0.25, probability=1.0))

    kept = (y == one.clamp(-1, 1)).flatten(1).all(dim=1)
    assert 40 <= kept.sum() <= 56  # 48 expected
    assert (perturb(one, PerturbSettings(sample_probability=0.0)) == one.clamp(-1, 1)).all()


def test_the_input_is_left_alone(images):
    before = images.clone()

    perturb(images, PerturbSettings(probability=1.0))

    assert torch.equal(images, before)
