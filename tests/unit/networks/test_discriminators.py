# SPDX-License-Identifier: Apache-2.0
"""Both discriminators: sizes, batch sizes, memory format, dtypes, second derivatives."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator


def image_discriminator(image_size: int = 32, **settings) -> ImageDiscriminator:
    torch.manual_seed(0)
    channels = [4] * (image_size.bit_length() - 2)
    return ImageDiscriminator(image_size=image_size, **({"channels": channels} | settings))


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_image_discriminator_gives_one_logit_per_image(size, image_channels):
    discriminator = image_discriminator(size, image_channels=image_channels)

    logits = discriminator(torch.randn(2, image_channels, size, size))

    assert logits.shape == (2,) and logits.dtype == torch.float32
    assert [f.shape[-1] for f in discriminator.features(torch.randn(1, image_channels, size, size))] == [
        side for side in (64, 32, 16, 8, 4) if side < size
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 5, 7])
def test_image_discriminator_takes_any_batch_size(batch_size):
    discriminator, images = image_discriminator(), torch.randn(batch_size, 1, 32, 32, requires_grad=True)

    (grad,) = torch.autograd.grad(discriminator(images).sum(), images)

    assert grad.shape == images.shape and bool(grad.isfinite().all())


def test_features_of_an_image_do_not_depend_on_its_batch_mates():
    discriminator, images = image_discriminator(), torch.randn(3, 1, 32, 32)

    for together, alone in zip(discriminator.features(images), discriminator.features(images[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("image_channels", [1, 3])
def test_image_discriminator_works_in_channels_last_from_the_first_layer_on(image_channels):
    discriminator = image_discriminator(image_channels=image_channels)
    formats = []
    for module in (
        discriminator.from_image,
        *discriminator.blocks,
        discriminator.blocks[0].conv1,
        discriminator.blocks[0].skip,
    ):
        module.register_forward_hook(
            lambda _m, _i, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
        )

    discriminator(torch.randn(2, image_channels, 32, 32))

    assert formats == [True] * 6


def test_bfloat16_is_close_to_float32_and_returns_float32():
    discriminator, images = image_discriminator(channels=[8, 8, 8, 8]), torch.randn(4, 1, 32, 32)
    expected = discriminator(images)
    discriminator.compute_dtype = torch.bfloat16

    actual = discriminator(images)

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, atol=0.1, rtol=0.1)
    assert discriminator.features(images)[0].dtype == torch.bfloat16


def test_the_squared_gradient_of_each_discriminator_can_be_differentiated_again():
    image, label = torch.randn(2, 1, 32, 32, requires_grad=True), torch.randn(2, 2, 32, 32)
    for discriminator, inputs in (
        (image_discriminator(), (image,)),
        (MultiscaleDiscriminator(num_scales=2, base_channels=2), (image, label)),
    ):
        output = discriminator(*inputs)
        total = output.sum() if isinstance(output, torch.Tensor) else sum(scale.mean() for scale in output)
        (grad,) = torch.autograd.grad(total, image, create_graph=True)
        grad.square().sum().backward()

        first = (
            discriminator.from_image.weight
            if isinstance(discriminator, ImageDiscriminator)
            else discriminator.critics[0].first.weight
        )
        assert first.grad.abs().sum() > 0


@pytest.mark.parametrize(("size", "sides"), [(32, [7, 5, 4]), (64, [11, 7, 5]), (128, [19, 11, 7])])
def test_pair_discriminator_gives_patches_at_every_scale(size, sides):
    discriminator = MultiscaleDiscriminator(image_channels=3, num_classes=3, base_channels=2)

    logits = discriminator(torch.randn(2, 3, size, size), torch.randn(2, 3, size, size))

    assert [tuple(scale.shape) for scale in logits] == [(2, 1, side, side) for side in sides]


def test_pair_discriminator_sees_both_image_and_label():
    discriminator = MultiscaleDiscriminator(num_scales=1, base_channels=2).eval()
    image, label = torch.randn(1, 1, 32, 32), torch.randn(1, 2, 32, 32)
    logits = discriminator(image, label)[0]

    assert not torch.allclose(logits, discriminator(image + torch.randn_like(image), label)[0])
    assert not torch.allclose(logits, discriminator(image, label + torch.randn_like(label))[0])


def test_pair_discriminator_judges_each_pair_alone():
    discriminator = MultiscaleDiscriminator(num_scales=2, base_channels=2).eval()
    image, label = torch.randn(3, 1, 32, 32), torch.randn(3, 2, 32, 32)

    for together, alone in zip(discriminator(image, label), discriminator(image[2:], label[2:]), strict=True):
        torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-5)


def test_middle_convolutions_of_the_pair_discriminator_are_spectrally_normalized():
    discriminator = MultiscaleDiscriminator(num_scales=1, base_channels=2).critics[0]
    for _ in range(200):
        discriminator(torch.randn(1, 3, 16, 16))

    for conv in discriminator.middle:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, rel=1e-2)
    assert not hasattr(discriminator.first, "parametrizations")


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, 1, 32, 32\), got \(2, 3, 32, 32\)"):
        image_discriminator()(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ShapeError, match=r"`label` must have shape \(2, 2, 32, 32\), got \(1, 2, 32, 32\)"):
        MultiscaleDiscriminator(base_channels=2)(torch.zeros(2, 1, 32, 32), torch.zeros(1, 2, 32, 32))
    with pytest.raises(ConfigError, match="`channels` must have 4"):
        image_discriminator(channels=[4])
