# SPDX-License-Identifier: Apache-2.0
"""Drawing styles: seeds, mixing, truncation."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.latent.sampling import draw_sample, sample_w_plus


@pytest.fixture
def mapping(make_generator):
    mapping = make_generator().mapping.eval()
    mapping.latent_avg.copy_(torch.arange(5.0))
    return mapping


def test_the_same_seed_gives_the_same_styles_and_leaves_the_global_state_alone(mapping):
    state = torch.get_rng_state()

    first, second = (
        sample_w_plus(mapping, 4, mixing_probability=0.5, rng=torch.Generator().manual_seed(7)) for _ in range(2)
    )

    assert first.shape == (4, 8, 5)
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_without_mixing_all_layers_share_one_style(mapping):
    w_plus = sample_w_plus(mapping, 3)

    assert torch.equal(w_plus, w_plus[:, :1].expand_as(w_plus))
    assert not torch.equal(w_plus[0], w_plus[1])


def test_mixing_changes_the_style_once_and_never_at_the_first_layer(mapping):
    w_plus = sample_w_plus(mapping, 200, mixing_probability=1.0, rng=torch.Generator().manual_seed(0))

    changes = (w_plus[:, 1:] != w_plus[:, :-1]).any(dim=2)  # (N, L - 1)
    assert changes.sum(dim=1).tolist() == [1] * 200
    assert bool(changes.any(dim=0).all())  # every layer can be the first of the second code


def test_the_mixing_probability_is_per_sample(mapping):
    w_plus = sample_w_plus(mapping, 1000, mixing_probability=0.3, rng=torch.Generator().manual_seed(0))

    is_mixed = (w_plus != w_plus[:, :1]).any(dim=2).any(dim=1)
    assert 0.25 < is_mixed.float().mean() < 0.35


@pytest.mark.parametrize("mixing_probability", [0.0, 1.0])
def test_zero_truncation_gives_the_mean(mapping, mixing_probability):
    w_plus = sample_w_plus(mapping, 3, mixing_probability=mixing_probability, truncation_psi=0.0)

    torch.testing.assert_close(w_plus, torch.arange(5.0).expand(3, 8, 5))


def test_a_sample_is_its_seed_s_whatever_was_drawn_before(make_generator):
    generator = make_generator().eval()

    alone = draw_sample(generator, 7)
    draw_sample(generator, 3)
    torch.randn(5)
    again = draw_sample(generator, 7)

    assert alone[0].shape == (1, 1, 32, 32) and alone[1].shape == (1, 2, 32, 32)
    assert all(torch.equal(*pair) for pair in zip(alone, again, strict=True))
    assert not torch.equal(alone[0], draw_sample(generator, 8)[0])


def test_a_sample_without_truncation_is_another_and_with_all_of_it_the_mean(make_generator):
    generator = make_generator().eval()

    assert torch.equal(
        draw_sample(generator, 1, truncation_psi=0.0)[0], draw_sample(generator, 2, truncation_psi=0.0)[0]
    )
    assert not torch.equal(draw_sample(generator, 1)[0], draw_sample(generator, 1, truncation_psi=0.5)[0])
