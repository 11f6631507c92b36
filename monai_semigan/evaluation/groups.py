# SPDX-License-Identifier: Apache-2.0
"""Does it work as well for all: the Dice of groups of patients, such as those of a scanner, and whether they differ.

Patients are counted, not cases: a patient's cases in a group are averaged first. The test is a permutation test of one
table column: patients are dealt out to the groups at random, and the statistic is the variation between the groups'
means, as in an analysis of variance. Columns are tested one by one; nothing is corrected for their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_semigan.evaluation.small_sample import mean_interval

__all__ = ["NUM_PERMUTATIONS", "GroupScore", "PatientDice", "group_values", "score_groups"]

NUM_PERMUTATIONS = 9_999
"""With the observed one 10,000: p is known to about 0.002 at 0.05."""

MAX_DRAWS = 1_000_000
"""Values held at once while patients are dealt out; the result does not depend on it."""

MAX_GROUPS = 20
"""A column of more values is cut at its quartiles if it holds numbers, and left out if not."""

MIN_PER_GROUP = 2
"""Patients that a group has on average: a column with a value for nearly everybody, as a name, holds no groups."""

Values = Mapping[str, Mapping[str, str]]
"""A column's value by case, by column."""


@dataclass(frozen=True)
class PatientDice:
    """One case's Dice.

    Attributes:
        case: Its name.
        patient: Whose it is.
        dice: Mean of its classes.
    """

    case: str
    patient: str
    dice: float


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """One value of a column.

    Attributes:
        column: Of the table.
        value: In that column.
        num_cases: Cases with it.
        num_patients: Patients with it.
        dice: Mean over patients.
        low: Lower end of Student's 95 % interval, within 0 to 1; None for a single patient.
        high: Upper end.
        p_value: Of the column's test; None where there is none.
        test: What the test is, or why there is none.
    """

    column: str
    value: str
    num_cases: int
    num_patients: int
    dice: float
    low: float | None
    high: float | None
    p_value: float | None
    test: str


def score_groups(scores: Sequence[PatientDice], columns: Values, *, seed: int = 0) -> list[GroupScore]:
    """Compare the groups of every column that has some.

    Args:
        scores: Dice of every case.
        columns: Values by case, by column; a case without one is in no group.
        seed: Of the permutations.
    """
    return [row for column, values in columns.items() for row in _column_scores(column, values, scores, seed)]


def group_values(values: Mapping[str, str], patients: Mapping[str, str]) -> dict[str, str]:
    """Return each case's group; numbers of many values are cut at their quartiles, a column without groups is empty.

    Args:
        values: By case, as in the table.
        patients: By case.
    """
    known = {case: value for case, value in values.items() if value and case in patients}
    num_patients = len({patients[case] for case in known})
    if not known or num_patients < 2 * MIN_PER_GROUP:
        return {}
    if len(set(known.values())) <= min(MAX_GROUPS, num_patients // MIN_PER_GROUP):
        return known
    try:
        numbers = {case: float(value) for case, value in known.items()}
    except ValueError:
        return {}
    found = np.array(list(numbers.values()))
    if not np.isfinite(found).all():
        return {}
    inner = np.unique(np.quantile(found, (0.25, 0.5, 0.75), method="inverted_cdf"))
    places = {case: int(np.searchsorted(inner, number)) for case, number in numbers.items()}
    ends = {place: [number for case, number in numbers.items() if places[case] == place] for place in places.values()}
    return {case: f"{min(ends[place]):g} to {max(ends[place]):g}" for case, place in places.items()}


def _column_scores(
    column: str, values: Mapping[str, str], scores: Sequence[PatientDice], seed: int
) -> list[GroupScore]:
    groups = group_values(values, {score.case: score.patient for score in scores})
    members: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        if score.case in groups:
            members[groups[score.case]][score.patient].append(score.dice)
    means = {
        value: {patient: float(np.mean(dice)) for patient, dice in patients.items()}
        for value, patients in members.items()
    }
    p_value, test = _tested(means, seed)
    rows = []
    for value in sorted(means, key=_in_order):
        found = mean_interval(list(means[value].values()))
        rows.append(
            GroupScore(
                column=column,
                value=value,
                num_cases=sum(map(len, members[value].values())),
                num_patients=found.count,
                dice=found.mean,
                low=None if found.low is None else max(found.low, 0.0),
                high=None if found.high is None else min(found.high, 1.0),
                p_value=p_value,
                test=test,
            )
        )
    return rows


def _tested(means: Mapping[str, Mapping[str, float]], seed: int) -> tuple[float | None, str]:
    patients = [patient for group in means.values() for patient in group]
    if len(means) < 2:
        return None, "none: a single group"
    if len(set(patients)) < len(patients):
        return None, "none: patients are in several groups"
    values = np.array([dice for group in means.values() for dice in group.values()])
    p_value = _permutation_p([len(group) for group in means.values()], values, seed)
    return p_value, f"permutation of patients, {NUM_PERMUTATIONS} times, variation between group means"


def _permutation_p(sizes: Sequence[int], values: np.ndarray, seed: int) -> float:
    """Return how rare a variation between groups as large as this is where groups mean nothing."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def variation(rows: np.ndarray) -> np.ndarray:
        """Sum of squares between the groups, but for what is the same in all permutations."""
        return np.asarray((np.add.reduceat(rows, starts, axis=1) ** 2 / np.asarray(sizes)).sum(axis=1))

    centered = values - values.mean()
    observed = float(variation(centered[None])[0])
    tolerance = 1e-9 * float((centered**2).sum())  # sums in another order differ by rounding
    rng, at_least = np.random.default_rng(seed), 0
    step = max(1, MAX_DRAWS // len(values))
    for done in range(0, NUM_PERMUTATIONS, step):
        rows = np.tile(centered, (min(step, NUM_PERMUTATIONS - done), 1))
        at_least += int((variation(rng.permuted(rows, axis=1)) >= observed - tolerance).sum())
    return (1 + at_least) / (1 + NUM_PERMUTATIONS)


def _in_order(value: str) -> tuple[float, str]:
    """Order numbers, and ranges of them, by size; words after them by name."""
    try:
        return float(value.split(" to ", maxsplit=1)[0]), value
    except ValueError:
        return np.inf, value
