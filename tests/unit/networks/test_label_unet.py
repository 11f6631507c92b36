# SPDX-License-Identifier: Apache-2.0
"""The direct route: its shapes, what it refuses, and how its label is mixed with the generator's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.label_unet import LabelUNet
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings


def segmenter(tiny_settings: dict[str, Any], **changes: Any) -> SemiGanSegmenter:
    torch.manual_seed(1)
    return SemiGanSegmenter(**tiny_settings | changes).eval()


@pytest.mark.parametrize("widths", [(4, 6), (4, 6, 8), (5, 4, 3, 2)])
@pytest.mark.parametrize(("image_channels", "num_classes"), [(1, 2), (3, 6)])
def test_any_widths_give_logits_of_the_images_size(widths, image_channels, num_classes) -> None:
    network = LabelUNet(image_channels=image_channels, num_classes=num_classes, widths=widths)

    assert network(torch.rand(2, image_channels, 32, 48)).shape == (2, num_classes, 32, 48)


def test_a_prediction_does_not_depend_on_its_mates_or_on_contrast() -> None:
    torch.manual_seed(0)
    network, image = LabelUNet(image_channels=1, num_classes=2, widths=(4, 6)).double().eval(), torch.rand(3, 1, 16, 16)
    image = image.double()

    torch.testing.assert_close(network(image)[1:2], network(image[1:2]))
    torch.testing.assert_close(network(image * 0.5), network(image), rtol=1e-3, atol=1e-3)


def test_of_finer_images_pixels_are_channels_and_logits_come_back_as_pixels() -> None:
    torch.manual_seed(0)
    fine = LabelUNet(image_channels=3, num_classes=2, widths=(4, 6), downsampling=2).eval()
    packed = LabelUNet(image_channels=12, num_classes=8, widths=(4, 6)).eval()
    packed.load_state_dict(fine.state_dict())
    image = torch.rand(2, 3, 16, 24)

    found = fine(image)
    channels = image.reshape(2, 3, 8, 2, 12, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 12, 8, 12)
    logits = packed(channels).reshape(2, 2, 2, 2, 8, 12).permute(0, 1, 4, 2, 5, 3).reshape(2, 2, 16, 24)

    torch.testing.assert_close(found, logits)
    with pytest.raises(ShapeError, match="divisible by 4, got 18 x 16"):
        fine(torch.rand(1, 3, 18, 16))
    with pytest.raises(ConfigError, match="`downsampling` must be one of 1, 2, 4, got 3"):
        LabelUNet(image_channels=1, num_classes=2, widths=(4, 6), downsampling=3)


def test_wrong_widths_and_images() -> None:
    with pytest.raises(ConfigError, match=r"2 to 9 widths, got \[4\]"):
        LabelUNet(image_channels=1, num_classes=2, widths=(4,))
    with pytest.raises(ShapeError, match="divisible by 4, got 18 x 16"):
        LabelUNet(image_channels=1, num_classes=2, widths=(4, 4, 4))(torch.rand(1, 1, 18, 16))


@pytest.mark.parametrize("share", [0.25, 1.0])
@pytest.mark.parametrize("label_offsets", [False, True])
def test_its_logits_count_for_their_share(tiny_settings, share: float, label_offsets: bool) -> None:
    network = segmenter(
        tiny_settings, direct_share=share, feature_sizes=[8], label_offsets=label_offsets
    )  # fmt: skip
    image = torch.rand(2, 1, 32, 32)
    if label_offsets:
        torch.nn.init.normal_(network.encoder.label_offsets.output.weight)

    drawn_image, drawn = network.generator.synthesis(network.encoder.drawn(image))
    redrawn, mixed = network.generator.synthesis(network.encoder(image))

    torch.testing.assert_close(mixed, drawn.lerp(network.encoder.direct(image), share))
    assert torch.equal(redrawn, drawn_image)
    torch.testing.assert_close(network(image), mixed)


def test_without_a_share_it_is_not_computed(tiny_settings, monkeypatch) -> None:
    network = segmenter(tiny_settings, direct_share=0.0)
    monkeypatch.setattr(network.encoder.direct, "forward", lambda image: pytest.fail("computed"))

    assert network.encoder(torch.rand(1, 1, 32, 32)).label is None


def test_the_weight_goes_with_the_embedding() -> None:
    label = torch.rand(3, 2, 8, 8)
    embedding = Embedding(torch.rand(3, 4, 5), (torch.rand(3, 2, 8, 8),)).mixed_with(label, 0.25)

    for changed in (embedding[1:], embedding.to(torch.float64), embedding.detach(), embedding.cpu()):
        assert changed.label_share == 0.75
    unpacked = embedding.unpacked(embedding.packed())
    assert unpacked.label_share == 0.75 and unpacked.label is embedding.label
    torch.testing.assert_close(embedding.label, label * 0.25)
    again = embedding.mixed_with(label, 0.5)
    assert again.label_share == 0.375
    torch.testing.assert_close(again.label, label * 0.625)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direct_widths": [4]}, "2 to 9 widths"),
        ({"direct_widths": [4] * 6}, "at most 5 for images of 32 px"),
        ({"direct_widths": []}, r"`direct_share` must be 0 without `direct_widths`, got 0.25"),
        ({"direct_share": 1.5}, "direct_share"),
        ({"encoder_kind": "official", "encoder_channels": [4] * 4}, "official encoder"),
    ],
)
def test_wrong_settings_are_refused(tiny_settings, changes, message) -> None:
    for build in (NetworkSettings, SemiGanSegmenter):
        with pytest.raises(ConfigError, match=message):
            build(**tiny_settings | {key: tuple(v) if isinstance(v, list) else v for key, v in changes.items()})
