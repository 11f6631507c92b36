# SPDX-License-Identifier: Apache-2.0
"""What is unlike a bundle's images is warned of, or refused on request: no mask, exit code 4."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dicom_series_builder import write_xray
from known_xrays import knowing
from PIL import Image

from monai_semigan import SegmentOptions, evaluate_files, segment_files
from monai_semigan.cli.main import cli
from monai_semigan.cohort.running import CohortOptions, run_cohort

pytestmark = pytest.mark.e2e


@pytest.fixture
def bundle(tiny_bundle: Path, make_xray, edit_bundle) -> Path:
    edit_bundle(tiny_bundle, max_image_error=50.0)
    return knowing(tiny_bundle, make_xray)


@pytest.fixture
def pictures(tmp_path: Path, make_xray) -> Path:
    """An image of the own kind, and a turned one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    own = make_xray(77, 91, seed=300)[0]
    Image.fromarray(own).save(folder / "own.png")
    Image.fromarray(np.ascontiguousarray(np.rot90(own))).save(folder / "turned.png")
    return folder


def run(bundle: Path, pictures: Path, out: Path, *more: str) -> tuple[int, dict]:
    arguments = ["segment", str(pictures), "-b", str(bundle), "-o", str(out), "--device", "cpu", "--json", *more]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    return done.return_value, json.loads(done.stdout)


def test_by_default_it_is_warned_of(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    code, report = run(bundle, pictures, tmp_path / "out")
    own, turned = report["cases"]
    assert code == 0 and (tmp_path / "out" / "turned" / "label.png").exists()
    assert own["ood"]["score"] <= own["ood"]["limit"] == 0.5 < turned["ood"]["score"]
    assert any("Unlike the images" in said for said in turned["warnings"])
    assert not any("Unlike" in said for said in own["warnings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "out-of-distribution score" in page and f"{turned['ood']['score']:.2f} (usual up to 0.50" in page
    assert json.loads((tmp_path / "out" / "turned" / "case.json").read_text())["ood"] == turned["ood"]


def test_no_pacs_gets_its_mask_unless_asked_for(bundle: Path, make_xray, tmp_path: Path) -> None:
    own = make_xray(77, 91, seed=300)[0]
    for name, pixels in (("own", own), ("turned", np.rot90(own))):
        write_xray(tmp_path / "in" / f"{name}.dcm", pixels)

    _, report = run(bundle, tmp_path / "in", tmp_path / "out")
    run(bundle, tmp_path / "in", tmp_path / "all", "--unlike-seg", "write")

    assert {path.parent.name for path in (tmp_path / "out").glob("*/seg.dcm")} == {"own"}
    assert any("No seg.dcm was written: The source is unlike" in said for said in report["cases"][1]["warnings"])
    assert len(list((tmp_path / "all").glob("*/seg.dcm"))) == 2


def test_on_request_it_gets_no_mask_and_an_earlier_one_goes(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    run(bundle, pictures, tmp_path / "out")
    code, report = run(bundle, pictures, tmp_path / "out", "--refuse-ood")
    (failure,) = report["failures"]
    assert code == 4 and [case["case"] for case in report["cases"]] == ["own"]
    assert failure["source"] == "turned.png" and failure["is_unlike"] and "out-of-distribution" in failure["reason"]
    assert not (tmp_path / "out" / "turned").exists() and (tmp_path / "out" / "own" / "label.png").exists()


def test_another_failure_alone_is_not_that(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "turned.png").write_bytes(b"no image")
    code, report = run(bundle, pictures, tmp_path / "out", "--refuse-ood")
    assert code == 3 and not report["failures"][0]["is_unlike"]


def test_in_a_cohort_it_is_refused(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    options = CohortOptions(segment=SegmentOptions(device="cpu", refuse_ood=True))
    outcome = run_cohort([pictures], bundle=bundle, output=tmp_path / "out", options=options)
    assert outcome.counts["refused"] == 1 and outcome.counts["done"] == 1 and outcome.has_failures
    assert not (tmp_path / "out" / "turned").exists()
    (failure,) = outcome.report.segmentation.failures
    assert failure.source == "turned" and "out-of-distribution" in failure.reason


def test_without_a_reference_nothing_is_refused(tiny_bundle: Path, pictures: Path, tmp_path: Path) -> None:
    code, report = run(tiny_bundle, pictures, tmp_path / "out", "--refuse-ood")
    assert code == 0 and [case["ood"] for case in report["cases"]] == [None, None]


def test_scores_say_it_by_case(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    options = SegmentOptions(device="cpu")
    report = segment_files([pictures], bundle=bundle, output=tmp_path / "out", options=options)
    (tmp_path / "masks").mkdir()
    for case in ("own", "turned"):
        Image.open(tmp_path / "out" / case / "label.png").save(tmp_path / "masks" / f"{case}.png")
    evaluate_files(tmp_path / "out", tmp_path / "masks", tmp_path / "scores")
    rows = list(csv.DictReader((tmp_path / "scores" / "cases.csv").read_text().splitlines()))
    wanted = {case.record.case: case.record.ood.score for case in report.cases}
    assert {row["case"]: float(row["ood"]) for row in rows} == pytest.approx(wanted, abs=1e-6)
    assert "out of distribution" in (tmp_path / "scores" / "report.html").read_text()
