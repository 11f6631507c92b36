# SPDX-License-Identifier: Apache-2.0
"""The synthesis network: sizes, which style drives what, noise, dtypes."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.synthesis import check_channels, default_channels


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (32, {"num_classes": 2, "image_channels": 3, "channels": [3, 7, 2, 1]}),
        (64, {"num_classes": 3, "image_channels": 1, "channels": [1, 2, 3, 4, 5]}),
        (128, {"num_classes": 2, "image_channels": 1, "channels": [4, 4, 2, 2, 2, 2]}),
    ],
)
def test_sizes_for_any_channel_table(make_generator, size, settings):
    generator = make_generator(size, **settings)

    image, label_logits = generator(torch.randn(3, 6))

    assert image.shape == (3, settings["image_channels"], size, size)
    assert label_logits.shape == (3, settings["num_classes"], size, size)
    assert image.dtype == label_logits.dtype == torch.float32
    assert generator.num_layers == {32: 8, 64: 10, 128: 12}[size]


def outputs_by_size(synthesis, w_plus):
    """Feature maps and head outputs by their side in pixels."""
    seen: dict[tuple[str, int], torch.Tensor] = {}
    hooks = []
    for block in synthesis.blocks:
        for name in ("conv_up", "conv", "to_image", "to_label"):
            module = getattr(block, name)
            if module is not None:

                def keep(_module, _inputs, output, name=name):
                    seen[name, output.shape[-1]] = output.detach()

                hooks.append(module.register_forward_hook(keep))
    synthesis(w_plus)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("index", range(8))
def test_a_style_drives_its_layers_and_what_comes_after_them(make_generator, index):
    """Index 0: 4 px; 2b - 1, 2b, 2b + 1: first and second convolution and heads at ``2 ** (b + 2)`` px."""
    synthesis = make_generator().synthesis
    order = [("conv", 4), ("heads", 4)]
    for size in (8, 16, 32):
        order += [("conv_up", size), ("conv", size), ("heads", size)]
    first_driven = {
        0: {("conv", 4)},
        1: {("heads", 4), ("conv_up", 8)},
        2: {("conv", 8)},
        3: {("heads", 8), ("conv_up", 16)},
        4: {("conv", 16)},
        5: {("heads", 16), ("conv_up", 32)},
        6: {("conv", 32)},
        7: {("heads", 32)},
    }[index]
    w_plus = torch.randn(1, 8, 5)
    changed = w_plus.clone()
    changed[:, index] += 1

    before, after = outputs_by_size(synthesis, w_plus), outputs_by_size(synthesis, changed)
    differs = {key: not torch.equal(before[key], after[key]) for key in before}

    for name, size in order:
        later = [step for step in order if step[0] != "heads"]
        features = next((step for step in first_driven if step[0] != "heads"), None)
        if name == "heads":
            expected = ("heads", size) in first_driven or (
                features is not None and later.index(features) <= later.index(("conv", size))
            )
            assert differs["to_image", size] == differs["to_label", size] == expected, (name, size)
        else:
            expected = features is not None and later.index(features) <= later.index((name, size))
            assert differs[name, size] == expected, (name, size)


def test_a_sample_does_not_depend_on_its_batch_mates(make_generator):
    synthesis = make_generator().synthesis
    w_plus = torch.randn(3, 8, 5)

    together = synthesis(w_plus)

    for at in range(3):
        alone = synthesis(w_plus[at : at + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[at : at + 1], b, atol=1e-5, rtol=1e-5)


def test_noise_follows_its_strength(make_generator):
    synthesis = make_generator().synthesis
    w_plus = torch.randn(1, 8, 5)

    torch.testing.assert_close(synthesis.image(w_plus), synthesis.image(w_plus, noise="none"), rtol=0, atol=0)
    with torch.no_grad():
        synthesis.blocks[2].conv.noise_strength.fill_(1)
    fixed = synthesis.image(w_plus)
    random = [synthesis.image(w_plus, noise="random") for _ in range(2)]

    assert not torch.equal(fixed, synthesis.image(w_plus, noise="none"))
    assert not torch.equal(*random)
    torch.testing.assert_close(fixed, synthesis.image(w_plus), rtol=0, atol=0)


def test_random_noise_differs_between_samples(make_generator):
    synthesis = make_generator().synthesis
    with torch.no_grad():
        synthesis.blocks[3].conv.noise_strength.fill_(1)
    image = synthesis.image(torch.randn(1, 8, 5).expand(2, -1, -1), noise="random")

    assert not torch.equal(image[0], image[1])


def test_bfloat16_is_close_to_float32_and_returns_float32(make_generator):
    synthesis = make_generator().synthesis
    w_plus = torch.randn(2, 8, 5)
    expected = synthesis(w_plus)
    synthesis.compute_dtype = torch.bfloat16

    actual = synthesis(w_plus)

    for narrow, wide in zip(actual, expected, strict=True):
        assert narrow.dtype == torch.float32
        assert (narrow - wide).norm() / wide.norm() < 0.03


def test_rendering_can_be_differentiated_twice(make_generator):
    synthesis = make_generator(channels=[2, 2, 1, 1]).synthesis.double()
    direction = torch.randn(1, 8, 5, dtype=torch.float64)
    at = torch.zeros(1, 8, 5, dtype=torch.float64)

    def along(t):
        image, label = synthesis(at + t * direction)
        return (image * torch.linspace(0, 1, 1024, dtype=torch.float64).reshape(32, 32)).mean() + label.square().mean()

    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(along, t)
    assert torch.autograd.gradgradcheck(along, t)


def test_the_default_table_is_that_of_the_paper():
    assert default_channels(256) == (512, 512, 512, 512, 512, 256, 128)
    assert default_channels(64, multiplier=1) == (512, 512, 512, 512, 256)
    assert check_channels(64, None) == (512, 512, 512, 512, 512)
    assert check_channels(32, [1, 2, 3, 4]) == (1, 2, 3, 4)


@pytest.mark.parametrize("size", [0, 16, 31, 48, 2048, -32])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ConfigError, match=rf"`image_size` must be a power of two from 32 to 1024, got {size}\."):
        check_channels(size, None)


@pytest.mark.parametrize("channels", [[], [8] * 5, [8, 8, 8, 0]])
def test_tables_of_another_length_or_without_channels_are_refused(channels):
    with pytest.raises(ConfigError, match=r"4 positive entries \(4, 8, ... 32 px\)"):
        check_channels(32, channels)


def test_styles_of_another_shape_are_refused(make_generator):
    with pytest.raises(ShapeError, match=r"`w_plus` must have shape \(N, 8, 5\), got \(2, 7, 5\)"):
        make_generator().synthesis(torch.zeros(2, 7, 5))
