# SPDX-License-Identifier: Apache-2.0
"""The encoder: sizes, independence of batch mates, which level predicts which style."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.encoder import Encoder


def make(*, num_layers: int = 8, **settings) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(num_layers=num_layers, w_dim=5, **({"channels": (4, 4, 4, 4), "head_channels": 4} | settings))
    encoder.latent_avg.normal_()
    return encoder


@pytest.mark.parametrize(
    ("height", "width", "image_channels", "num_layers"), [(32, 32, 1, 8), (64, 96, 3, 10), (128, 40, 1, 12)]
)
def test_one_network_takes_any_size(height, width, image_channels, num_layers):
    encoder = make(image_channels=image_channels, num_layers=num_layers)

    w_plus = encoder(torch.randn(2, image_channels, height, width)).w_plus

    assert w_plus.shape == (2, num_layers, 5)


@pytest.mark.parametrize("channels", [(4, 4, 4, 4), (2, 4, 6, 8, 8), (3, 5, 7, 9, 11, 13)])
def test_any_trunk_of_at_least_four_widths(channels):
    assert make(channels=channels)(torch.randn(1, 1, 32, 32)).w_plus.shape == (1, 8, 5)


def test_it_starts_near_the_mean_of_w_and_follows_it():
    encoder, images = make(), torch.randn(4, 1, 32, 32)

    offsets = encoder(images).w_plus - encoder.latent_avg

    assert offsets.abs().max() < 0.05
    encoder.latent_avg += 3
    torch.testing.assert_close(encoder(images).w_plus - encoder.latent_avg, offsets, atol=1e-5, rtol=0)


def test_training_and_evaluation_compute_the_same():
    encoder, images = make(), torch.randn(2, 1, 32, 32)

    torch.testing.assert_close(encoder.train()(images).w_plus, encoder.eval()(images).w_plus, rtol=0, atol=0)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_prediction_does_not_depend_on_its_batch_mates(batch_size):
    encoder = make().double().train()
    images = torch.randn(batch_size, 1, 32, 32, dtype=torch.float64)
    mates = torch.cat([images[:1], 1e3 * torch.randn(batch_size - 1, 1, 32, 32, dtype=torch.float64)])

    torch.testing.assert_close(encoder(images).w_plus[:1], encoder(mates).w_plus[:1], rtol=0, atol=1e-12)


def test_coarse_levels_predict_coarse_styles():
    """Styles 0 to 2 read the coarsest level alone; the finer heads read the levels below as well."""
    encoder, images = make(num_layers=9), torch.randn(1, 1, 32, 32)
    before = encoder(images).w_plus
    with torch.no_grad():
        for at, styles in ((0, slice(7, 9)), (1, slice(3, 7)), (2, slice(0, 3))):
            bias = encoder.heads[at].bias
            bias += 1
            changed = (encoder(images).w_plus - before).abs().amax(dim=(0, 2)) > 0.5
            bias -= 1
            expected = torch.zeros(9, dtype=torch.bool)
            expected[styles] = True
            assert torch.equal(changed, expected)


@pytest.mark.parametrize("num_layers", [8, 9, 18])
def test_any_number_of_styles(num_layers):
    assert make(num_layers=num_layers)(torch.randn(1, 1, 32, 32)).w_plus.shape == (1, num_layers, 5)


def test_an_image_of_another_kind_is_refused():
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, 1, H, W\), got \(2, 3, 32, 32\)"):
        make()(torch.zeros(2, 3, 32, 32))


def test_a_trunk_that_is_too_short_is_refused():
    with pytest.raises(ConfigError, match=r"`channels` must have at least four widths, got \[4, 4, 4\]"):
        make(channels=(4, 4, 4))
