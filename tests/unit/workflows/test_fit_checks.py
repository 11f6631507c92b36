# SPDX-License-Identifier: Apache-2.0
"""What cannot be learned is refused before anything is trained; what is odd is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.workflows.fit_checks import check_data


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Datalist]:
    """Write a data list whose images are noise and whose labels are rectangles of classes."""

    def pair(name: str, classes: tuple[int, ...], seed: int, rows: int) -> dict[str, str]:
        image, label = tmp_path / f"{name}.png", tmp_path / f"{name}_mask.png"
        image.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 24), dtype=np.uint8)).save(image)
        drawn = np.zeros((20, 24), np.uint8)
        for at, value in enumerate(classes):
            drawn[:rows, 3 * at : 3 * at + 3] = value
        Image.fromarray(drawn).save(label)
        return {"image": str(image.relative_to(tmp_path)), "label": str(label.relative_to(tmp_path))}

    def write(
        labelled: list[tuple[Any, ...]],
        validation: list[tuple[Any, ...]] = ((("v"), (1,), 90, 8),),
        unlabelled: int = 0,
    ) -> Datalist:
        content = {
            "schema": "semigan-datalist-1",
            "labelled": [pair(*item) for item in labelled],
            "validation": [pair(*item) for item in validation],
            "unlabelled": [{"image": pair(f"u{at}", (), 200 + at, 0)["image"]} for at in range(unlabelled)],
        }
        path = tmp_path / "data.json"
        path.write_text(json.dumps(content))
        return load_datalist(path, warn=False)

    return write


def test_classes_are_counted(make) -> None:
    facts = check_data(make([("a", (1, 2), 1, 8), ("b", (2,), 2, 8)], [("v", (1,), 90, 8)]))
    assert facts.num_classes == 3 and facts.counts == (1, 2)
    assert any("Class 1 is in one label alone" in warning for warning in facts.warnings)
    assert any("0 unlabelled images" in warning for warning in facts.warnings)
    assert any("1 validation images" in warning for warning in facts.warnings)


@pytest.mark.parametrize("labels", [[("a", (), 1, 8)], [("a", (2,), 1, 8)]])
def test_a_class_in_no_label_is_refused(make, labels) -> None:
    with pytest.raises(InputError, match="but 1 is in none"):
        check_data(make(labels, [("v", (), 90, 8)]))


def test_a_class_of_validation_alone_is_refused(make) -> None:
    with pytest.raises(InputError, match="but 2 is in none"):
        check_data(make([("a", (1,), 1, 8)], [("v", (2,), 90, 8)]))


def test_both_kinds_of_labels_are_needed(make) -> None:
    with pytest.raises(InputError, match="must have labelled images"):
        check_data(make([]))
    with pytest.raises(InputError, match="must have validation images"):
        check_data(make([("a", (1,), 1, 8)], []))


def test_validation_under_another_name_is_refused(make) -> None:
    with pytest.raises(InputError, match="must not be trained on, but 1 are"):
        check_data(make([("a", (1,), 1, 8), ("b", (1,), 2, 8)], [("v", (1,), 2, 8)]))


def test_one_image_with_two_labels_is_refused(make) -> None:
    with pytest.raises(InputError, match="one label, but 1 come twice"):
        check_data(make([("a", (1,), 1, 8), ("b", (1,), 1, 12), ("c", (1,), 3, 8)]))


def test_copies_are_said_and_equal_images_refused(make) -> None:
    facts = check_data(make([("a", (1,), 1, 8), ("b", (1,), 1, 8), ("c", (1,), 3, 8)]))
    assert any("1 labelled images are copies" in warning for warning in facts.warnings)
    with pytest.raises(InputError, match="all are equal"):
        check_data(make([("a", (1,), 1, 8), ("b", (1,), 1, 8)]))


def test_folders_with_another_convention_are_told_without_their_names(make) -> None:
    small = [(f"one/a{at}", (1,), at, 7 + at % 2) for at in range(6)]
    large = [(f"two/b{at}", (1,), 20 + at, 13 + at % 2) for at in range(6)]
    warnings = check_data(make(small + large)).warnings
    said = [warning for warning in warnings if "convention" in warning]
    assert len(said) == 2 and "entry 1 cover 5%" in said[0] and "8%" in said[0]
    assert "entry 7 cover" in said[1] and "/" not in "".join(said)

    same = [(f"two/c{at}", (1,), 40 + at, 7 + at % 2) for at in range(6)]
    assert not any("convention" in warning for warning in check_data(make(small + same)).warnings)
