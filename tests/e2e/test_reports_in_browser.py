"""The reports in a real browser: tables sort and filter, marks and pictures lead to cases, everybody can use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import Browser, is_bad
from case_records import BUNDLE, image_record, volume_record

from monai_semigan.evaluation.groups import GroupScore
from monai_semigan.evaluation.table import CaseScore, count_classes, per_patient, summarize
from monai_semigan.report.evaluation_report import Evaluation, Thumbnail, render_evaluation_report
from monai_semigan.report.segmentation_report import ReportCase, SegmentationReport, render_segmentation_report

pytestmark = pytest.mark.e2e

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738"
    "550000000049454e44ae426082"
)


def scores(count: int = 30) -> tuple[CaseScore, ...]:
    """Cases whose Dice grows with their number, but for the last: it has none of the order."""
    return tuple(
        CaseScore(
            case=f"case{at}", patient=f"person {at // 2}", class_name="lung", dice=0.6 + 0.01 * at, iou=0.5,
            hd95_px=None, assd_px=None, hd95_mm=3.0 + at, assd_mm=1.0, is_reference_empty=False,
            is_prediction_empty=False, predicted_ml=100.0 + at % 3, reference_ml=100.0, difference_ml=float(at % 3),
        )
        for at in range(count)
    )  # fmt: skip


@pytest.fixture
def evaluation_page(browser: Browser, tmp_path: Path) -> Browser:
    cases = scores()
    group = GroupScore(
        column="scanner", value="A", num_cases=30, num_patients=15, dice=0.7, low=0.6, high=0.8, p_value=0.5, test="t"
    )
    page = Evaluation(
        summaries=tuple(summarize(per_patient(cases))),
        patients=tuple(per_patient(cases)),
        cases=cases,
        classes=tuple(count_classes(cases)),
        counts={"cases": 30, "patients": 15, "failed_cases": 0, "cases_with_ignore_mask": 0},
        worst=(Thumbnail(case="case0", dice=0.6, picture=PIXEL),),
        has_patients=True,
        groups=(group,),
        links={case.case: f"../out/{case.case}/viewer.html" for case in cases},
    )
    (tmp_path / "report.html").write_text(render_evaluation_report(page))
    browser.open((tmp_path / "report.html").as_uri())
    return browser


TABLE = "document.querySelector('table[aria-label=Cases]')"


def first_cases(browser: Browser) -> list[str]:
    rows = f"[...{TABLE}.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent)"
    return browser.run(rows)


def test_tables_sort_by_size_not_by_letters(evaluation_page) -> None:
    browser = evaluation_page
    head = f"[...{TABLE}.querySelectorAll('th button')].find((button) => button.textContent === 'HD95 (mm)')"

    browser.run(f"{head}.click()")
    assert first_cases(browser)[:3] == ["case0", "case1", "case2"]
    browser.run(f"{head}.click()")
    assert first_cases(browser)[:3] == ["case29", "case28", "case27"]
    assert browser.run(f"{head}.closest('th').getAttribute('aria-sort')") == "descending"


def test_tables_filter_by_words(evaluation_page) -> None:
    browser = evaluation_page
    field = "document.querySelector('input[aria-label=\"filter Cases\"]')"

    browser.run(f"{field}.value = 'CASE28  lung', {field}.dispatchEvent(new Event('input'))")
    assert first_cases(browser) == ["case28"]
    assert browser.run(f"{field}.closest('p').querySelector('[role=status]').textContent") == "1 of 30"
    browser.run(f"{field}.value = '', {field}.dispatchEvent(new Event('input'))")
    assert len(first_cases(browser)) == 30


def test_marks_and_pictures_lead_to_the_worst_case(evaluation_page) -> None:
    browser = evaluation_page
    marks = browser.run("[...document.querySelectorAll('.strip a')].map((mark) => mark.getAttribute('href'))")
    places = browser.run(
        "[...document.querySelectorAll('.strip circle')].map((mark) => Number(mark.getAttribute('cx')))"
    )

    assert marks == [f"../out/case{at}/viewer.html" for at in range(0, 30, 2)]  # of two cases the lower
    assert places == sorted(places) and 0 < places[0] < places[-1] < 1000
    assert browser.run("document.querySelector('.thumbnails a').getAttribute('href')") == marks[0]
    assert browser.run("document.querySelectorAll('table[aria-label=Groups] tbody tr').length") == 1
    assert "Bland-Altman" in browser.run("document.body.textContent")


@pytest.fixture
def segmentation_page(browser: Browser, tmp_path: Path) -> Browser:
    sha = "ab" * 32
    files = {"label.png": sha, "viewer.html": sha}
    records = [
        image_record("a b#1", files=files, warnings=("odd",)),
        volume_record("v", files={"label.nii.gz": sha, "montage.png": sha}),
    ]
    report = SegmentationReport(
        bundle=BUNDLE, created="2020-01-02 03:04:05", versions={}, settings={},
        cases=tuple(ReportCase(record, {"overlay": PIXEL}) for record in records),
    )  # fmt: skip
    (tmp_path / "report.html").write_text(render_segmentation_report(report))
    browser.open((tmp_path / "report.html").as_uri())
    return browser


def test_a_case_opens_in_its_viewer_where_it_has_one(segmentation_page, tmp_path) -> None:
    found = "[...document.querySelectorAll('{} a[href$=\"viewer.html\"]')].map((link) => link.href)"

    address = (tmp_path / "a b#1" / "viewer.html").as_uri()
    assert segmentation_page.run(found.format("#case-1")) == [address, address]  # the picture, and its name
    assert segmentation_page.run(found.format("#case-2")) == []


@pytest.mark.parametrize("page", ["evaluation_page", "segmentation_page"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_reports(request, page, scheme, axe) -> None:
    browser: Browser = request.getfixturevalue(page)
    browser.prefer(scheme)

    for width in (1200, 400):
        browser.resize(width)
        assert [rule["id"] for rule in axe(browser) if is_bad(rule)] == []
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.messages == []
    assert [address for address in browser.requests if not address.startswith(("file:", "data:"))] == []


def test_a_page_that_is_not_for_everybody_is_found(browser, tmp_path, axe) -> None:
    (tmp_path / "bad.html").write_text("<title>t</title><html lang='en'><img src='data:,'><input>")
    browser.open((tmp_path / "bad.html").as_uri())

    assert {rule["id"] for rule in axe(browser) if is_bad(rule)} >= {"image-alt", "label"}
    assert json.dumps(axe(browser))
