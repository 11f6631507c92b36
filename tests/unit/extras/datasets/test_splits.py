"""Roles: every patient has one, labels are nested, splits of the data set are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.extras.datasets.collection import Subject, Written
from monai_semigan.extras.datasets.splits import assign_roles


def subject(name: str, *, has_label: bool = True, part=None, test_set=None) -> Subject:
    return Subject(patient_id=name, has_label=has_label, write=lambda _: Written(), part=part, test_set=test_set)


def roles(shares, role):
    return {name for name, share in shares.items() if share.role == role}


PATIENTS = [subject(f"p{at}") for at in range(30)] + [subject(f"u{at}", has_label=False) for at in range(4)]


def test_shares_are_a_tenth_and_a_fifth_of_the_labelled():
    shares = assign_roles(PATIENTS)

    assert {role: len(roles(shares, role)) for role in ("train", "validation", "test")} == {
        "train": 21 + 4,
        "validation": 3,
        "test": 6,
    }
    assert {f"u{at}" for at in range(4)} <= roles(shares, "train")
    assert sorted(share.label_rank for share in shares.values() if share.label_rank) == list(range(1, 22))


@pytest.mark.parametrize("labels", [0, 1, 8, 21])
def test_smaller_numbers_are_among_larger_ones(labels):
    used = {name for name, share in assign_roles(PATIENTS, labels=labels, seed=7).items() if share.is_labelled}
    more = {name for name, share in assign_roles(PATIENTS, seed=7).items() if share.is_labelled}

    assert len(used) == labels and used <= more


def test_given_parts_are_kept_and_the_rest_is_split():
    subjects = [*PATIENTS[:20], subject("t", part="test"), subject("mr", part="test", test_set="mr")]

    shares = assign_roles(subjects)
    named_only = assign_roles(subjects[:20] + subjects[21:])

    assert roles(shares, "test") == {"t", "mr"} and shares["mr"].test_set == "mr"
    assert len(roles(shares, "validation")) == 2
    assert len(roles(named_only, "test")) == 1 + 4  # a foreign test set is not the data set's own


def test_too_many_labels_too_few_patients_and_doubles_are_refused():
    with pytest.raises(ConfigError, match="`labels` must be 0 to 21"):
        assign_roles(PATIENTS, labels=22)
    with pytest.raises(InputError, match="At least 3"):
        assign_roles(PATIENTS[:2])
    with pytest.raises(InputError, match="once, but 1"):
        assign_roles([*PATIENTS, PATIENTS[0]])


def test_written_defaults_are_empty():
    assert PATIENTS[0].write(Path()) == Written(images=(), volumes=(), warnings=())
