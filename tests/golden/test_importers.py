# SPDX-License-Identifier: Apache-2.0
"""Imported networks against the formulas in NumPy, evaluated on the foreign state dicts themselves.

``numpy_stylegan2`` knows nothing of the package's keys, and the package nothing of the foreign ones after importing.
"""

from __future__ import annotations

import foreign_checkpoints as foreign
import numpy as np
import numpy_stylegan2 as formulas
import pytest
import torch

from monai_semigan.extras.importers.adapt import LUMA
from monai_semigan.extras.importers.imports import Imported, import_weights
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter

pytestmark = pytest.mark.golden

CHANNELS = foreign.CHANNELS
NUM_BLOCKS, NUM_LAYERS = len(CHANNELS), 2 * len(CHANNELS)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=["float64", "float32"])


def arrays(state):
    return {key: tensor.numpy() for key, tensor in state.items()}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def built(imported: Imported, dtype: torch.dtype) -> SemiGanSegmenter:
    network = SemiGanSegmenter(**imported.network).to(dtype)
    for name, state in imported.states.items():
        if name != "d_pair":
            getattr(network, name).load_state_dict(state)
    return network.eval().requires_grad_(False)


def assert_equal(actual: torch.Tensor, expected: np.ndarray, *, slack: float = 1.0) -> None:
    """Compare relative to the largest value: single values near zero are differences of large ones."""
    error = np.abs(actual.double().numpy() - expected).max() / np.abs(expected).max()
    assert error < slack * TOLERANCE[actual.dtype], error


@pytest.fixture(scope="module")
def semanticgan() -> tuple[dict, dict]:
    return foreign.semanticgan_files()


@DTYPES
@pytest.mark.parametrize("kind", ["semanticgan", "rosinality", "stylegan2-ada"])
def test_imported_generators_equal_the_formulas(kind, dtype):
    if kind == "stylegan2-ada":
        state = foreign.ada_generator(CHANNELS)
        layout = formulas.AdaLayout(arrays(state))
    else:
        state = foreign.rosinality_generator(CHANNELS, num_classes=3 if kind == "semanticgan" else None)
        layout = formulas.RosinalityLayout(arrays(state))
    imported = import_weights(kind, {"file": {"g_ema": state}}, num_classes=3)
    generator = built(imported, dtype).generator
    z, w_plus = numbers(2, 6), numbers(2, NUM_LAYERS, 5, seed=1)

    w = generator.mapping.map(torch.tensor(z, dtype=dtype))
    image, label_logits = generator.synthesis(torch.tensor(w_plus, dtype=dtype), noise="fixed")

    for at in range(2):
        assert_equal(w[at], formulas.mapped(layout.mapping(), z[at]))
        assert_equal(image[at], formulas.synthesis(layout, w_plus[at], NUM_BLOCKS))
        if kind == "semanticgan":
            assert_equal(label_logits[at], formulas.synthesis(layout, w_plus[at], NUM_BLOCKS, output="label"))


def test_the_constant_that_stylegan2_ada_leaves_out_makes_no_difference():
    state = foreign.ada_generator(CHANNELS)
    generator = built(import_weights("stylegan2-ada", {"f": state}, num_classes=2), torch.float64).generator
    w_plus = numbers(1, NUM_LAYERS, 5)

    image = generator.synthesis.image(torch.tensor(w_plus))[0]

    expected = formulas.synthesis(formulas.AdaLayout(arrays(state)), w_plus[0], NUM_BLOCKS, constant=False)
    assert_equal(image.float(), expected, slack=0.1)


@DTYPES
@pytest.mark.parametrize("kind", ["semanticgan", "stylegan2-ada"])
def test_imported_image_discriminators_equal_the_formulas(kind, dtype):
    images = numbers(4, 3, 32, 32)
    if kind == "stylegan2-ada":
        generator, discriminator = foreign.ada_generator(CHANNELS), foreign.ada_discriminator(CHANNELS)
        p = arrays(discriminator)
        expected = formulas.image_discriminator(
            images, num_blocks=3, group_size=4, get=lambda name: formulas.ada_discriminator(p, name, num_blocks=3)
        )
    else:
        generator, discriminator = (
            foreign.rosinality_generator(CHANNELS, num_classes=3),
            foreign.rosinality_discriminator(CHANNELS),
        )
        p = arrays(discriminator)
        expected = formulas.image_discriminator(
            images, num_blocks=3, group_size=4, get=lambda name: formulas.rosinality_discriminator(p, name)
        )
    network = built(import_weights(kind, {"file": {"G_ema": generator, "D": discriminator}}, num_classes=3), dtype)

    assert_equal(network.d_image(torch.tensor(images, dtype=dtype)), expected)


