"""Two label maps: every class, in pixels and in millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.case import score_label, with_absent_classes
from monai_semigan.evaluation.overlap import dice
from monai_semigan.evaluation.surface import surface_distances
from monai_semigan.templates import MISSING


def test_classes_are_named_and_as_many_as_stated() -> None:
    label = np.zeros((4, 6), dtype=np.uint8)
    label[1:3, 2:4] = 1

    found, stated, named = (
        [score.class_name for score in score_label(label, label, **settings).classes]
        for settings in ({}, {"num_classes": 3}, {"class_names": ["background", "lung"]})
    )

    assert (found, stated, named) == (["class 1"], ["class 1", "class 2"], ["lung"])


def test_equal_steps_scale_the_distances_in_pixels() -> None:
    a, b = np.zeros((2, 9, 14), dtype=np.uint8)
    a[2:6, 3:8] = b[3:8, 5:9] = 1

    (score,) = score_label(a, b, (0.4, 0.4)).classes
    (nearly,) = score_label(a, b, (0.4, 0.4 + 1e-9)).classes  # measured anew

    assert (score.hd95_mm, score.assd_mm) == (pytest.approx(nearly.hd95_mm), pytest.approx(nearly.assd_mm))
    assert score.hd95_mm == pytest.approx(0.4 * score.hd95_px)


def test_a_class_of_another_case_is_absent_from_both_maps() -> None:
    label = np.zeros((4, 6), dtype=np.uint8)
    first, second = (score_label(label, label, num_classes=n).of_case(c, "p") for c, n in (("a", 2), ("b", 3)))

    scores = with_absent_classes([first, second])

    assert [(s.case, s.class_name) for s in scores] == [(c, f"class {n}") for c in "ab" for n in (1, 2)]
    assert scores[1].is_reference_empty and scores[1].is_prediction_empty and scores[1].dice == 1.0
    assert with_absent_classes([]) == []


def test_a_volume_by_hand() -> None:
    """A block of 3 x 3 x 4 voxels of 5 mm3, moved by one voxel of 5 mm and one layer longer."""
    predicted, reference = np.zeros((2, 8, 9, 10), dtype=np.uint8)
    predicted[1:4, 2:5, 3:8] = reference[2:5, 2:5, 3:7] = 1

    (score,) = score_label(predicted, reference, (5.0, 1.0, 1.0)).classes

    assert score.dice == pytest.approx(2 * 24 / (45 + 36)) and score.iou == pytest.approx(24 / 57)
    assert score.predicted_ml == pytest.approx(0.225) and score.reference_ml == pytest.approx(0.180)
    assert score.difference_ml == pytest.approx(0.045)
    assert score.hd95_px is score.assd_px is None and score.has_surfaces
    # Of 42 surface points 3 are sqrt(26) mm off, 12 are 5: the 95th percentile lies between, at place 38.95 from 0.
    assert score.hd95_mm == pytest.approx(5 + 0.95 * (np.sqrt(26) - 5), rel=1e-6)
    with pytest.raises(ConfigError, match="`spacing_mm` must be one number above 0 per axis, 3"):
        score_label(predicted, reference, (1.0, 1.0))


def test_classes_of_a_volume_equal_those_of_the_whole_array() -> None:
    """Each class is scored in a box of its own; the numbers are those without it."""
    rng = np.random.default_rng(0)
    predicted, reference = (rng.integers(0, 4, (9, 11, 13)).astype(np.uint8) for _ in range(2))
    predicted[:3] = reference[7:] = 0
    ignore = rng.random(reference.shape) < 0.1
    spacing = (3.0, 0.5, 1.2)

    scores = score_label(predicted, reference, spacing, ignore=ignore, num_classes=6).classes

    assert len(scores) == 5
    for index, score in enumerate(scores, start=1):
        masks = (predicted == index) & ~ignore, (reference == index) & ~ignore
        expected = surface_distances(*masks, spacing=spacing, ignore=ignore)
        assert score.dice == dice(*masks) and score.reference_ml == pytest.approx(masks[1].sum() * 0.0018)
        assert (score.hd95_mm, score.assd_mm) == ((expected.hd95, expected.assd) if expected else (None, None))
    assert scores[4].is_reference_empty and scores[4].reference_ml == scores[4].difference_ml == 0.0


def test_a_class_that_a_volume_lacks_has_no_millilitres_but_not_none() -> None:
    label = np.ones((2, 3, 4), dtype=np.uint8)
    volume = score_label(label, label, (1.0, 1.0, 1.0)).of_case("v", "p")
    image = score_label(label[0], label[0], num_classes=3).of_case("i", "p")

    scores = with_absent_classes([volume, image])

    assert [(s.case, s.class_name, s.reference_ml) for s in scores] == [
        ("v", "class 1", 0.024),
        ("v", "class 2", 0.0),
        ("i", "class 1", None),
        ("i", "class 2", None),
    ]


def test_a_score_shows_itself_as_a_table_in_text_and_in_a_notebook() -> None:
    label, reference = np.zeros((2, 9, 14), dtype=np.uint8)
    label[2:6, 3:8] = reference[2:6, 3:10] = 1
    reference[8, 13] = 2

    score = score_label(label, reference, class_names=["background", "lung", "<b>"])

    assert repr(score).splitlines() == [
        "class   Dice    IoU  HD95 (px)  ASSD (px)",
        "lung   0.833  0.714      2.000      0.375",  # 12 px over 14 + 18 points
        f"<b>    0.000  0.000{MISSING:>11}{MISSING:>11}",
    ]
    html = score._repr_html_()
    assert "<td>0.833</td>" in html and "&lt;b&gt;" in html and "<b>" not in html
    assert score["lung"].dice == pytest.approx(40 / 48) and score.mean_dice == pytest.approx(20 / 48)
    with pytest.raises(KeyError):
        score["liver"]


def test_labels_are_class_ids_however_they_are_stored() -> None:
    label = np.zeros((5, 7), dtype=np.uint8)
    label[1:4, 2:5] = 1

    assert score_label(label > 0, label.astype(np.float32)).mean_dice == 1.0
    for wrong in (label * 0.5, label.astype(np.int16) - 1, label.astype(np.uint16) * 4000, label.astype(str)):
        with pytest.raises(InputError, match="`label` must hold class ids"):
            score_label(wrong, label)
