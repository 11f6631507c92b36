# SPDX-License-Identifier: Apache-2.0
"""What a bundle's training files say reaches the training, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.errors import ConfigError
from monai_semigan.training.settings import EncoderTraining, GanTraining
from monai_semigan.workflows.train import gan_trainer
from monai_semigan.workflows.training_files import bundle_training, training_config


def edit(root: Path, **changes: object) -> None:
    path = root / "configs" / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", list_bundles())
@pytest.mark.parametrize(("file", "kind"), [("train.json", GanTraining), ("train_encoder.json", EncoderTraining)])
def test_shipped_training_files_hold_valid_settings(name, file, kind):
    settings = bundle_training(kind, name, file)

    written = json.loads((bundle_root(name) / "configs" / file).read_text())
    assert settings.run.total_kimg == written["total_kimg"] and settings.run.seed == 0
    assert (settings.modality == "CT") == (name == "liver_ct_segmentation")


def test_references_are_followed_and_the_length_is_replaced(tiny_bundle):
    edit(tiny_bundle, rate=0.004, speed="@rate", trainer={"gan": {"learning_rate": "@speed"}, "run": {"seed": 3}})

    config = training_config(str(tiny_bundle), "train.json", 0.5)

    assert config == {
        "gan": {"learning_rate": 0.004}, "run": {"seed": 3, "total_kimg": 0.5}, "bundle_root": tiny_bundle,
    }  # fmt: skip


@pytest.mark.parametrize("trainer", [{"gan": "@nowhere"}, {"gan": ["@circle"]}])
def test_references_that_lead_nowhere_are_refused(tiny_bundle, trainer):
    edit(tiny_bundle, circle="@other", other="@circle", trainer=trainer)

    with pytest.raises(ConfigError, match="must name a top-level entry of the training file, and not refer to itself"):
        training_config(str(tiny_bundle), "train.json", None)


def test_expressions_are_data(tiny_bundle, datalist, tmp_path):
    edit(tiny_bundle, trainer={"gan": {"learning_rate": "$1 / 0"}})
    config = training_config(str(tiny_bundle), "train.json", None)

    with pytest.raises(ConfigError, match=r"`gan.learning_rate` in `trainer` must be a number, got '\$1 / 0'"):
        gan_trainer(**config, datalist=datalist, run_dir=tmp_path / "run")


def test_unknown_settings_are_named_and_what_the_metadata_say_is_passed_over(tiny_bundle, datalist, tmp_path):
    place = {"bundle_root": tiny_bundle, "datalist": datalist, "run_dir": tmp_path / "run", "device": "cpu"}

    with pytest.raises(ConfigError, match="pair_discriminator"):
        gan_trainer(**place, pair_discriminator={})
    loop = gan_trainer(**place, network={"image_size": 999}, domain="nowhere", preprocessing={}, _remark="older file")

    assert loop.task.config["network"]["image_size"] == 32
    assert not (tmp_path / "run").exists()
