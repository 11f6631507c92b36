# SPDX-License-Identifier: Apache-2.0
"""What a training starts from: networks of finer images grow; a wrong file is refused, and never said to be deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.settings import read_settings
from monai_semigan.training.gan_step import GanNetworks
from monai_semigan.workflows.train_start import load_gan, load_start, load_trained, take_direct_route

FINER = {"image_size": 64, "channels": [8, 8, 8, 8, 6], "encoder_channels": [6, 8, 8, 8, 8]}


@pytest.fixture
def coarse(tiny_settings, tmp_path: Path) -> tuple[SemiGanSegmenter, Path]:
    """A network of 32 px with a pyramid, and its weights as a bundle has them."""
    torch.manual_seed(3)
    network = SemiGanSegmenter(**{**tiny_settings, "feature_sizes": [8, 16]})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    return network, tmp_path / "model.pt"


def finer(tiny_settings) -> SemiGanSegmenter:
    torch.manual_seed(4)
    return SemiGanSegmenter(**{**tiny_settings, **FINER, "feature_sizes": [8, 16]})


def test_a_generator_and_its_discriminator_grow(tiny_settings, coarse) -> None:
    before, path = coarse
    grown = finer(tiny_settings)
    fresh = {name: value.clone() for name, value in grown.state_dict().items()}

    load_start(path, GanNetworks(grown.generator, grown.generator, grown.d_image, nn.Identity()))

    after, known = grown.state_dict(), before.state_dict()
    for at in range(3):  # the same size in pixels, counted from the other end
        name = "conv2.weight"
        assert torch.equal(after[f"d_image.blocks.{at + 1}.{name}"], known[f"d_image.blocks.{at}.{name}"])
    assert torch.equal(after["d_image.blocks.0.conv2.weight"], fresh["d_image.blocks.0.conv2.weight"])
    coarse_blocks = [name for name in known if name.startswith("generator.")]
    assert all(torch.equal(after[name], known[name]) for name in coarse_blocks)
    assert any(name not in known for name in after if name.startswith("generator.")), "there is a finer block"


def test_an_encoder_grows_by_the_size_of_its_levels(tiny_settings, coarse) -> None:
    before, path = coarse
    grown = finer(tiny_settings)

    loaded = load_trained(grown, path, with_gan=False)

    after, known = grown.encoder.state_dict(), before.encoder.state_dict()
    for level in (1, 2):  # 16 and 8 px, of 32 px
        for part in ("laterals", "smooths", "outputs"):
            for name in (name for name in known if name.startswith(f"pyramid.{part}.{level}.")):
                moved = name.replace(f".{level}.", f".{level + 1}.", 1)
                assert moved in loaded and torch.equal(after[moved], known[name])
    assert torch.equal(after["blocks.1.conv2.weight"], known["blocks.0.conv2.weight"])
    assert "blocks.0.conv2.weight" not in loaded


@pytest.mark.parametrize("changes", [FINER, {"direct_widths": [4, 6]}], ids=["finer images", "other widths"])
def test_a_direct_route_that_is_not_whole_needs_a_teacher(tiny_settings, coarse, changes) -> None:
    settings = read_settings(NetworkSettings, {**tiny_settings, "feature_sizes": [8, 16], **changes}, "network")
    network = SemiGanSegmenter(**settings.arguments())

    loaded = load_trained(network, coarse[1], with_gan=False)

    with pytest.raises(ConfigError, match="must have a teacher"):
        take_direct_route(network, settings, None, loaded)


def test_the_same_size_moves_nothing(tiny_settings, coarse) -> None:
    before, path = coarse
    other = SemiGanSegmenter(**{**tiny_settings, "feature_sizes": [8, 16]})

    assert load_trained(other, path, with_gan=True) == before.encoder.state_dict().keys()


def test_a_folder_without_snapshots_is_refused(tiny_network: SemiGanSegmenter, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="semigan train gan"):
        load_gan(tiny_network, tmp_path)


@pytest.mark.parametrize("kind", ["weights", "no archive", "a snapshot of an encoder"])
def test_another_file_is_refused_and_kept(tiny_network: SemiGanSegmenter, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given.pt"
    if kind == "weights":
        torch.save(tiny_network.state_dict(), path)
    elif kind == "no archive":
        path.write_bytes(b"something else")
    else:
        torch.save({"format": "semigan-snapshot-1", "images_seen": 8, "step": {"networks": {}}}, path)

    with pytest.raises(CheckpointError, match="Give the folder of a GAN's run") as caught:
        load_gan(tiny_network, path)

    assert "elete" not in str(caught.value)
