"""Generator, discriminators, encoder: shapes, indices, state."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal

from monai_semigan.errors import CheckpointError, ConfigError, ShapeError
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.freezing import frozen
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.layers import minibatch_stddev
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.synthesis import default_channels


def tiny_generator(image_size=32, **changes):
    torch.manual_seed(0)
    settings = {"num_classes": 3, "z_dim": 6, "w_dim": 5, "num_mapping_layers": 2}
    channels = [4] * (image_size.bit_length() - 2)
    return Generator(image_size=image_size, channels=channels, **(settings | changes))


@pytest.mark.parametrize(("size", "image_channels", "num_classes"), [(32, 1, 2), (64, 3, 4), (256, 1, 2)])
def test_generator_returns_image_and_label_of_its_size(size, image_channels, num_classes):
    generator = tiny_generator(size, image_channels=image_channels, num_classes=num_classes)

    image, label_logits = generator(torch.randn(2, 6))

    assert image.shape == (2, image_channels, size, size)
    assert label_logits.shape == (2, num_classes, size, size)
    assert generator.num_layers == 2 * int(math.log2(size)) - 2


def test_default_channels_are_those_of_configuration_f():
    assert default_channels(1024) == (512, 512, 512, 512, 512, 256, 128, 64, 32)


def test_parameter_count_equals_the_published_architecture():
    # 22,572,047 at 32 px with one image and one label channel, less the label head's K = 1 instead of 2; see below.
    generator = Generator(image_size=32, num_classes=2)
    one_class_less = sum(block.to_label.weight[:1].numel() + 1 for block in generator.synthesis.blocks)

    assert sum(parameter.numel() for parameter in generator.parameters()) - one_class_less == 22_572_047
    assert sum(p.numel() for p in ImageDiscriminator(image_size=32).parameters()) == 21_506_049


@pytest.mark.golden
def test_generator_equals_an_independent_implementation():
    """The formulas of StyleGAN2 with output skips, written again with NumPy and SciPy."""
    generator = tiny_generator().double()
    synthesis = generator.synthesis
    with torch.no_grad():
        for block in synthesis.blocks:
            for conv in filter(None, (block.conv_up, block.conv)):
                conv.noise_strength.fill_(0.3)
                conv.bias.normal_()
    w_plus = torch.randn(1, generator.num_layers, 5, dtype=torch.float64)
    p = {name: value.detach().numpy() for name, value in synthesis.state_dict().items()}
    taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64

    def styled(x, w, name, demodulate=True):
        style = w @ (p[f"{name}.affine.weight"] / math.sqrt(5)).T + p[f"{name}.affine.bias"]
        constant = 1 / math.sqrt(x.shape[0] * p[f"{name}.weight"].shape[-1] ** 2)
        weight = p[f"{name}.weight"] * style[None, :, None, None] * constant
        if demodulate:
            weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        return weight

    def convolve(x, weight):
        return np.stack([sum(signal.correlate2d(c, k, mode="same") for c, k in zip(x, w, strict=True)) for w in weight])

    def up_convolve(x, weight):
        spread = np.zeros((x.shape[0], 2 * x.shape[1] - 1, 2 * x.shape[2] - 1))
        spread[:, ::2, ::2] = x
        full = np.stack([sum(signal.convolve2d(c, k) for c, k in zip(spread, w, strict=True)) for w in weight])
        return np.stack([signal.convolve2d(np.pad(c, 1), 4 * taps, mode="valid") for c in full])

    def upsample(x):
        spread = np.zeros((x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))
        spread[:, ::2, ::2] = x
        return np.stack([signal.convolve2d(np.pad(c, ((2, 1), (2, 1))), 4 * taps, mode="valid") for c in spread])

    def activate(x, name):
        x = x + 0.3 * p[f"{name}.noise_const"][0] + p[f"{name}.bias"][:, None, None]
        return np.where(x >= 0, x, 0.2 * x) * math.sqrt(2)

    w = w_plus[0].numpy()
    x, outputs = p["const"][0], {"to_image": None, "to_label": None}
    for index in range(4):
        if index:
            name = f"blocks.{index}.conv_up"
            x = activate(up_convolve(x, styled(x, w[2 * index - 1], name)), name)
        name = f"blocks.{index}.conv"
        x = activate(convolve(x, styled(x, w[2 * index], name)), name)
        for head, below in outputs.items():
            name = f"blocks.{index}.{head}"
            y = convolve(x, styled(x, w[2 * index + 1], name, demodulate=False)) + p[f"{name}.bias"][:, None, None]
            outputs[head] = y if below is None else upsample(below) + y

    image, label_logits = synthesis(w_plus)

    np.testing.assert_allclose(image[0].detach().numpy(), outputs["to_image"], atol=1e-12)
    np.testing.assert_allclose(label_logits[0].detach().numpy(), outputs["to_label"], atol=1e-12)


def test_last_style_moves_only_the_heads_of_the_last_resolution():
    generator = tiny_generator()
    w_plus = torch.randn(1, generator.num_layers, 5)
    seen = []
    for block in generator.synthesis.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach().clone()))
    image, label = generator.synthesis(w_plus)
    changed = w_plus.clone()
    changed[:, -1] += 1
    other_image, other_label = generator.synthesis(changed)

    for before, after in zip(seen[:4], seen[4:], strict=True):
        torch.testing.assert_close(before, after)
    assert not torch.allclose(image, other_image)
    assert not torch.allclose(label, other_label)


def test_heads_share_their_style_with_the_next_convolution():
    generator = tiny_generator()
    w_plus = torch.randn(1, generator.num_layers, 5)
    seen = []
    for block in generator.synthesis.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach().clone()))
    generator.synthesis(w_plus)
    changed = w_plus.clone()
    changed[:, 1] += 1  # heads at 4 px, first convolution at 8 px
    generator.synthesis(changed)

    torch.testing.assert_close(seen[0], seen[4])
    assert not torch.allclose(seen[1], seen[5])


def test_rendering_the_image_alone_gives_the_same_image():
    generator = tiny_generator()
    w_plus = torch.randn(2, generator.num_layers, 5)

    torch.testing.assert_close(generator.synthesis.image(w_plus), generator.synthesis(w_plus)[0])


def test_noise_modes():
    generator = tiny_generator()
    with torch.no_grad():
        for block in generator.synthesis.blocks:
            block.conv.noise_strength.fill_(1)
    w_plus = torch.randn(1, generator.num_layers, 5)
    modes = ("fixed", "fixed", "random", "none")
    fixed, again, random, none = (generator.synthesis.image(w_plus, noise=mode) for mode in modes)

    torch.testing.assert_close(fixed, again)
    assert not torch.allclose(fixed, random)
    assert not torch.allclose(fixed, none)


def test_truncation_interpolates_to_the_tracked_mean():
    mapping = tiny_generator().mapping
    z = torch.randn(3, 6)
    mapping.train()
    mapping(z)
    tracked = mapping.latent_avg.clone()
    mapping.eval()
    mapping(z)

    torch.testing.assert_close(mapping.latent_avg, tracked)
    assert tracked.abs().sum() > 0
    torch.testing.assert_close(mapping(z, truncation_psi=0.0), tracked.expand(3, mapping.num_layers, 5))
    partly = mapping(z, truncation_psi=0.0, truncation_cutoff=2)
    torch.testing.assert_close(partly[:, 2:], mapping(z)[:, 2:])
    torch.testing.assert_close(partly[:, :2], tracked.expand(3, 2, 5))


@pytest.mark.parametrize("batch_size", [1, 3, 5, 8])
def test_image_discriminator_takes_any_batch_size(batch_size):
    discriminator = ImageDiscriminator(image_size=32, image_channels=3, channels=[4, 4, 4, 4])

    assert discriminator(torch.randn(batch_size, 3, 32, 32)).shape == (batch_size,)
    assert [tuple(f.shape[2:]) for f in discriminator.features(torch.randn(1, 3, 32, 32))] == [(16, 16), (8, 8), (4, 4)]


def test_discriminator_keeps_channels_last():
    discriminator = ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4])

    for feature in discriminator.features(torch.randn(2, 1, 32, 32)):
        assert feature.is_contiguous(memory_format=torch.channels_last)


def test_minibatch_stddev_equals_numpy():
    x = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    groups = x.float().numpy().reshape(3, 2, 2, 3, 3)  # groups of 3, strided over the batch
    expected = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))

    y = minibatch_stddev(x, group_size=4)

    np.testing.assert_allclose(y[:, 2, 0, 0].numpy(), np.tile(expected, 3), rtol=1e-5)


def test_pair_discriminator_returns_one_map_per_scale():
    discriminator = MultiscaleDiscriminator(image_channels=1, num_classes=3, num_scales=3, base_channels=4)

    logits = discriminator(torch.randn(2, 1, 32, 32), torch.randn(2, 3, 32, 32))

    assert [tuple(scale.shape[:2]) for scale in logits] == [(2, 1)] * 3
    assert logits[0].shape[2] > logits[1].shape[2] > logits[2].shape[2]
    with pytest.raises(ShapeError, match="`label`"):
        discriminator(torch.randn(2, 1, 32, 32), torch.randn(2, 2, 32, 32))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_encoder_takes_any_size_and_starts_at_the_mean(size):
    encoder = Encoder(num_layers=8, w_dim=5, channels=(4, 4, 4, 4), head_channels=4)
    encoder.latent_avg.normal_()

    w_plus = encoder(torch.randn(2, 1, size, size)).w_plus

    assert w_plus.shape == (2, 8, 5)
    torch.testing.assert_close(w_plus, encoder.latent_avg.expand(2, 8, 5), atol=0.1, rtol=0)


def test_encoding_does_not_depend_on_batch_mates():
    encoder = Encoder(num_layers=8, w_dim=5, channels=(4, 8, 8, 8), head_channels=4).double().train()
    for head in encoder.heads:
        torch.nn.init.normal_(head.weight)
    images = torch.randn(4, 1, 32, 32, dtype=torch.float64)

    torch.testing.assert_close(encoder(images).w_plus[1:2], encoder(images[1:2]).w_plus, atol=1e-12, rtol=0)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="got 48"):
        Generator(image_size=48, num_classes=2)
    with pytest.raises(ConfigError, match="4 positive entries"):
        Generator(image_size=32, num_classes=2, channels=[8, 8])
    with pytest.raises(ConfigError, match="`num_classes`"):
        Generator(image_size=32, num_classes=1)
    with pytest.raises(ConfigError, match="`image_channels`"):
        Generator(image_size=32, num_classes=2, image_channels=2)
    with pytest.raises(ShapeError, match="divisible by 8, got 36 x 32"):
        Encoder(num_layers=8, w_dim=4, channels=(4, 4, 4, 4))(torch.zeros(1, 1, 36, 32))
    with pytest.raises(ConfigError, match="four widths"):
        Encoder(num_layers=8, w_dim=4, channels=(4, 4))


def test_untrained_network_refuses(tiny_settings):
    network = SemiGanSegmenter(**tiny_settings)

    with pytest.raises(CheckpointError, match="is_trained"):
        network.require_trained()
    network.load_state_dict({"encoder.stem.bias": torch.zeros(8)}, strict=False)
    with pytest.raises(CheckpointError):
        network.require_trained()


def test_freezing_is_undone_even_after_an_error():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)

    def fail() -> None:
        with frozen(layer):
            assert not layer.weight.requires_grad
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad
