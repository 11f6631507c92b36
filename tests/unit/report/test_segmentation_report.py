"""The page and the JSON of a segmentation."""

from __future__ import annotations

import json
from typing import Any

from monai_semigan.report.segmentation_report import (
    CaseReport,
    FailureReport,
    SegmentationReport,
    render_segmentation_report,
)


def numbers(**changes: Any) -> dict[str, Any]:
    values = {
        "case": "a",
        "size_px": [300, 200],
        "class_shares": {"lung": 0.25},
        "class_areas_mm2": {"lung": 31_400.0},
        "image_error": 0.0123,
        "encoder_image_error": 0.0456,
        "steps_taken": 7,
        "trace": [0.5, 0.4, 0.35],
        "seconds": {"read": 0.5, "network": 1.25},
        "warnings": [],
    }
    return values | changes


def report(*cases: CaseReport, failures: tuple[FailureReport, ...] = ()) -> SegmentationReport:
    return SegmentationReport(
        bundle={"name": "lungs <1>", "version": "2", "digest": "abc123"},
        created="2020-01-02 03:04:05",
        versions={"torch": "9.9"},
        settings={"steps": 7},
        cases=cases,
        failures=failures,
        skipped=("a",),
    )


def case(name: str = "a", **changes: Any) -> CaseReport:
    return CaseReport(name=name, numbers=numbers(**changes), overlay=b"\xff\xd8overlay", reconstruction=b"\x89PNGpanel")


def test_the_page_shows_every_case_with_its_numbers(read_page) -> None:
    page = read_page(render_segmentation_report(report(case("first"), case("second"))))

    assert page.count("img") == 4 and page.text.count("loss per inversion step") == 4  # title and caption
    for words in ("first", "second", "200 x 300 px", "25.0% of the image, 314.0 cm²", "0.0123", "0.0456", "1.75 s"):
        assert words in page.text
    for words in ("Research use only", "lungs <1> 2", "abc123", "torch 9.9", "steps 7", "2020-01-02"):
        assert words in page.text


def test_failures_and_warnings_stand_out(read_page) -> None:
    failure = FailureReport(source="bad <script>.png", reason="`bad` must be an image.")

    page = read_page(render_segmentation_report(report(case(warnings=["No lung was found."]), failures=(failure,))))

    assert "Failed (1)" in page.text and "bad <script>.png" in page.text and "must be an image" in page.text
    assert "No lung was found." in page.text
    assert page.count("script") == 1


def test_odd_names_are_text(read_page) -> None:
    name = '"><script>alert(1)</script><img src="https://x/'

    page = read_page(render_segmentation_report(report(case(name))))

    assert page.count("script") == 1 and page.count("img") == 2
    assert name in page.text


def test_unknown_spacing_and_no_inversion_leave_out_area_and_trace(read_page) -> None:
    page = read_page(render_segmentation_report(report(case(class_areas_mm2=None, trace=[0.5], steps_taken=0))))

    assert "cm²" not in page.text and "loss per" not in page.text


def test_no_case_is_a_page_too(read_page) -> None:
    assert "None." in read_page(render_segmentation_report(report())).text


def test_json_holds_all_but_the_pictures() -> None:
    content = report(case(), failures=(FailureReport(source="b.png", reason="why"),)).to_json()

    assert json.loads(json.dumps(content)) == content
    assert content["schema"] == "semigan-segmentation-1"
    assert content["cases"] == [numbers()] and content["skipped"] == ["a"]
    assert content["failures"] == [{"source": "b.png", "reason": "why"}]
