# SPDX-License-Identifier: Apache-2.0
"""What a structured report says of a record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from case_records import image_record, volume_record

from monai_semigan.segmentation.measurements import OF_CASE, OF_CLASS, case_findings
from monai_semigan.segmentation.record import ClassRecord, OodRecord
from monai_semigan.writers.terminology import PRIVATE_SCHEME, known_segment

LIVER, LUNG = known_segment("liver", (1, 2, 3)), known_segment("lung", (1, 2, 3))


def numbers(measured) -> dict[str, tuple[float, str]]:
    return {item.name.meaning: (item.value, item.unit.value) for item in measured}


def test_a_volume():
    found = case_findings(volume_record(warnings=("Mind the gap.",)), [LIVER])

    (finding,) = found.findings
    assert numbers(finding.measured) == {"Volume": (1450.52, "mL"), "Expected Dice": (0.95, "1")}
    assert numbers(found.measured) == {
        "Lowest expected Dice": (0.95, "1"),
        "Reconstruction error": (0.41, "1"),
        "Reconstruction error, refined": (0.38, "1"),
        "Usual reconstruction error, at most": (0.7, "1"),
    }
    assert {item.method and item.method.value for item in found.measured} == {None, "local-corr"}
    assert found.is_volume and found.notes == ("Mind the gap.",) and finding.evaluated == ()


def test_how_unlike_a_case_is_where_the_bundle_can_say_it():
    said = case_findings(volume_record(ood=OodRecord(score=0.7, limit=0.5, parts={})), [LIVER])

    assert (
        numbers(said.measured).items()
        >= {
            "Out-of-distribution score": (0.7, "1"),
            "Usual out-of-distribution score, at most": (0.5, "1"),
        }.items()
    )


def test_a_class_that_was_not_found_is_zero():
    part = ClassRecord(name="liver", share=0, volume_ml=0.0)

    found = case_findings(volume_record(classes=(part,)), [LIVER])

    assert numbers(found.findings[0].measured) == {"Volume": (0.0, "mL")}
    assert "Lowest expected Dice" not in numbers(found.measured)


def test_a_cut_class_is_said_to_be():
    part = ClassRecord(name="liver", share=0.1, volume_ml=9.0, is_cut=True)

    (finding,) = case_findings(volume_record(classes=(part,)), [LIVER]).findings

    assert [item.value.value for item in finding.evaluated] == ["cut"]


@pytest.mark.parametrize(
    ("area_mm2", "expected"),
    [(31_400.0, {"Area": (31_400.0, "mm2")}), (None, {"Number of pixels": (15_000.0, "{pixels}")})],
)
def test_an_image_has_an_area_or_pixels(area_mm2, expected):
    part = replace(image_record().classes[0], area_mm2=area_mm2)

    found = case_findings(image_record(classes=(part,)), [LUNG])

    assert numbers(found.findings[0].measured) == expected | {"Expected Dice": (0.912, "1")}
    assert not found.is_volume and {item.method.value for item in found.measured if item.method} == {"mean-squared"}


def test_codes_are_writable_and_distinct():
    names = [row.name for row in (*OF_CLASS, *OF_CASE)]

    assert len({name[:2] for name in names}) == len(names)
    assert all(len(name.value) <= 16 and len(name.meaning) <= 64 for name in names)
    assert {name.scheme for name in names} == {"SCT", PRIVATE_SCHEME}
