# SPDX-License-Identifier: Apache-2.0
"""Path length, perceptual distance, Dice and cross-entropy: hand numbers and derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.losses.path_length import path_lengths
from monai_semigan.losses.perceptual import FeatureDistance, MonaiPerceptualDistance
from monai_semigan.losses.segmentation import dice_cross_entropy, soft_cross_entropy, soft_dice_loss
from monai_semigan.networks.discriminator import ImageDiscriminator


def test_the_path_length_of_a_scaled_copy():
    """image[n, 0] = s * w[n]: J^T y = s y, so the length is s |y| over the square root of the layers."""
    scale, layers = 3.0, 4
    w_plus = torch.randn(2, layers, 16, requires_grad=True)
    torch.manual_seed(5)
    lengths = path_lengths((scale * w_plus).reshape(2, 1, layers, 16), w_plus)
    torch.manual_seed(5)
    noise = torch.randn(2, 1, layers, 16) / math.sqrt(layers * 16)

    torch.testing.assert_close(lengths, scale * noise.flatten(1).norm(dim=1) / math.sqrt(layers))


def test_path_lengths_grow_in_proportion_to_the_map_and_not_with_the_image():
    def length(scale: float, side: int) -> torch.Tensor:
        torch.manual_seed(0)
        w_plus = torch.randn(64, 1, 4, requires_grad=True)
        basis = torch.nn.functional.one_hot(torch.arange(side * side) % 4, 4).float() * scale  # (S S, 4)
        return path_lengths((w_plus[:, 0] @ basis.T).reshape(64, 1, side, side), w_plus).mean()

    torch.testing.assert_close(length(6.0, 8), 2 * length(3.0, 8))
    torch.testing.assert_close(length(1.0, 16), length(1.0, 8), rtol=0.15, atol=0)


def test_the_penalty_on_path_lengths_reaches_the_generator(make_generator):
    synthesis = make_generator().synthesis
    w_plus = torch.randn(2, 8, 5, requires_grad=True)

    (path_lengths(synthesis.image(w_plus), w_plus) - 0.1).square().mean().backward()

    for block in synthesis.blocks:
        assert block.conv.weight.grad.abs().sum() > 0
        assert block.to_image.weight.grad.abs().sum() > 0
        assert block.to_label.weight.grad is None


@pytest.fixture
def distance():
    torch.manual_seed(0)
    return FeatureDistance(ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4]).features)


def test_identical_images_have_no_distance_and_different_ones_do(distance):
    a, b = torch.randn(2, 3, 1, 32, 32)

    torch.testing.assert_close(distance(a, distance.prepare(a)), torch.zeros(3), atol=1e-5, rtol=0)
    assert bool((distance(a, distance.prepare(b)) > 0.01).all())


def test_the_distance_is_symmetric_and_equals_the_normalized_difference(distance):
    a, b = torch.randn(2, 3, 1, 32, 32)
    explicit = torch.zeros(3)
    for x, y in zip(distance.features(a), distance.features(b), strict=True):
        unit_x, unit_y = (torch.nn.functional.normalize(f, dim=1) for f in (x, y))
        explicit = explicit + (unit_x - unit_y).square().sum(dim=1).mean(dim=(1, 2)) / 3

    torch.testing.assert_close(distance(a, distance.prepare(b)), explicit, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(distance(b, distance.prepare(a)), explicit, atol=1e-5, rtol=1e-5)


def test_opposite_features_have_the_largest_distance():
    distance = FeatureDistance(lambda x: [x])
    x = torch.randn(2, 3, 4, 4)

    torch.testing.assert_close(distance(-x, distance.prepare(x)), torch.full((2,), 4.0))


def test_the_distance_has_a_derivative_even_at_zero_features():
    distance = FeatureDistance(lambda x: [x])
    target = torch.randn(1, 2, 2, 2, dtype=torch.float64)
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)

    assert gradcheck(lambda x: distance(x, distance.prepare(target)), x)
    (grad,) = torch.autograd.grad(distance(zero, distance.prepare(target)).sum(), zero)
    assert bool(grad.isfinite().all())


def test_a_feature_file_that_cannot_be_loaded_says_what_to_do(tmp_path):
    with pytest.raises(
        ConfigError, match=r"`pretrained_path` must.*Leave `perceptual` out to use the image discriminator's"
    ):
        MonaiPerceptualDistance("resnet50", str(tmp_path / "missing.pth"))


@pytest.mark.parametrize(
    ("network_type", "path"),
    [("radimagenet_resnet50", "w.pt"), ("medicalnet_resnet10_23datasets", "w.pt"), ("alex", "w.pt"), (["vgg"], "w.pt"),
     ("resnet50", None), ("resnet50", "")],
)  # fmt: skip
def test_features_never_come_from_a_hub(monkeypatch, network_type, path):
    def reached(*args, **settings):
        raise AssertionError("a hub was asked")

    monkeypatch.setattr(torch.hub, "load", reached)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", reached)

    with pytest.raises(ConfigError, match="Leave `perceptual` out"):
        MonaiPerceptualDistance(network_type, path)


def test_dice_of_hand_numbers_averages_the_foreground_classes():
    """Nearly hard predictions: class 1 overlaps in 1 of 2 + 1 pixels, class 2 in 1 of 1 + 2, background is left out."""
    predicted, wanted = torch.tensor([[1, 1, 2, 0]]), torch.tensor([[1, 2, 2, 0]])
    logits = 60.0 * torch.nn.functional.one_hot(predicted, 3).movedim(-1, 1)[:, :, None].float()
    target = torch.nn.functional.one_hot(wanted, 3).movedim(-1, 1)[:, :, None].float()

    loss = soft_dice_loss(logits, target, epsilon=1.0)

    torch.testing.assert_close(loss, torch.tensor([1 - (2 * 1 + 1) / (2 + 1 + 1)]))


def test_losses_are_per_sample():
    logits, target = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4).softmax(dim=1)

    together = dice_cross_entropy(logits, target)

    assert together.shape == (3,)
    for at in range(3):
        torch.testing.assert_close(together[at : at + 1], dice_cross_entropy(logits[at : at + 1], target[at : at + 1]))


@pytest.mark.parametrize("is_hard", [True, False])
def test_cross_entropy_equals_that_of_torch(is_hard):
    logits, target = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5).softmax(dim=1)
    if is_hard:
        target = torch.nn.functional.one_hot(target.argmax(dim=1), 3).movedim(-1, 1).float()

    expected = torch.nn.functional.cross_entropy(logits, target, reduction="none").mean(dim=(1, 2))

    torch.testing.assert_close(soft_cross_entropy(logits, target), expected)


def test_perfect_and_opposite_predictions_bound_the_dice_loss():
    target = torch.zeros(1, 2, 8, 8)
    target[:, 1, :4] = 1
    target[:, 0, 4:] = 1

    assert soft_dice_loss(100 * target, target).item() == pytest.approx(0, abs=1e-5)
    assert soft_dice_loss(-100 * target, target).item() == pytest.approx(1 - 1 / 65, abs=1e-5)


def test_segmentation_losses_have_their_derivatives():
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    target = torch.randn(1, 3, 2, 2, dtype=torch.float64).softmax(dim=1)

    assert gradcheck(lambda x: dice_cross_entropy(x, target), logits)


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"`target` must have shape \(1, 2, 4, 4\), got \(1, 3, 4, 4\)"):
        dice_cross_entropy(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))
