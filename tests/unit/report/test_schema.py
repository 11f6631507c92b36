"""The JSON that other programs read is what its schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from case_records import BUNDLE, image_record, volume_record
from jsonschema import Draft202012Validator

from monai_semigan.errors import OutputError
from monai_semigan.report.schema import check_json, load_schema
from monai_semigan.report.segmentation_report import REPORT_SCHEMA, ReportRecord
from monai_semigan.segmentation.record import CASE_SCHEMA
from monai_semigan.settings import to_json

RECORDS = {"image": image_record, "volume": volume_record}


def run_record(**changes: Any) -> dict[str, Any]:
    cases = image_record(), volume_record()
    record = ReportRecord(bundle=BUNDLE, created="2020-01-02 03:04:05", versions={}, settings={}, cases=cases)
    content: dict[str, Any] = json.loads(json.dumps(to_json(record)))
    return content | changes


@pytest.mark.parametrize("name", ["case", "report"])
def test_schemas_are_schemas_and_name_the_version(name) -> None:
    schema = load_schema(name)

    Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["enum"] == [{"case": CASE_SCHEMA, "report": REPORT_SCHEMA}[name]]
    assert "schema" in schema["required"] and "description" in schema["properties"]["bundle"]


@pytest.mark.parametrize("kind", RECORDS)
def test_records_follow_their_schema_and_come_back(kind) -> None:
    content = json.loads(json.dumps(to_json(RECORDS[kind]())))

    Draft202012Validator(load_schema("case")).validate(content)
    check_json("case", content)
    Draft202012Validator(load_schema("report")).validate(run_record())
    check_json("report", run_record())


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schema": "semigan-case-0"}, "schema"),
        ({"spacing_mm": [0, 1, 1]}, r"spacing_mm\[0\]"),
        ({"axcodes": ["X", "P", "S"]}, r"axcodes\[0\]"),
        ({"size": [512, 0, 3]}, r"size\[1\]"),
        ({"source": {"name": "s", "format": "dicom", "sha256": "1.2.840.113"}}, r"source\.sha256"),
        ({"kind": "movie"}, "kind"),
    ],
)
def test_what_is_wrong_is_named_and_wrong_by_the_schema_too(changes, place) -> None:
    content = json.loads(json.dumps(to_json(volume_record()))) | changes

    with pytest.raises(OutputError, match=f"`{place}` in `case.json` must be"):
        check_json("case", content)
    assert not Draft202012Validator(load_schema("case")).is_valid(content)


def test_a_report_is_checked_down_to_its_cases() -> None:
    content = run_record()
    content["cases"][1]["warnings"] = None

    with pytest.raises(OutputError, match=r"cases\[1\]\.warnings"):
        check_json("report", content)
    del content["cases"][1]["case"]
    with pytest.raises(OutputError, match="with the keys"):
        check_json("report", content)
