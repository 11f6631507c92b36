# SPDX-License-Identifier: Apache-2.0
"""Which warnings a case gets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.segmentation.record import ClassRecord, OodRecord, volume_text
from monai_semigan.segmentation.trust import classes_at_faces, expected_by_class, trust_warnings, unlike_reasons

AS_IT_IS = DiceCalibration(offset=0.0, slope=1.0)


def warnings(*, error: float | None = 0.1, limit: float | None = 0.9, **expected: float | None) -> list[str]:
    chain = Chain(preset=None, inversion=InversionSettings(), max_image_error=0.2, min_expected_dice=limit)
    classes = [
        ClassRecord(name=name, share=0.1 if value is not None else 0, expected_dice=value)
        for name, value in expected.items()
    ]
    return trust_warnings(chain, classes, unlike_reasons(chain, error, None))


def test_a_certain_label_of_a_known_image_has_none() -> None:
    assert warnings(lung=0.9) == []
    assert warnings(lung=0.1, limit=None) == []


def test_every_uncertain_class_is_named_with_both_numbers() -> None:
    lung, heart = warnings(lung=0.8994, heart=0.5, spine=0.95)
    assert lung == "The label of lung is uncertain: check it before use (expected Dice 0.899, usual from 0.900)."
    assert heart.startswith("The label of heart is uncertain")


@pytest.mark.parametrize("error", [None, 0.2])
def test_what_was_not_found_is_not_uncertain_too(error: float | None) -> None:
    assert warnings(error=error, lung=None) == ["No lung was found."]


def test_an_image_of_another_kind_needs_no_second_warning() -> None:
    (said,) = warnings(error=0.21, lung=0.2)
    assert said.startswith("Unlike the images") and "0.210, usual up to 0.200" in said


def test_each_reason_why_a_case_is_unlike_is_said() -> None:
    chain = Chain(preset=None, inversion=InversionSettings(), max_image_error=0.2)
    far, near = (OodRecord(score=score, limit=0.5) for score in (0.51, 0.5))
    assert unlike_reasons(chain, 0.2, near) == unlike_reasons(chain, None, None) == ()
    assert unlike_reasons(chain, 0.21, far) == (
        "out-of-distribution score 0.51, usual up to 0.50",
        "reconstruction error 0.210, usual up to 0.200",
    )


def test_what_one_of_both_labels_lacks_has_no_expected_dice() -> None:
    overlap = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])  # the third is not in the network's own label

    assert expected_by_class(overlap, [True, False, True], AS_IT_IS) == [pytest.approx(0.75), None, None]


def test_what_was_not_calibrated_is_not_told() -> None:
    assert expected_by_class(torch.tensor([[3.0, 4.0]]), [True], None) == [None]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ((1, 1, 1), set()),
        ((0, 1, 1), {3}),
        ((-1, 1, 1), {3}),
        ((1, 0, 1), {3}),
        ((1, -1, 2), {3}),
        ((2, 1, 0), {3}),
        ((1, 2, -1), {3}),
    ],
)
def test_a_class_at_a_face_of_the_volume_is_found(place: tuple[int, int, int], found: set[int]) -> None:
    label = np.zeros((4, 5, 6), np.uint8)
    label[2, 2, 2] = 1
    label[place] = 3
    assert classes_at_faces(label) == found


def test_a_cut_organ_is_said_to_be_cut() -> None:
    chain = Chain(preset=None, inversion=InversionSettings(), max_image_error=0.2)
    classes = [ClassRecord(name="liver", share=0.1, is_cut=True), ClassRecord(name="spleen", share=0.1)]
    (said,) = trust_warnings(chain, classes)
    assert said.startswith("The liver reaches the edge of the volume: it may be cut there")


@pytest.mark.parametrize(
    ("volume_ml", "is_cut", "is_said"),
    [(29.2, False, True), (29.2, True, False), (1400, False, False), (5200, True, True), (0, False, False)],
)
def test_an_organ_of_an_implausible_volume_is_warned_of(volume_ml: float, is_cut: bool, is_said: bool) -> None:
    chain = Chain(preset=None, inversion=InversionSettings(), max_image_error=0.2)
    liver = ClassRecord(name="liver", share=0.1, volume_ml=volume_ml, is_cut=is_cut)

    said = [text for text in trust_warnings(chain, [liver], (), {"liver": (500, 4000)}) if "mL" in text]

    assert bool(said) == is_said
    assert not said or "a whole one 500 to 4000 mL" in said[0]
    assert not any("mL" in text for text in trust_warnings(chain, [liver]))


def test_volumes_are_written_in_two_digits() -> None:
    assert [volume_text(value) for value in (29.169, 1374.2, 0.123, 0.0)] == ["29", "1400", "0.12", "0"]
