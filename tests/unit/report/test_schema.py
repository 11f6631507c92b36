"""The JSON that other programs read is what its schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from monai_semigan.errors import OutputError
from monai_semigan.report.schema import check_json, load_schema
from monai_semigan.report.segmentation_report import SCHEMA
from monai_semigan.workflows.segmenting import CASE_SCHEMA, segment

SHA = "ab" * 32


def volume_case(**changes: Any) -> dict[str, Any]:
    case = {
        "schema": CASE_SCHEMA,
        "case": "a",
        "source": {"name": "series", "series_sha256": SHA, "num_files": 30},
        "bundle": {"name": "b", "version": "1", "digest": SHA},
        "versions": {"torch": "2"},
        "settings": {"steps": 5},
        "modality": "CT",
        "size_px": [512, 512, 30],
        "spacing_mm": [0.7, 0.7, 5.0],
        "axcodes": ["L", "P", "S"],
        "class_names": ["background", "liver"],
        "class_volumes_ml": {"liver": 1450.5},
        "image_error": None,
        "seconds": {"read": 1.5},
        "warnings": [],
    }
    return case | changes


@pytest.mark.parametrize("name", ["case", "report"])
def test_schemas_are_schemas_and_name_the_version(name):
    schema = load_schema(name)

    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == {"case": CASE_SCHEMA, "report": SCHEMA}[name]


def test_a_run_writes_what_the_schemas_say(tiny_bundle, xray_files, tmp_path):
    broken = xray_files / "images" / "broken.png"
    broken.write_bytes(b"no picture")

    report = segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out", steps=1)

    assert report.failures and report.cases
    check_json("report", json.loads((tmp_path / "out" / "report.json").read_text()))
    check_json("case", json.loads((tmp_path / "out" / "case0" / "case.json").read_text()))


def test_volumes_have_their_place():
    check_json("case", volume_case())


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schema": "semigan-case-0"}, "schema"),
        ({"class_volumes_ml": {"liver": -1}}, "class_volumes_ml/liver"),
        ({"spacing_mm": [0, 1, 1]}, "spacing_mm/0"),
        ({"axcodes": ["X", "P", "S"]}, "axcodes/0"),
        ({"source": {"name": "s", "series_sha256": "1.2.840.113"}}, "source/series_sha256"),
        ({"size_px": [1]}, "size_px"),
    ],
)
def test_what_is_wrong_is_named(changes, place):
    with pytest.raises(OutputError, match=f"at {place}:"):
        check_json("case", volume_case(**changes))


def test_a_report_is_checked_down_to_its_cases():
    report = {"schema": SCHEMA, "created": "2020-01-02 03:04:05", "versions": {}, "settings": {}, "skipped": []}
    report |= {"bundle": volume_case()["bundle"], "failures": [], "cases": [volume_case(), volume_case(warnings=None)]}

    with pytest.raises(OutputError, match="at cases/1/warnings:"):
        check_json("report", report)
    missing = volume_case()
    del missing["case"]
    with pytest.raises(OutputError, match="'case' is a required property"):
        check_json("case", missing)
