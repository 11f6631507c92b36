# SPDX-License-Identifier: Apache-2.0
"""Rows of a comparison learn from the right images; ignored pixels are found where the image lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.report.comparison_record import VALIDATION
from monai_semigan.workflows.compare_data import ComparisonData, check_tests
from monai_semigan.workflows.training_data import ignored_pixels, training_preset


@pytest.fixture
def data(datalist: Path) -> Datalist:
    return load_datalist(datalist, warn=False)


def test_a_row_has_its_labels_and_the_other_images(data: Datalist, tiny_bundle: Path) -> None:
    images = ComparisonData(replace(data, unlabelled=data.unlabelled[2:]), open_bundle(tiny_bundle), 2)

    one, two = (images.learning(labels, uses_unlabelled=True) for labels in (1, 2))

    assert [len(part.labelled) for part in (one, two)] == [1, 2]
    assert torch.equal(one.labelled.images[0], two.labelled.images[0])
    assert len(one.unlabelled) == 2 and torch.equal(one.unlabelled.images[1], two.labelled.images[1].half())
    assert len(two.unlabelled) == 1 and torch.equal(two.unlabelled.images[0], one.unlabelled.images[0])
    assert images.learning(1, uses_unlabelled=False).unlabelled is None
    assert one.validation is two.validation and len(one.validation) == 1
    assert images.scored(VALIDATION).patients == ["3"]


def test_symmetries_of_the_bundle_are_used(data: Datalist, tiny_bundle: Path) -> None:
    path = tiny_bundle / "configs" / "train.json"
    config = json.loads(path.read_text())
    config["trainer"]["symmetries"] = "square"
    path.write_text(json.dumps(config))
    learned = ComparisonData(data, open_bundle(tiny_bundle), 2).learning(2, uses_unlabelled=True)
    assert len(learned.labelled) == 16 and len(learned.unlabelled) == 24 and len(learned.validation) == 1


def test_ignored_pixels_follow_their_image(data: Datalist, tiny_bundle: Path, tmp_path: Path) -> None:
    preset = training_preset(open_bundle(tiny_bundle))
    entry = data.validation[0]
    assert ignored_pixels((entry,), preset) is None
    mask = np.zeros(np.asarray(Image.open(entry.image)).shape, np.uint8)
    mask[:, : mask.shape[1] // 4] = 255
    Image.fromarray(mask).save(tmp_path / "ignore.png")

    found = ignored_pixels((entry, replace(entry, ignore=tmp_path / "ignore.png")), preset)

    assert found.shape == (2, 32, 32) and found.dtype == torch.bool
    assert not found[0].any() and found[1, 16, :7].all() and not found[1, :, 12:].any()
    Image.fromarray(mask[1:]).save(tmp_path / "ignore.png")
    with pytest.raises(InputError, match="must have its image's size"):
        ignored_pixels((replace(entry, ignore=tmp_path / "ignore.png"),), preset)


def test_tests_must_be_there(data: Datalist) -> None:
    with pytest.raises(ConfigError, match="which has none, got 'x'"):
        check_tests(data, ["x"])
    check_tests(replace(data, test={"x": data.validation}), ["x"])
