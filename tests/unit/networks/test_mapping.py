# SPDX-License-Identifier: Apache-2.0
"""The mapping network: the mean of w, truncation."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ShapeError
from monai_semigan.networks.mapping import LATENT_AVG_DECAY, MappingNetwork


@pytest.fixture
def mapping():
    torch.manual_seed(0)
    return MappingNetwork(z_dim=6, w_dim=5, num_layers=8, num_mapping_layers=2).eval()


def test_the_scale_of_the_code_does_not_matter(mapping):
    z = torch.randn(4, 6)

    torch.testing.assert_close(mapping(z), mapping(17 * z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_moves_by_its_decay_while_training(mapping, dtype):
    mapping = mapping.to(dtype).train()
    before, z = torch.full((5,), 2.0, dtype=dtype), torch.randn(16, 6, dtype=dtype)
    mapping.latent_avg.copy_(before)

    w_plus = mapping(z)

    expected = LATENT_AVG_DECAY * before + (1 - LATENT_AVG_DECAY) * w_plus[:, 0].detach().mean(dim=0)
    torch.testing.assert_close(mapping.latent_avg, expected)
    assert not mapping.latent_avg.requires_grad


def test_the_mean_rests_in_evaluation(mapping):
    mapping(torch.randn(16, 6))

    assert torch.equal(mapping.latent_avg, torch.zeros(5))


@pytest.mark.parametrize("psi", [0.0, 0.3, 1.0, 1.5])
def test_truncation_is_linear_towards_the_mean(mapping, psi):
    mapping.latent_avg.normal_()
    z = torch.randn(3, 6)

    expected = mapping.latent_avg + psi * (mapping(z) - mapping.latent_avg)
    torch.testing.assert_close(mapping(z, truncation_psi=psi), expected)


def test_truncation_of_the_first_layers_alone(mapping):
    mapping.latent_avg.normal_()
    z = torch.randn(3, 6)

    w_plus = mapping(z, truncation_psi=0.5, truncation_cutoff=3)

    torch.testing.assert_close(w_plus[:, :3], mapping(z, truncation_psi=0.5)[:, :3])
    torch.testing.assert_close(w_plus[:, 3:], mapping(z)[:, 3:])


def test_a_code_of_another_size_is_refused(mapping):
    with pytest.raises(ShapeError, match=r"`z` must have shape \(N, 6\), got \(2, 5\)"):
        mapping(torch.zeros(2, 5))
