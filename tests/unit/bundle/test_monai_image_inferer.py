# SPDX-License-Identifier: Apache-2.0
"""The inferer as MONAI's hosts call it."""

from __future__ import annotations

import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from monai_semigan.bundle.monai_image_inferer import InversionInferer
from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.batch import segment_batch


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_no_steps_are_the_network_itself(tiny_network: SemiGanSegmenter, images: torch.Tensor) -> None:
    logits = InversionInferer(steps=0)(images, tiny_network)

    with torch.no_grad():
        torch.testing.assert_close(logits, tiny_network(images))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_host_without_gradients_gets_the_same(
    tiny_network: SemiGanSegmenter, images: torch.Tensor, context: type[torch.no_grad]
) -> None:
    expected = InversionInferer(steps=2)(images, tiny_network)
    with context():
        actual = InversionInferer(steps=2)(images, tiny_network)

    torch.testing.assert_close(actual, expected)
    assert not actual.requires_grad
    assert not torch.equal(actual, InversionInferer(steps=0)(images, tiny_network))


@pytest.mark.parametrize("steps", [0, 2])
def test_host_with_autocast_gets_the_same(tiny_network: SemiGanSegmenter, images: torch.Tensor, steps: int) -> None:
    expected = InversionInferer(steps=steps)(images, tiny_network)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        actual = InversionInferer(steps=steps)(images, tiny_network)

    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_chunks_do_not_change_the_result(tiny_network: SemiGanSegmenter, images: torch.Tensor) -> None:
    together, chunked = (InversionInferer(steps=2, batch_size=size)(images, tiny_network) for size in (8, 2))

    assert together.shape == (3, 2, 32, 32)
    torch.testing.assert_close(chunked, together, rtol=1e-4, atol=1e-5)


def test_metadata_are_kept(tiny_network: SemiGanSegmenter, images: torch.Tensor) -> None:
    logits = InversionInferer(steps=0)(MetaTensor(images, meta={"filename_or_obj": "a.png"}), tiny_network)

    assert isinstance(logits, MetaTensor) and logits.meta["filename_or_obj"] == "a.png"


@pytest.mark.parametrize("steps", [0, 2])
def test_untrained_network_is_refused(tiny_network: SemiGanSegmenter, images: torch.Tensor, steps: int) -> None:
    tiny_network.is_trained.zero_()

    with pytest.raises(CheckpointError, match="must have trained weights"):
        InversionInferer(steps=steps)(images, tiny_network)


def test_non_strict_load_of_other_weights_is_refused(tiny_settings: dict[str, object], images: torch.Tensor) -> None:
    network = SemiGanSegmenter(**tiny_settings)
    network.load_state_dict({"some.other.network": torch.ones(3)}, strict=False)

    with pytest.raises(CheckpointError, match="loaded them non-strictly"):
        InversionInferer(steps=0)(images, network)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`settings` must be among steps, .*, but .*'iterations'"):
        InversionInferer(iterations=3)
    with pytest.raises(ConfigError, match="`batch_size` must be >= 1, got 0"):
        InversionInferer(batch_size=0)
    with pytest.raises(ConfigError, match="`steps` must be a whole number from 0"):
        InversionInferer(steps=-1)


def test_the_encoder_has_its_share_of_the_label(tiny_network):
    """With share 1 the label is the encoder's, with 0.5 the mean of both, in logits."""
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    logits = {
        share: segment_batch(tiny_network, image, InversionSettings(steps=5, encoder_share=share)).label_logits
        for share in (0.0, 0.5, 1.0)
    }
    encoder = segment_batch(tiny_network, image, InversionSettings(steps=0)).label_logits
    torch.testing.assert_close(logits[1.0], encoder)
    torch.testing.assert_close(logits[0.5], (logits[0.0] + logits[1.0]) / 2)
    assert not torch.allclose(logits[0.0], encoder)
    with pytest.raises(ConfigError, match="encoder_share"):
        InversionSettings(encoder_share=1.5)
