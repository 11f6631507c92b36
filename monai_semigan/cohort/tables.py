# SPDX-License-Identifier: Apache-2.0
"""What a manifest's file holds."""

from __future__ import annotations

from monai_semigan.cohort.database import Schema
from monai_semigan.cohort.naming import MANIFEST_NAME

__all__ = ["MANIFEST"]

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE cases (
    id INTEGER PRIMARY KEY,
    case_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    path BLOB NOT NULL,
    part TEXT NOT NULL,
    source TEXT NOT NULL,
    patient TEXT NOT NULL,
    reference BLOB,
    groups TEXT NOT NULL,
    share INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'refused', 'failed')),
    host TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    since REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL,
    digest TEXT NOT NULL DEFAULT '',
    expected_dice REAL,
    warnings INTEGER NOT NULL DEFAULT 0,
    dice REAL,
    UNIQUE (path, part)
);
CREATE INDEX cases_by_state ON cases (state, attempts, id);
CREATE INDEX cases_by_owner ON cases (owner) WHERE owner != '';
"""

MANIFEST = Schema(
    name=MANIFEST_NAME,
    application=0x53474348,  # "SGCH"
    version=1,
    tables=TABLES,
    what="the manifest of a cohort",
    folder="the output folder of a cohort",
    begin="semigan cohort run",
    lost=" and repeat `semigan cohort run`: finished cases are found again",
)
