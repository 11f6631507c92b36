"""One case: every class, in pixels and in millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ConfigError
from monai_semigan.evaluation.case import score_case, with_absent_classes


def test_classes_are_named_and_as_many_as_stated() -> None:
    label = np.zeros((4, 6), dtype=np.uint8)
    label[1:3, 2:4] = 1

    found, stated, named = (
        [score.class_name for score in score_case(label, label, case="c", patient="p", **settings)]
        for settings in ({}, {"num_classes": 3}, {"class_names": ["background", "lung"]})
    )

    assert (found, stated, named) == (["class 1"], ["class 1", "class 2"], ["lung"])


def test_equal_steps_scale_the_distances_in_pixels() -> None:
    a, b = np.zeros((2, 9, 14), dtype=np.uint8)
    a[2:6, 3:8] = b[3:8, 5:9] = 1

    (score,) = score_case(a, b, case="c", patient="p", spacing_mm=(0.4, 0.4))
    (nearly,) = score_case(a, b, case="c", patient="p", spacing_mm=(0.4, 0.4 + 1e-9))  # measured anew

    assert (score.hd95_mm, score.assd_mm) == (pytest.approx(nearly.hd95_mm), pytest.approx(nearly.assd_mm))
    assert score.hd95_mm == pytest.approx(0.4 * score.hd95_px)


def test_a_class_of_another_case_is_absent_from_both_maps() -> None:
    label = np.zeros((4, 6), dtype=np.uint8)
    first, second = (score_case(label, label, case=c, patient="p", num_classes=n) for c, n in (("a", 2), ("b", 3)))

    scores = with_absent_classes([first, second])

    assert [(s.case, s.class_name) for s in scores] == [(c, f"class {n}") for c in "ab" for n in (1, 2)]
    assert scores[1].is_reference_empty and scores[1].is_prediction_empty and scores[1].dice == 1.0
    assert with_absent_classes([]) == []


def test_volumes_are_scored_as_well() -> None:
    predicted, reference = np.zeros((2, 6, 8, 10), dtype=np.uint8)
    predicted[1:4, 2:5, 3:7] = reference[2:5, 2:5, 3:7] = 1

    (score,) = score_case(predicted, reference, case="v", patient="p", spacing_mm=(5.0, 1.0, 1.0))

    assert score.dice == pytest.approx(2 / 3)
    assert score.hd95_px == 1.0 and 1.0 < score.hd95_mm <= 5.0
    with pytest.raises(ConfigError, match="`spacing` must be 3 positive numbers"):
        score_case(predicted, reference, case="v", patient="p", spacing_mm=(1.0, 1.0))
