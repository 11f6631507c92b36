# SPDX-License-Identifier: Apache-2.0
"""Rows as a manifest's file holds them: paths are bytes there, as names of files need not be text."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from monai_semigan.cohort.rows import CaseRow, Unit

__all__ = ["COLUMNS", "encoded", "row_of", "values_of"]

COLUMNS = ", ".join("case_name" if part.name == "case" else part.name for part in fields(CaseRow))
"""Of a `rows.CaseRow`, in the order of its fields."""


def values_of(unit: Unit) -> tuple[str, str, str, bytes | None, str]:
    """Return case, source, patient, reference and groups as the columns hold them."""
    groups = json.dumps(dict(unit.groups), sort_keys=True)
    return unit.case, unit.source, unit.patient, encoded(unit.reference), groups


def row_of(values: Sequence[Any]) -> CaseRow:
    """Read a row of `COLUMNS`."""
    found = dict(zip((part.name for part in fields(CaseRow)), values, strict=True))
    found["path"] = Path(os.fsdecode(found["path"]))
    found["reference"] = None if found["reference"] is None else Path(os.fsdecode(found["reference"]))
    found["groups"] = json.loads(found["groups"])
    return CaseRow(**found)


def encoded(path: Path | None) -> bytes | None:
    """Return a path as a column holds it."""
    return None if path is None else os.fsencode(path)
