"""Patients before cases, nothing dropped, repeatable intervals."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.evaluation.table import OVERALL, CaseScore, count_classes, per_patient, summarize


def case(name: str, patient: str, dice: float, **changes) -> CaseScore:
    values = {
        "class_name": "lung",
        "iou": dice / (2 - dice),
        "hd95_px": 2.0,
        "assd_px": 1.0,
        "hd95_mm": None,
        "assd_mm": None,
        "is_reference_empty": False,
        "is_prediction_empty": False,
    }
    return CaseScore(case=name, patient=patient, dice=dice, **(values | changes))


def row(summaries, metric: str, class_name: str = "lung"):
    (found,) = [item for item in summaries if (item.metric, item.class_name) == (metric, class_name)]
    return found


def test_a_patient_counts_once_however_many_cases() -> None:
    cases = [case("a1", "a", 0.2), case("b1", "b", 0.8), case("a2", "a", 0.4), case("a3", "a", 0.6)]

    patients = per_patient(cases)
    summary = row(summarize(patients), "dice")

    assert [(p.patient, p.num_cases, p.dice) for p in patients] == [("a", 3, pytest.approx(0.4)), ("b", 1, 0.8)]
    assert summary.num_patients == 2
    assert summary.mean == summary.median == pytest.approx(0.6)  # the mean over cases would be 0.5
    assert summary.standard_deviation == pytest.approx(0.4 / np.sqrt(2))


def test_one_patient_has_a_mean_but_neither_deviation_nor_interval() -> None:
    summary = row(summarize(per_patient([case("a1", "a", 0.5)])), "dice")

    assert (summary.mean, summary.median, summary.num_patients) == (0.5, 0.5, 1)
    assert summary.standard_deviation is summary.low is summary.high is None


def test_no_case_gives_no_rows() -> None:
    assert summarize(per_patient([])) == []
    assert count_classes([]) == []


def test_undefined_distances_are_counted_beside_the_mean() -> None:
    gone = {"hd95_px": None, "assd_px": None}
    cases = [
        case("a1", "a", 0.9, hd95_px=4.0),
        case("a2", "a", 0.0, is_prediction_empty=True, **gone),
        case("b1", "b", 1.0, is_reference_empty=True, is_prediction_empty=True, **gone),
        case("c1", "c", 0.0, is_reference_empty=True, **gone),
    ]

    patients = per_patient(cases)
    summaries = summarize(patients)
    (count,) = count_classes(cases)

    assert [(p.hd95_px, p.num_undefined_surface) for p in patients] == [(4.0, 1), (None, 1), (None, 1)]
    assert row(summaries, "hd95_px").num_patients == 1 and row(summaries, "hd95_px").mean == 4.0
    assert row(summaries, "dice").num_patients == 3
    assert row(summaries, "dice").mean == pytest.approx((0.45 + 1.0 + 0.0) / 3)
    assert (count.num_both_empty, count.num_reference_empty, count.num_prediction_empty) == (1, 1, 1)
    assert (count.num_cases, count.num_undefined_surface) == (4, 3)


def test_distances_that_nobody_has_still_have_a_row_in_pixels() -> None:
    summaries = summarize(per_patient([case("a1", "a", 0.0, hd95_px=None, assd_px=None)]))

    assert row(summaries, "hd95_px").num_patients == 0 and row(summaries, "hd95_px").mean is None
    assert not [item for item in summaries if item.metric.endswith("_mm")]


def test_millimetres_and_pixels_are_never_averaged_together() -> None:
    cases = [case("a1", "a", 0.9, hd95_px=10.0, hd95_mm=1.0), case("b1", "b", 0.9, hd95_px=30.0)]

    summaries = summarize(per_patient(cases))

    assert (row(summaries, "hd95_px").mean, row(summaries, "hd95_px").num_patients) == (20.0, 2)
    assert (row(summaries, "hd95_mm").mean, row(summaries, "hd95_mm").num_patients) == (1.0, 1)


def volume(name: str, patient: str, predicted: float, reference: float, **changes) -> CaseScore:
    values = {"hd95_px": None, "assd_px": None, "hd95_mm": 6.0, "assd_mm": 2.0}
    sizes = {"predicted_ml": predicted, "reference_ml": reference, "difference_ml": predicted - reference}
    return case(name, patient, 0.5, **(values | sizes | changes))


def test_two_volumes_of_a_patient_are_averaged_and_have_no_pixels() -> None:
    cases = [volume("ct", "a", 1500.0, 1400.0), volume("mr", "a", 1300.0, 1400.0), volume("ct2", "b", 900.0, 840.0)]

    patients = per_patient(cases)
    summaries = summarize(patients)

    assert [(p.patient, p.num_cases, p.difference_ml, p.predicted_ml) for p in patients] == [
        ("a", 2, 0.0, 1400.0),
        ("b", 1, 60.0, 900.0),
    ]
    assert [item.metric for item in summaries] == [
        "dice",
        "iou",
        "hd95_mm",
        "assd_mm",
        "predicted_ml",
        "reference_ml",
        "difference_ml",
    ]
    assert row(summaries, "difference_ml").mean == 30.0 and row(summaries, "reference_ml").mean == 1120.0
    assert count_classes(cases)[0].num_undefined_surface == 0


def test_volumes_without_a_distance_still_have_a_row_in_millimetres() -> None:
    summaries = summarize(per_patient([volume("a1", "a", 0.0, 9.0, hd95_mm=None, assd_mm=None)]))

    assert row(summaries, "hd95_mm").num_patients == 0
    assert not [item for item in summaries if item.metric.endswith("_px")]


def test_images_and_volumes_together_have_both_kinds_of_rows() -> None:
    metrics = {item.metric for item in summarize(per_patient([volume("a1", "a", 5.0, 9.0), case("b1", "b", 0.5)]))}

    assert {"hd95_px", "hd95_mm", "difference_ml"} <= metrics


def test_volumes_of_different_organs_have_no_mean() -> None:
    cases = [volume("a1", "a", 5.0, 9.0), volume("a1", "a", 50.0, 90.0, class_name="liver")]

    overall = {item.metric for item in summarize(per_patient(cases)) if item.class_name == OVERALL}

    assert overall == {"dice", "iou", "hd95_mm", "assd_mm"}


def test_the_overall_row_averages_a_patients_classes_first() -> None:
    cases = [
        case("a1", "a", 0.8),
        case("a1", "a", 0.4, class_name="heart", hd95_px=6.0),
        case("b1", "b", 1.0),
        case("b1", "b", 0.0, class_name="heart", hd95_px=None),
    ]

    summaries = summarize(per_patient(cases))

    assert row(summaries, "dice", OVERALL).mean == pytest.approx((0.6 + 0.5) / 2)
    assert row(summaries, "hd95_px", OVERALL).mean == pytest.approx((4.0 + 2.0) / 2)
    assert row(summaries, "dice", "heart").mean == pytest.approx(0.2)


def test_the_interval_is_repeatable_and_holds_the_mean() -> None:
    rng = np.random.default_rng(5)
    patients = per_patient([case(f"c{at}", f"p{at}", value) for at, value in enumerate(rng.uniform(0.5, 1.0, 60))])

    first, again, other = (row(summarize(patients, seed=seed), "dice") for seed in (0, 0, 1))

    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)
    assert first.low < first.mean < first.high


def test_the_interval_is_about_the_normal_one_for_many_patients() -> None:
    """Central limit: mean +- 1.96 standard errors."""
    rng = np.random.default_rng(6)
    values = rng.normal(0.8, 0.05, 400)

    summary = row(summarize(per_patient([case(f"c{at}", f"p{at}", value) for at, value in enumerate(values)])), "dice")

    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert summary.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert summary.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_does_not_depend_on_how_many_draws_fit_into_memory(monkeypatch) -> None:
    from monai_semigan.evaluation import table

    patients = per_patient([case(f"c{at}", f"p{at}", at / 7) for at in range(7)])
    expected = summarize(patients)
    monkeypatch.setattr(table, "MAX_DRAWS", 50)

    assert summarize(patients) == expected
