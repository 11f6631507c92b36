# SPDX-License-Identifier: Apache-2.0
"""Both critics: sizes, batch sizes, memory format, dtypes, second derivatives."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator


def image_critic(image_size: int = 32, **settings) -> ImageDiscriminator:
    torch.manual_seed(0)
    channels = [4] * (image_size.bit_length() - 2)
    return ImageDiscriminator(image_size=image_size, **({"channels": channels} | settings))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_image_critic_gives_one_logit_per_image(size, image_channels):
    critic = image_critic(size, image_channels=image_channels)

    logits = critic(torch.randn(2, image_channels, size, size))

    assert logits.shape == (2,) and logits.dtype == torch.float32
    assert [f.shape[-1] for f in critic.features(torch.randn(1, image_channels, size, size))] == [
        side for side in (64, 32, 16, 8, 4) if side < size
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 5, 7])
def test_image_critic_takes_any_batch_size(batch_size):
    critic, images = image_critic(), torch.randn(batch_size, 1, 32, 32, requires_grad=True)

    (grad,) = torch.autograd.grad(critic(images).sum(), images)

    assert grad.shape == images.shape and bool(grad.isfinite().all())


def test_features_of_an_image_do_not_depend_on_its_batch_mates():
    critic, images = image_critic(), torch.randn(3, 1, 32, 32)

    for together, alone in zip(critic.features(images), critic.features(images[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("image_channels", [1, 3])
def test_image_critic_works_in_channels_last_from_the_first_layer_on(image_channels):
    critic = image_critic(image_channels=image_channels)
    formats = []
    for module in (critic.from_image, *critic.blocks, critic.blocks[0].conv1, critic.blocks[0].skip):
        module.register_forward_hook(
            lambda _m, _i, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
        )

    critic(torch.randn(2, image_channels, 32, 32))

    assert formats == [True] * 6


def test_bfloat16_is_close_to_float32_and_returns_float32():
    critic, images = image_critic(channels=[8, 8, 8, 8]), torch.randn(4, 1, 32, 32)
    expected = critic(images)
    critic.compute_dtype = torch.bfloat16

    actual = critic(images)

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, atol=0.1, rtol=0.1)
    assert critic.features(images)[0].dtype == torch.bfloat16


def test_the_squared_gradient_of_each_critic_can_be_differentiated_again():
    image, label = torch.randn(2, 1, 32, 32, requires_grad=True), torch.randn(2, 2, 32, 32)
    for critic, inputs in (
        (image_critic(), (image,)),
        (MultiscaleDiscriminator(num_scales=2, base_channels=2), (image, label)),
    ):
        output = critic(*inputs)
        total = output.sum() if isinstance(output, torch.Tensor) else sum(scale.mean() for scale in output)
        (grad,) = torch.autograd.grad(total, image, create_graph=True)
        grad.square().sum().backward()

        first = critic.from_image.weight if isinstance(critic, ImageDiscriminator) else critic.critics[0].first.weight
        assert first.grad.abs().sum() > 0


@pytest.mark.parametrize(("size", "sides"), [(32, [7, 5, 4]), (64, [11, 7, 5]), (128, [19, 11, 7])])
def test_pair_critic_gives_patches_at_every_scale(size, sides):
    critic = MultiscaleDiscriminator(image_channels=3, num_classes=3, base_channels=2)

    logits = critic(torch.randn(2, 3, size, size), torch.randn(2, 3, size, size))

    assert [tuple(scale.shape) for scale in logits] == [(2, 1, side, side) for side in sides]


def test_pair_critic_sees_both_image_and_label():
    critic = MultiscaleDiscriminator(num_scales=1, base_channels=2).eval()
    image, label = torch.randn(1, 1, 32, 32), torch.randn(1, 2, 32, 32)
    logits = critic(image, label)[0]

    assert not torch.allclose(logits, critic(image + torch.randn_like(image), label)[0])
    assert not torch.allclose(logits, critic(image, label + torch.randn_like(label))[0])


def test_pair_critic_judges_each_pair_alone():
    critic = MultiscaleDiscriminator(num_scales=2, base_channels=2).eval()
    image, label = torch.randn(3, 1, 32, 32), torch.randn(3, 2, 32, 32)

    for together, alone in zip(critic(image, label), critic(image[2:], label[2:]), strict=True):
        torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-5)


def test_middle_convolutions_of_the_pair_critic_are_spectrally_normalized():
    critic = MultiscaleDiscriminator(num_scales=1, base_channels=2).critics[0]
    for _ in range(200):
        critic(torch.randn(1, 3, 16, 16))

    for conv in critic.middle:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, rel=1e-2)
    assert not hasattr(critic.first, "parametrizations")


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, 1, 32, 32\), got \(2, 3, 32, 32\)"):
        image_critic()(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ShapeError, match=r"`label` must have shape \(2, 2, 32, 32\), got \(1, 2, 32, 32\)"):
        MultiscaleDiscriminator(base_channels=2)(torch.zeros(2, 1, 32, 32), torch.zeros(1, 2, 32, 32))
    with pytest.raises(ConfigError, match="`channels` must have 4"):
        image_critic(channels=[4])
