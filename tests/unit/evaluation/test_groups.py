"""Groups of patients against numbers worked out by hand."""

from __future__ import annotations

from math import comb, sqrt

import pytest

from monai_semigan.evaluation.groups import GroupScore, PatientDice, group_values, score_groups


def scores(*dice: float) -> list[PatientDice]:
    return [PatientDice(f"c{at}", f"p{at}", value) for at, value in enumerate(dice)]


def column(*values: str) -> dict[str, str]:
    return {f"c{at}": value for at, value in enumerate(values)}


def by_value(rows: list[GroupScore]) -> dict[str, GroupScore]:
    return {row.value: row for row in rows}


def test_mean_and_students_interval() -> None:
    rows = by_value(score_groups(scores(0.6, 0.7, 0.8, 0.5, 0.5, 0.5), {"site": column(*"AAABBB")}))

    half = 4.302653 * 0.1 / sqrt(3)  # t of 2 degrees of freedom, tables; standard deviation 0.1
    assert rows["A"].dice == pytest.approx(0.7)
    assert (rows["A"].low, rows["A"].high) == pytest.approx((0.7 - half, 0.7 + half), abs=1e-6)
    assert (rows["B"].dice, rows["B"].low, rows["B"].high) == (0.5, 0.5, 0.5)
    assert (rows["A"].num_cases, rows["A"].num_patients) == (3, 3)


def test_p_is_the_share_of_dealings_at_least_as_uneven() -> None:
    """Of the C(8, 4) dealings of eight different values, two tell the four lowest from the four highest."""
    rows = score_groups(scores(0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9), {"site": column(*"AAAABBBB")})

    assert [row.p_value for row in rows] == pytest.approx([2 / comb(8, 4)] * 2, abs=0.006)
    assert "permutation" in rows[0].test


def test_equal_groups_are_not_told_apart() -> None:
    rows = score_groups(scores(0.5, 0.6, 0.5, 0.6), {"site": column(*"AABB")})

    assert {row.p_value for row in rows} == {1.0}


def test_a_patient_counts_once_in_a_group() -> None:
    cases = [PatientDice("c0", "p", 0.2), PatientDice("c1", "p", 0.4), *scores(0, 0, 0.9, 0.8, 0.7)[2:]]

    rows = by_value(score_groups(cases, {"site": column(*"AAABB")}))

    assert rows["A"].dice == pytest.approx((0.3 + 0.9) / 2)
    assert (rows["A"].num_cases, rows["A"].num_patients) == (3, 2)


def test_patients_in_several_groups_are_not_tested() -> None:
    cases = [PatientDice(f"c{at}", f"p{at // 2}", 0.5) for at in range(8)]

    rows = score_groups(cases, {"scanner": column(*"ABABABAB")})

    assert {row.p_value for row in rows} == {None} and "in several groups" in rows[0].test


def test_a_single_group_is_not_tested() -> None:
    (row,) = score_groups(scores(0.5, 0.6, 0.7, 0.8), {"site": column("A", "A", "A", "A")})

    assert row.p_value is None and row.dice == pytest.approx(0.65)


def test_numbers_are_cut_at_their_quartiles() -> None:
    ages = [20 + 5 * at for at in range(12)]

    groups = group_values(column(*map(str, ages)), {f"c{at}": f"p{at}" for at in range(12)})

    assert list(dict.fromkeys(groups.values())) == ["20 to 30", "35 to 45", "50 to 60", "65 to 75"]


def test_a_value_for_everybody_is_no_group() -> None:
    names = column("Grete", "Hans", "Ilse", "Jan", "")

    assert group_values(names, {f"c{at}": f"p{at}" for at in range(5)}) == {}
    assert score_groups(scores(0.5, 0.5, 0.5, 0.5, 0.5), {"name": names}) == []


def test_cases_without_a_value_are_in_no_group() -> None:
    rows = by_value(score_groups(scores(0.5, 0.5, 0.5, 0.5, 0.1), {"site": column("A", "A", "B", "B", "")}))

    assert sorted(rows) == ["A", "B"] and rows["A"].dice == 0.5
