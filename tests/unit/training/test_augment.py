# SPDX-License-Identifier: Apache-2.0
"""Augmentation: one geometry for image and label, no mirror images, adaptive strength."""

from __future__ import annotations

import math

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.losses.gradient_penalty import r1_penalty
from monai_semigan.training.augment import AdaptiveProbability, AugmentSettings, draw_augmentation

GEOMETRY_ALONE = {"brightness": 0.0, "contrast": 0.0}


def test_a_label_is_moved_exactly_as_its_image():
    torch.manual_seed(0)
    image = torch.rand(8, 1, 16, 16)
    drawn = draw_augmentation(AugmentSettings(), 8, 1.0)

    moved_label = drawn.label(torch.cat([image, 1 - image], dim=1))

    moved_image = (drawn.image(image) - drawn.offset) / drawn.gain
    torch.testing.assert_close(moved_label[:, :1], moved_image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved_label.sum(dim=1), torch.ones(8, 16, 16))


def test_labels_stay_probabilities():
    torch.manual_seed(0)
    label = torch.randn(16, 3, 16, 16).softmax(dim=1)

    moved = draw_augmentation(AugmentSettings(), 16, 1.0).label(label)

    assert moved.min() >= 0 and moved.max() <= 1
    torch.testing.assert_close(moved.sum(dim=1), torch.ones(16, 16, 16))


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_draws_hold_no_mirror_image(seed):
    torch.manual_seed(seed)
    strong = AugmentSettings(rotation=0.5, scale=1.0, stretch=1.0, translation=0.5)

    matrix = draw_augmentation(strong, 1000, 1.0).matrix

    assert bool((torch.linalg.det(matrix[:, :, :2]) > 0).all())


def test_left_stays_left():
    """A spot in the upper left of an X-ray stays in the left half under the default strength, 500 times."""
    torch.manual_seed(0)
    image = torch.zeros(500, 1, 32, 32)
    image[:, :, 8:12, 4:8] = 1

    moved = draw_augmentation(AugmentSettings(**GEOMETRY_ALONE, translation=0.0), 500, 1.0).image(image)

    columns = torch.arange(32.0)
    centers = (moved * columns).sum(dim=(1, 2, 3)) / moved.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    seen = moved.sum(dim=(1, 2, 3)) > 1
    assert seen.float().mean() > 0.9
    assert bool((centers[seen] < 16).all())


def test_probability_zero_changes_nothing_and_one_changes_every_sample():
    torch.manual_seed(0)
    image = torch.rand(32, 1, 8, 8)

    torch.testing.assert_close(draw_augmentation(AugmentSettings(), 32, 0.0).image(image), image, atol=1e-6, rtol=0)
    changed = (draw_augmentation(AugmentSettings(), 32, 1.0).image(image) - image).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert bool(changed.all())


def test_each_kind_is_applied_to_its_share_of_the_samples():
    torch.manual_seed(0)
    drawn = draw_augmentation(AugmentSettings(), 4000, 0.3)

    for value, rest in (
        (drawn.gain, 1.0),
        (drawn.offset, 0.0),
        (drawn.matrix[:, 0, 2], 0.0),
        (drawn.matrix[:, 1, 2], 0.0),
    ):
        assert 0.26 < (value != rest).float().mean() < 0.34


def test_the_drawn_numbers_have_the_spread_asked_for():
    torch.manual_seed(0)
    settings = AugmentSettings(rotation=0.1, scale=0.2, stretch=0.3, translation=0.05, brightness=0.2, contrast=0.4)
    drawn = draw_augmentation(settings, 20_000, 1.0)
    a, b, x = drawn.matrix[:, 0].unbind(dim=1)
    c, d, y = drawn.matrix[:, 1].unbind(dim=1)

    angle = torch.atan2(c, a)
    along_x, along_y = torch.hypot(a, c), torch.hypot(b, d)
    measured = {
        "rotation": angle,
        "scale": torch.log2(along_x * along_y) / 2,
        "stretch": torch.log2(along_x / along_y),
        "translation": torch.cat([x, y]) / 2,  # the side is 2 long in normalized coordinates
        "brightness": drawn.offset,
        "contrast": torch.log2(drawn.gain),
    }
    for name, values in measured.items():
        assert values.std().item() == pytest.approx(getattr(settings, name), rel=0.03), name
        assert abs(values.mean().item()) < 0.03 * values.std().item() + 1e-3, name


def test_rotation_turns_pixels_and_does_not_shear():
    torch.manual_seed(0)
    drawn = draw_augmentation(AugmentSettings(scale=0.0, stretch=0.0), 100, 1.0)

    linear = drawn.matrix[:, :, :2]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(100, 2, 2), atol=1e-6, rtol=0)


def test_the_penalty_can_be_taken_in_front_of_the_augmentation():
    torch.manual_seed(0)
    weight = torch.randn(1, 8, 8, requires_grad=True)
    image = torch.randn(3, 1, 8, 8, requires_grad=True)

    augmented = draw_augmentation(AugmentSettings(), 3, 1.0).image(image)
    penalty = r1_penalty((augmented * weight).sum(dim=(1, 2, 3)), image)
    penalty.sum().backward()

    assert bool((penalty > 0).all())
    assert weight.grad.abs().sum() > 0


def test_the_same_random_state_gives_the_same_draw():
    torch.manual_seed(3)
    first = draw_augmentation(AugmentSettings(), 5, 0.5)
    torch.manual_seed(3)
    second = draw_augmentation(AugmentSettings(), 5, 0.5)

    assert torch.equal(first.matrix, second.matrix) and torch.equal(first.gain, second.gain)


@pytest.mark.parametrize(("sign", "expected"), [(0.9, 0.51), (0.3, 0.49), (-1.0, 0.49)])
def test_a_discriminator_that_is_too_sure_raises_the_probability(sign, expected):
    adaptive = AdaptiveProbability(AugmentSettings(probability=0.5, target_sign=0.6, ramp_kimg=1.0))

    adaptive.update(sign, 10)

    assert adaptive.value == pytest.approx(expected)


@pytest.mark.parametrize(("sign", "limit"), [(1.0, 0.8), (-1.0, 0.0)])
def test_the_probability_stays_between_zero_and_its_maximum(sign, limit):
    adaptive = AdaptiveProbability(AugmentSettings(ramp_kimg=1.0))
    for _ in range(50):
        adaptive.update(sign, 64)

    assert adaptive.value == limit


def test_the_speed_counts_images_not_updates():
    fine, coarse = (AdaptiveProbability(AugmentSettings(ramp_kimg=10.0)) for _ in range(2))
    for _ in range(100):
        fine.update(1.0, 10)
    coarse.update(1.0, 1000)

    assert math.isclose(fine.value, coarse.value, rel_tol=1e-9)
    assert coarse.value == pytest.approx(0.3)


@pytest.mark.parametrize("settings", [{"probability": -0.1}, {"probability": 0.9}, {"max_probability": 1.1}])
def test_probabilities_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match=r"probability` must (lie in|be a number from 0 to 1)"):
        AugmentSettings(**settings)
