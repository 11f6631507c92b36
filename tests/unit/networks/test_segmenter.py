# SPDX-License-Identifier: Apache-2.0
"""The deployed network and its sentinel."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import CheckpointError, ConfigError, ShapeError
from monai_semigan.networks.segmenter import SemiGanSegmenter


@pytest.mark.parametrize("num_classes", [2, 3])
def test_it_reads_the_label_branch_at_the_encoded_styles(make_segmenter, num_classes):
    network, images = make_segmenter(num_classes=num_classes), torch.randn(3, 1, 32, 32)

    label_logits = network(images)

    assert label_logits.shape == (3, num_classes, 32, 32)
    torch.testing.assert_close(label_logits, network.generator.synthesis(network.encoder(images))[1], rtol=0, atol=0)
    torch.testing.assert_close(label_logits, network(images), rtol=0, atol=0)


def test_an_image_of_another_size_is_refused_by_name(make_segmenter):
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, C, 32, 32\), got \(1, 1, 64, 64\)"):
        make_segmenter()(torch.zeros(1, 1, 64, 64))


def test_it_refuses_until_its_weights_are_loaded(make_segmenter):
    network = make_segmenter()
    with pytest.raises(CheckpointError, match=r"must have trained weights.*models/model\.pt"):
        network.require_trained()

    trained = make_segmenter(seed=1)
    trained.is_trained.fill_(1)
    network.load_state_dict(trained.state_dict())

    network.require_trained()


@pytest.mark.parametrize("value", [0.0, 0.5, 2.0, float("nan")])
def test_any_other_value_of_the_sentinel_means_untrained(make_segmenter, value):
    network = make_segmenter()
    network.is_trained.fill_(value)

    with pytest.raises(CheckpointError):
        network.require_trained()


def test_weights_of_another_architecture_loaded_loosely_do_not_count(make_segmenter):
    """Some hosts load whatever fits: a training snapshot's generator must not pass for a trained segmenter."""
    network, trained = make_segmenter(), make_segmenter(seed=1)
    trained.is_trained.fill_(1)

    network.load_state_dict(trained.generator.state_dict(), strict=False)
    network.load_state_dict({k: v for k, v in trained.state_dict().items() if k != "is_trained"}, strict=False)

    with pytest.raises(CheckpointError):
        network.require_trained()


def test_the_sentinel_survives_half_precision(make_segmenter):
    network = make_segmenter()
    network.is_trained.fill_(1)

    network.half().require_trained()


def test_settings_reach_all_parts():
    network = SemiGanSegmenter(
        image_size=64,
        num_classes=3,
        image_channels=3,
        z_dim=4,
        w_dim=6,
        num_mapping_layers=3,
        channels=[5, 4, 3, 2, 2],
        encoder_channels=(2, 2, 2, 2, 4),
        head_channels=3,
    )

    assert network.generator.num_layers == network.encoder.num_layers == 10
    assert network.encoder.w_dim == 6 and network.encoder.image_channels == 3
    assert len(network.generator.mapping.layers) == 3
    assert network.d_image.image_size == 64 and network.d_image.from_image.weight.shape == (2, 3, 1, 1)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("settings", "name"), [({"image_channels": 2}, "image_channels"), ({"num_classes": 1}, "num_classes")]
)
def test_wrong_settings_are_refused(settings, name):
    with pytest.raises(ConfigError, match=f"`{name}`"):
        SemiGanSegmenter(**({"image_size": 32, "num_classes": 2, "channels": [4] * 4} | settings))
