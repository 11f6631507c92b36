# SPDX-License-Identifier: Apache-2.0
"""The page of a comparison says what was compared, how sure it is, and what is not fair."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import BytesIO, StringIO

import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.report.comparison_record import ComparisonRecord, RunRecord, ScoreRecord, SummaryRecord
from monai_semigan.report.comparison_report import comparison_page, comparison_picture, comparison_table
from monai_semigan.report.schema import check_json, load_schema
from monai_semigan.settings import to_json


def summary(method: str, labels: int, dice: float, **changes: object) -> SummaryRecord:
    found = SummaryRecord(
        method=method,
        labels=labels,
        set_name="validation",
        dice=dice,
        low=dice - 0.01,
        high=dice + 0.02,
        hd95_px=2.345,
        less_unet=None,
        less_unet_low=None,
        less_unet_high=None,
        steps=300.5,
        seconds=61.4,
        is_marked=False,
    )
    return replace(found, **changes)


@pytest.fixture
def record() -> ComparisonRecord:
    run = RunRecord(labels=9, seed=2, num_labelled=11, num_unlabelled=40, steps=300, seconds=60.25, validation_dice=0.9)
    score = ScoreRecord(method="unet", set_name="validation", run=run, dice=(0.9, 0.8125), hd95_px=(None, 2.5))
    return ComparisonRecord(
        created="2020-01-02 03:04",
        budget="60 s of CPU time",
        device="cpu",
        image_size=64,
        num_classes=2,
        num_patients={"validation": 2},
        seeds=3,
        base=None,
        test_scorings={},
        notes=("Be <careful>",),
        summaries=(
            summary("unet", 9, 0.9),
            summary("unet", 175, 0.95),
            summary("ours", 9, 0.92, less_unet=0.0204, less_unet_low=-0.01, less_unet_high=0.05, is_marked=True),
        ),
        scores=(score,),
        settings={},
        versions={"torch": "2"},
    )


def test_the_page_has_every_number_and_marks_what_is_not_fair(record: ComparisonRecord) -> None:
    page = comparison_page(record)

    for text in ("0.890 to 0.920", "+0.020", "-0.010 to 0.050", "2.35", "60 s of CPU time", "Be &lt;careful&gt;"):
        assert text in page, text
    assert page.count("\N{DAGGER}") == 1 and "ours \N{DAGGER}" in page
    assert page.count("<svg") == 1 and page.count("<tr>") == 4


def test_what_ours_started_from_is_said_where_it_is_compared(record: ComparisonRecord) -> None:
    assert "random weights" in comparison_page(record)
    assert "random weights" not in comparison_page(replace(record, summaries=record.summaries[:2]))


def test_test_sets_say_how_often_they_were_scored(record: ComparisonRecord) -> None:
    other = replace(
        record,
        summaries=(*record.summaries, summary("unet", 9, 0.7, set_name="test:other")),
        num_patients={"validation": 2, "test:other": 7},
        test_scorings={"test:other": 3},
    )

    page = comparison_page(other)

    assert "Test set other (7 patients; scored 3 times)" in page and page.count("<svg") == 2
    assert "scored 1 time)" in comparison_page(replace(other, test_scorings={"test:other": 1}))
    assert comparison_picture(other) != comparison_picture(record), "the figure is of the test set"


def test_the_csv_has_a_row_for_each_patient(record: ComparisonRecord) -> None:
    rows = list(csv.DictReader(StringIO(comparison_table(record))))

    assert [(row["patient"], row["dice"], row["hd95_px"]) for row in rows] == [
        ("1", "0.90000", ""), ("2", "0.81250", "2.500"),
    ]  # fmt: skip
    assert (rows[0]["method"], rows[0]["labels"], rows[0]["seed"], rows[0]["set"]) == ("unet", "9", "2", "validation")


def test_the_figure_is_a_picture(record: ComparisonRecord) -> None:
    assert Image.open(BytesIO(comparison_picture(record))).size == (1040, 800)
    assert comparison_picture(record) == comparison_picture(record)


def test_the_json_follows_its_schema(record: ComparisonRecord) -> None:
    content = json.loads(json.dumps(to_json(record)))
    Draft202012Validator.check_schema(load_schema("compare"))
    Draft202012Validator(load_schema("compare")).validate(content)
    check_json("compare", content)
    with pytest.raises(OutputError, match="summaries"):
        check_json("compare", content | {"summaries": [{}]})
    with pytest.raises(ConfigError, match="dice"):
        replace(record.scores[0], dice=(1.5,))
