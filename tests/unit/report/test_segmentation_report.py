"""The page and the JSON of a segmentation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from case_records import BUNDLE, SHA, image_record, volume_record

from monai_semigan.report.schema import check_json
from monai_semigan.report.segmentation_report import (
    FailureReport,
    RedoneReport,
    ReportCase,
    SegmentationReport,
    render_segmentation_report,
    setting_text,
)
from monai_semigan.segmentation.record import CaseRecord, ReconstructionRecord
from monai_semigan.settings import to_json


def report(*records: CaseRecord, **changes: Any) -> SegmentationReport:
    pictures = {"overlay.png": b"\xff\xd8overlay", "reconstruction.png": b"\x89PNGpanel"}
    values = {
        "bundle": BUNDLE,
        "created": "2020-01-02 03:04:05",
        "versions": {"torch": "9.9"},
        "settings": {"steps": 7},
        "cases": tuple(ReportCase(record, pictures) for record in records),
        "skipped": ("a",),
    }
    return SegmentationReport(**(values | changes))


def test_the_page_shows_every_case_with_its_numbers(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record("first"), image_record("second"))))

    assert page.count("img") == 4 and page.text.count("loss per inversion step") == 2
    for words in ("first", "second", "200 x 300 pixels of 0.5 x 0.8 mm", "25.0 %", "314.0 cm²", "0.912", "1.75 s"):
        assert words in page.text
    assert "Settings of this run" in page.text and page.text.index("steps", page.text.index("Settings of this run"))
    for words in ("Research use only", "lungs <1> 2", SHA, "torch 9.9", "2020-01-02"):
        assert words in page.text


def test_the_error_is_named_once_with_its_measure_and_its_limit(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record())))

    assert "0.0456 (mean squared; usual up to 0.05)" in page.text
    assert "7 inversion steps: error 0.0123" in page.text
    assert "mean squared error of the image that the network sees" in page.text
    unrefined = ReconstructionRecord(measure="mean_squared", encoder=0.0456, refined=0.0456, limit=0.05)
    assert "refined by" not in render_segmentation_report(report(image_record(reconstruction=unrefined)))
    empty = ReconstructionRecord(measure="local_correlation", encoder=None, refined=None, limit=0.7)
    assert "nothing was reconstructed" in render_segmentation_report(report(volume_record(reconstruction=empty)))


def test_a_volume_has_its_window_its_slices_and_its_millilitres(read_page) -> None:
    page = read_page(render_segmentation_report(report(volume_record())))

    for words in ("512 x 500 x 30 voxels of 0.7 x 0.8 x 5 mm", "LPS", "CT: DICOM tag", "-140 to 260 HU", "1500 mL"):
        assert words in page.text
    assert "30: 17 with label, 18 refined, 2 empty" in page.text and "liver (mL)" in page.text
    assert "local correlation; usual up to 0.7" in page.text


def test_the_scale_bar_is_as_long_as_it_says(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record())))

    (bar,) = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert "20 mm" in page.text and float(bar["width"] or 0) == 40.0  # of 100 mm across 200 pixels
    unknown = report(image_record(spacing_mm=None), volume_record())
    assert read_page(render_segmentation_report(unknown)).count("rect") == 0


def test_cases_are_reached_from_the_overview_and_lead_to_their_files(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record("a b/?#"), volume_record(warnings=("odd",)))))

    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    targets = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    assert {link for link in links if str(link).startswith("#")} <= targets and "#case-2" in links
    assert links.index("a%20b/%3F%23/label.png") < links.index("a%20b/%3F%23/overlay.png")
    assert "v/label.nii.gz" in links


def test_warnings_can_be_filtered_where_some_have_none(read_page) -> None:
    some, none = report(image_record(), image_record("b", warnings=("odd",))), report(image_record())

    page = read_page(render_segmentation_report(some))
    assert page.count("input") == 1
    warned = [str(attributes.get("class")) for tag, attributes in page.elements if tag in ("section", "tr")]
    assert sum("warned" in name.split() for name in warned) == 2  # its row and its case
    assert read_page(render_segmentation_report(none)).count("input") == 0


def test_failures_and_warnings_stand_out(read_page) -> None:
    failure = FailureReport(source="bad <script>.png", reason="`bad` must be an image.")
    redone = RedoneReport(case="a", reason="other settings (steps)")

    made = report(image_record(warnings=("No lung was found.",)), failures=(failure,), redone=(redone,))
    page = read_page(render_segmentation_report(made))

    assert "Failed (1)" in page.text and "bad <script>.png" in page.text and "must be an image" in page.text
    assert "No lung was found." in page.text and "other settings (steps)" in page.text
    assert page.count("script") == 1


def test_odd_names_are_text(read_page) -> None:
    name = '"><script>alert(1)</script><img src="https://x/'

    page = read_page(render_segmentation_report(report(image_record(name))))

    assert page.count("script") == 1 and page.count("img") == 2
    assert name in page.text


def test_unknown_spacing_and_no_inversion_leave_out_area_and_trace(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record(spacing_mm=None, trace=(0.5,), steps_taken=0))))

    assert "spacing unknown" in page.text and "loss per" not in page.text and page.count("polyline") == 0


def test_the_loss_falls_from_left_to_right(read_page) -> None:
    page = read_page(render_segmentation_report(report(image_record(trace=(3.0, 2.0, 1.0)))))

    (line,) = [attributes for tag, attributes in page.elements if tag == "polyline"]
    assert line["points"] == "2.0,2.0 110.0,22.0 218.0,42.0"


def test_no_case_and_no_picture_are_pages_too(read_page) -> None:
    assert "None." in read_page(render_segmentation_report(report())).text
    bare = report(cases=(ReportCase(image_record()),))
    assert "no picture" in read_page(render_segmentation_report(bare)).text


def test_json_holds_all_but_the_pictures() -> None:
    made = report(image_record(), volume_record(), failures=(FailureReport(source="b.png", reason="why"),))

    content = made.to_json()

    assert json.loads(json.dumps(content)) == content
    check_json("report", content)
    assert content["cases"][0] == to_json(image_record()) and content["skipped"] == ["a"]
    assert content["failures"] == [{"source": "b.png", "reason": "why", "is_unlike": False}]


def test_a_report_is_one_line_in_a_terminal_and_a_page_in_a_notebook(read_page) -> None:
    made = report(image_record(warnings=("odd",)), image_record("b"))

    assert repr(made) == "SegmentationReport(lungs <1> 2: 2 cases, 1 with warnings, 0 failed)"
    frame = made._repr_html_()
    assert frame.startswith("<iframe") and frame.count("<") == 2 and "sandbox" in frame
    assert len(repr(made.cases[0])) < 2500 and "PNG" not in repr(made.cases[0])


def test_the_created_time_is_checked() -> None:
    with pytest.raises(Exception, match="`created` must be a time"):
        report(created="yesterday").to_json()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"image": {"steps": 0, "encoder_share": 0.5}}, "image steps 0, encoder share 0.5"),
        ({"CT": {"steps": 0}, "MR": {"steps": 20}}, "CT steps 0; MR steps 20"),
        ({"fill_missing": False, "tilt": "refuse"}, "fill missing no, tilt refuse"),
        (["png", "nifti"], "png, nifti"),
        ([], "none"),
        (None, "none"),
        (True, "yes"),
        (4, "4"),
    ],
)
def test_settings_are_written_for_a_reader(value: object, text: str) -> None:
    assert setting_text(value) == text
