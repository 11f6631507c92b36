# SPDX-License-Identifier: Apache-2.0
"""What ``case.json``, ``report.json`` and ``compare.json`` hold, for whoever reads them."""

from __future__ import annotations

from typing import Any, Literal

from monai_semigan.errors import OutputError
from monai_semigan.report.comparison_record import ComparisonRecord
from monai_semigan.report.segmentation_report import ReportRecord
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.settings import json_schema, read_settings

__all__ = ["check_json", "load_schema"]

SchemaName = Literal["case", "report", "compare"]

RECORDS: dict[SchemaName, tuple[type, str]] = {
    "case": (CaseRecord, "case.json: one segmented case"),
    "report": (ReportRecord, "report.json: all that a call of semigan segment did"),
    "compare": (ComparisonRecord, "compare.json: methods against each other, by number of labels"),
}


def load_schema(name: SchemaName) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a result's JSON file, made from the dataclass that it is written from.

    The version is the only value of its property ``schema``.
    """
    kind, title = RECORDS[name]
    schema = json_schema(kind, title=title, identifier=f"{name}.schema.json")
    return schema | {"required": ["schema", *schema["required"]]}


def check_json(name: SchemaName, content: Any) -> None:
    """Check that content is what the schema says.

    Raises:
        OutputError: It is not; with the place and the reason.
    """
    read_settings(RECORDS[name][0], content, f"{name}.json", error=OutputError)
