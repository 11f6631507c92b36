# SPDX-License-Identifier: Apache-2.0
"""Neighbouring slices as starts and as anchors of the inversion."""

from __future__ import annotations

from dataclasses import replace

import torch

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.embedding import Embedding

SETTINGS = InversionSettings(steps=3, patience=0, encoder_weight=0.0)


def inversion_of(network, settings: InversionSettings) -> Inversion:
    return Inversion(network.generator, network.encoder, FeatureDistance(network.d_image.features), settings)


def test_the_start_is_the_best_of_encoder_and_neighbors(tiny_network) -> None:
    """Targets that the generator drew itself: their styles, given as a neighbour, cannot be beaten."""
    torch.manual_seed(0)
    mapping = tiny_network.generator.mapping
    w_true = mapping(torch.randn(3, mapping.z_dim))
    image = tiny_network.generator.synthesis.image(w_true).detach()
    neighbors = torch.full((3, 2, *w_true.shape[1:]), torch.nan)
    neighbors[0, 1] = w_true[0].detach()  # the second neighbour knows; the first does not exist
    neighbors[1, 0] = 50.0  # a neighbour that is far off
    result = inversion_of(tiny_network, replace(SETTINGS, steps=0))(image, neighbors=neighbors)
    torch.testing.assert_close(result.embedding.w_plus[0], w_true[0].detach())
    torch.testing.assert_close(result.embedding.w_plus[1:], result.encoded.w_plus[1:])
    assert result.trace[0, 0] < 1e-6


def test_a_start_from_a_neighbor_keeps_the_slices_own_offsets(make_segmenter) -> None:
    torch.manual_seed(0)
    network = make_segmenter(feature_sizes=[8, 16])
    with torch.no_grad():
        own = network.encoder(torch.rand(2, 1, 32, 32) * 2 - 1)
        w_plus = own.w_plus + 0.5 * torch.randn(own.w_plus.shape)
        image = network.generator.synthesis.image(own.with_styles(w_plus))  # these styles and offsets cannot be beaten

    class Fixed(torch.nn.Module):
        image_channels = 1

        def forward(self, _image: torch.Tensor) -> Embedding:
            return own

    inversion = inversion_of(network, replace(SETTINGS, steps=0))
    inversion.encoder = Fixed()
    result = inversion(image, neighbors=w_plus[:, None])

    torch.testing.assert_close(result.embedding.w_plus, w_plus)
    assert all(torch.equal(a, b) for a, b in zip(result.embedding.features, own.features, strict=True))
    assert bool((result.trace[:, 0] < 1e-4).all())


def test_missing_neighbors_change_nothing(tiny_network) -> None:
    image = torch.rand(2, 1, 32, 32) * 2 - 1
    settings = replace(SETTINGS, neighbor_weight=5.0)
    alone = inversion_of(tiny_network, settings)(image)
    shape = (2, 2, *alone.embedding.w_plus.shape[1:])
    nowhere = inversion_of(tiny_network, settings)(image, neighbors=torch.full(shape, torch.nan))
    torch.testing.assert_close(nowhere.embedding.w_plus, alone.embedding.w_plus, rtol=0, atol=0)
    torch.testing.assert_close(nowhere.trace, alone.trace, rtol=0, atol=0)


def test_the_weight_pulls_to_the_neighbors_mean(tiny_network) -> None:
    image = torch.rand(1, 1, 32, 32) * 2 - 1
    encoded = inversion_of(tiny_network, replace(SETTINGS, steps=0))(image).embedding.w_plus
    neighbors = torch.stack([encoded + 1, encoded + 3], dim=1)
    ends = [
        inversion_of(tiny_network, replace(SETTINGS, steps=20, neighbor_weight=weight))(image, neighbors=neighbors)
        for weight in (0.0, 100.0)
    ]
    free, pulled = ((end.embedding.w_plus - (encoded + 2)).abs().mean() for end in ends)
    assert pulled < free
