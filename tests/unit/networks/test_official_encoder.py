# SPDX-License-Identifier: Apache-2.0
"""The official SemanticGAN's encoder: sizes, and that a prediction never depends on batch mates or on the mode."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.official_encoder import OfficialEncoder
from monai_semigan.networks.segmenter import SemiGanSegmenter

TINY = {"num_layers": 8, "w_dim": 5, "channels": (2, 2, 3, 4), "head_channels": 3}


def test_predictions_have_one_style_per_layer_and_ignore_batch_mates():
    torch.manual_seed(0)
    encoder = OfficialEncoder(image_size=64, image_channels=1, **TINY)
    images = torch.randn(3, 1, 64, 64)

    w_plus = encoder.train()(images).w_plus

    assert w_plus.shape == (3, 8, 5)
    torch.testing.assert_close(encoder.eval()(images[1:2]).w_plus, w_plus[1:2])
    assert encoder.state_dict()["stem.norm.running_mean"].eq(0).all()


def test_sizes_that_it_cannot_serve_are_refused():
    with pytest.raises(ConfigError, match="at most 256"):
        OfficialEncoder(image_size=512, **TINY)
    with pytest.raises(ConfigError, match="4 widths"):
        OfficialEncoder(image_size=64, **{**TINY, "channels": (2, 2)})
    with pytest.raises(ShapeError):
        OfficialEncoder(image_size=32, **TINY)(torch.zeros(1, 3, 64, 64))


def test_a_segmenter_can_have_it(tiny_settings):
    settings = {
        **tiny_settings,
        "encoder_kind": "official",
        "head_channels": 4,
        "direct_widths": [],
        "direct_share": 0.0,
    }
    network = SemiGanSegmenter(**settings).eval()

    assert isinstance(network.encoder, OfficialEncoder)
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 2, 32, 32)
    with pytest.raises(ConfigError, match="`encoder_kind` must be one of pyramid, official"):
        SemiGanSegmenter(**{**settings, "encoder_kind": "unet"})