@DTYPES
def test_imported_pair_discriminators_equal_the_formulas(dtype, semanticgan):
    gan, _ = semanticgan
    imported = import_weights("semanticgan", {"gan.pt": gan})
    discriminator = (
        MultiscaleDiscriminator(image_channels=3, num_classes=3, **imported.pair_discriminator).to(dtype).eval()
    )
    discriminator.load_state_dict(imported.states["d_pair"])
    pair = numbers(6, 32, 32)
    image, label = torch.tensor(pair, dtype=dtype).split(3)

    logits = discriminator(image[None], label[None])

    expected = formulas.pair_discriminator(arrays(gan["d_seg"]), pair, num_scales=3)
    for actual, scale in zip(logits, expected, strict=True):
        assert_equal(actual.detach()[0], scale, slack=10)  # instance norms of 5 x 5 pixels magnify the rounding


@DTYPES
def test_the_imported_encoder_equals_the_formulas(dtype, semanticgan):
    gan, encoder = semanticgan
    network = built(import_weights("semanticgan", {"gan.pt": gan, "encoder.pt": encoder}), dtype)
    image = numbers(3, 32, 32)

    w_plus = network.encoder(torch.tensor(image, dtype=dtype)[None]).w_plus[0]

    heads = list(foreign.head_names(NUM_LAYERS))
    assert_equal(w_plus, formulas.pyramid_encoder(arrays(encoder["e"]), image, heads))


def test_one_label_channel_becomes_two_that_say_the_same():
    gan, _ = foreign.semanticgan_files(num_classes=1)
    imported = import_weights("semanticgan", {"gan.pt": gan})
    network = built(imported, torch.float64)
    discriminator = (
        MultiscaleDiscriminator(image_channels=3, num_classes=2, **imported.pair_discriminator).double().eval()
    )
    discriminator.load_state_dict(imported.states["d_pair"])
    w_plus = numbers(1, NUM_LAYERS, 5)

    image, label_logits = network.generator.synthesis(torch.tensor(w_plus))

    layout = formulas.RosinalityLayout(arrays(gan["g_ema"]))
    expected = formulas.synthesis(layout, w_plus[0], NUM_BLOCKS, output="label")
    assert_equal(label_logits[0], np.concatenate([-expected, expected]))
    pair = np.concatenate([image[0].numpy(), expected])
    for actual, scale in zip(
        discriminator(image, label_logits),
        formulas.pair_discriminator(arrays(gan["d_seg"]), pair, num_scales=3),
        strict=True,
    ):
        assert_equal(actual.detach()[0], scale, slack=100)


def test_grey_networks_are_what_color_ones_are_on_grey_images(semanticgan):
    gan, encoder = semanticgan
    sources = {"gan.pt": gan, "encoder.pt": encoder}
    color, grey = (import_weights("semanticgan", sources, to_grey=to_grey) for to_grey in (False, True))
    network, network_grey = built(color, torch.float64), built(grey, torch.float64)
    discriminator, discriminator_grey = (
        MultiscaleDiscriminator(image_channels=channels, num_classes=3, **imported.pair_discriminator).double().eval()
        for channels, imported in ((3, color), (1, grey))
    )
    discriminator.load_state_dict(color.states["d_pair"])
    discriminator_grey.load_state_dict(grey.states["d_pair"])
    w_plus = torch.tensor(numbers(1, NUM_LAYERS, 5))

    image, label_logits = network.generator.synthesis(w_plus)
    image_grey, label_logits_grey = network_grey.generator.synthesis(w_plus)

    luma = (image * torch.tensor(LUMA, dtype=image.dtype)[:, None, None]).sum(dim=1, keepdim=True)
    repeated = luma.repeat(1, 3, 1, 1)
    torch.testing.assert_close(image_grey, luma)
    torch.testing.assert_close(label_logits_grey, label_logits)
    torch.testing.assert_close(network_grey.d_image(luma), network.d_image(repeated))
    torch.testing.assert_close(network_grey.encoder(luma).w_plus, network.encoder(repeated).w_plus)
    torch.testing.assert_close(discriminator_grey(luma, label_logits)[0], discriminator(repeated, label_logits)[0])
