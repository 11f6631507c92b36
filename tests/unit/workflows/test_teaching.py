# SPDX-License-Identifier: Apache-2.0
"""A teacher by itself: what it becomes, and what is refused; and a network of finer images from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, TrainingError
from monai_semigan.files import RunLock
from monai_semigan.io.label_file import read_label
from monai_semigan.training import teacher_training
from monai_semigan.training.teacher import load_teacher
from monai_semigan.workflows.adapt_result import AdaptOptions
from monai_semigan.workflows.adapting import adapt
from monai_semigan.workflows.direct_share import store_share
from monai_semigan.workflows.packing import pack
from monai_semigan.workflows.teaching import teach
from monai_semigan.workflows.train import train_encoder, train_gan

CPU = torch.device("cpu")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_trains_a_teacher_of_the_networks_widths(tiny_bundle, datalist, tmp_path) -> None:
    shown = run("train", "teacher", tmp_path / "t", "-b", tiny_bundle, "--data", datalist, "--steps", 3, "--seed", 5)

    assert shown.splitlines()[-1] == str(tmp_path / "t" / "teacher.pt")
    teacher = load_teacher(tmp_path / "t" / "teacher.pt", device=CPU)
    assert teacher.sizes == {
        "image_channels": 1,
        "num_classes": 2,
        "features": [4, 4],
        "network": "label_unet",
        "downsampling": 1,
    }
    again = load_teacher(teach(tmp_path / "u", bundle=str(tiny_bundle), datalist=datalist, steps=3, seed=5), device=CPU)
    other = load_teacher(teach(tmp_path / "v", bundle=str(tiny_bundle), datalist=datalist, steps=3), device=CPU)
    for name, value in teacher.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert any(not torch.equal(other.state_dict()[name], value) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_seeds_out_of_range_are_refused_before_a_folder_is_made(tiny_bundle, datalist, tmp_path, seed) -> None:
    with pytest.raises(ConfigError, match=r"`seed` must be"):
        teach(tmp_path / "t", bundle=str(tiny_bundle), datalist=datalist, seed=seed)

    assert not (tmp_path / "t").exists()


def test_the_same_call_goes_on_where_it_was_ended(tiny_bundle, datalist, tmp_path, monkeypatch) -> None:
    def end(stage: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(teacher_training, "INTERVAL", 1)
    options: dict[str, Any] = {"bundle": str(tiny_bundle), "datalist": datalist, "steps": 4}
    whole = teach(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        teach(tmp_path / "parts", **options, progress=end)
    seen: list[int] = []
    with pytest.raises(ConfigError, match="same settings, images and seed"):
        teach(tmp_path / "parts", **options | {"steps": 5})

    path = teach(tmp_path / "parts", **options, progress=lambda _, done, total: seen.append(done))

    assert len(seen) == 2 and not list(path.parent.glob("*unfinished*"))
    parts, wanted = (load_teacher(file, device=CPU).state_dict() for file in (path, whole))
    assert all(torch.equal(parts[name], value) for name, value in wanted.items())


def test_a_gan_in_the_same_folder_takes_it_over(tiny_bundle, datalist, tmp_path) -> None:
    path = teach(tmp_path / "gan", bundle=str(tiny_bundle), datalist=datalist)
    before = path.read_bytes()

    train_gan(tmp_path / "gan", bundle=str(tiny_bundle), datalist=datalist)

    assert path.read_bytes() == before


def test_nothing_is_trained_over_or_beside_another(tiny_bundle, datalist, tmp_path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with RunLock(folder), pytest.raises(TrainingError, match="must be used by one run at a time"):
        teach(folder, bundle=str(tiny_bundle), datalist=datalist)
    path = teach(folder, bundle=str(tiny_bundle), datalist=datalist)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=r"already holds a teacher. Choose another folder"):
        teach(folder, bundle=str(tiny_bundle), datalist=datalist)
    with pytest.raises(ConfigError, match="`steps`"):
        teach(tmp_path / "none", bundle=str(tiny_bundle), datalist=datalist, steps=0)

    assert path.read_bytes() == before and not (tmp_path / "none").exists()


def test_unlabelled_images_teach_where_the_settings_ask_for_it(tiny_bundle, datalist, tmp_path) -> None:
    config = tiny_bundle / "configs" / "train.json"
    content = json.loads(config.read_text())
    content["trainer"]["teacher"]["consistency"] = {}
    config.write_text(json.dumps(content))
    list_ = json.loads(datalist.read_text())
    teach(tmp_path / "with", bundle=str(tiny_bundle), datalist=datalist)
    datalist.write_text(json.dumps(list_ | {"unlabelled": []}))

    with pytest.raises(ConfigError, match="must have unlabelled images"):
        teach(tmp_path / "without", bundle=str(tiny_bundle), datalist=datalist)
    assert not (tmp_path / "without" / "teacher.pt").exists()


@pytest.fixture
def fine_bundle(tiny_bundle: Path, tiny_settings, edit_bundle) -> Path:
    """The tiny bundle for images of 64 px, whose generator renders 32."""
    edit_bundle(
        tiny_bundle,
        network=tiny_settings | {"image_size": 64, "downsampling": 2, "feature_sizes": [8, 16]},
        preprocessing={"image_size": 64, "max_stretch": 1.5},
        weights=None,
    )
    return tiny_bundle


def test_a_network_of_finer_images_is_trained_packed_used_and_adapted(fine_bundle, datalist, tmp_path) -> None:
    name = str(fine_bundle)
    train_gan(tmp_path / "gan", bundle=name, datalist=datalist)
    best = train_encoder(tmp_path / "encoder", bundle=name, datalist=datalist, gan_run=tmp_path / "gan")
    packed = pack(tmp_path / "mine", bundle=fine_bundle, weights=best)
    run("tune", "-b", packed, "--data", datalist, "--steps", 0, "--steps", 1, "--write")
    store_share(packed, 0.5)
    image = datalist.parent / "images" / "case1.png"

    run("segment", image, "-b", packed, "-o", tmp_path / "out")

    bundle = open_bundle(packed)
    assert (bundle.network.image_size, bundle.network.downsampling) == (64, 2)
    network = load_network(bundle, device=CPU)
    assert network.generator.synthesis.blocks[-1].conv.size == 32
    assert read_label(tmp_path / "out" / "case1" / "label.png").shape == (91, 104)

    # What is adapted keeps its sizes and learns through both routes.
    options = AdaptOptions(max_steps=20, accept_unlike=True)
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"labelled": content["labelled"][:1], "validation": []}))
    adapt(tmp_path / "adapted", bundle=packed, datalist=datalist, options=options)
    adapted = load_network(open_bundle(tmp_path / "adapted"), device=CPU)
    assert adapted.generator.synthesis.downsampling == 2
    for part in ("stem.weight", "direct.downs.0.conv1.weight"):
        before, after = (made.encoder.state_dict()[part].numpy() for made in (network, adapted))
        assert not np.array_equal(before, after)
