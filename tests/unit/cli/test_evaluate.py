"""`semigan evaluate`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from monai_semigan.cli.main import cli, main

LUNG = np.zeros((20, 30), dtype=np.uint8)
LUNG[4:14, 6:16] = 1


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("predictions", "references"):
        (tmp_path / name).mkdir()
        for case in "ab":
            Image.fromarray(LUNG).save(tmp_path / name / f"{case}.png")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    paths = ["--predictions", str(folder / "predictions"), "--references", str(folder / "references")]
    return ["evaluate", *paths, "-o", str(folder / "out"), *more]


def run(folder: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, arguments(folder, *more), standalone_mode=False)


def test_the_table_and_the_place_of_the_report_are_printed(folders: Path) -> None:
    result = run(folders)

    assert result.exception is None and result.return_value == 0
    head, first = result.stdout.splitlines()[:2]
    assert head.split()[:4] == ["class", "metric", "cases", "mean"]
    assert first.split() == ["class", "1", "dice", "2", "1.000", "1.000", "1.000"]
    assert "2 cases scored, 0 not" in result.stdout and "report.html" in result.stdout
    assert result.stderr == ""


def test_json_is_one_object_and_nothing_else(folders: Path) -> None:
    summary = json.loads(run(folders, "--json").stdout)

    assert summary["schema"] == "semigan-evaluation-1" and summary["counts"]["cases"] == 2


def test_a_missing_counterpart_is_exit_code_3(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "predictions" / "b.png").unlink()

    with pytest.raises(SystemExit) as stop:
        main(arguments(folders))

    assert stop.value.code == 3
    assert "not scored: b: no prediction" in capsys.readouterr().err


def test_an_unusable_case_is_exit_code_3_and_the_others_are_scored(folders: Path) -> None:
    Image.fromarray(LUNG[:9]).save(folders / "predictions" / "b.png")

    result = run(folders, "--json")

    assert result.return_value == 3
    assert (
        json.loads(result.stdout)["counts"] | {"cases": 1, "unusable_cases": 1} == json.loads(result.stdout)["counts"]
    )


def test_options_reach_the_workflow(folders: Path) -> None:
    (folders / "patients.csv").write_text("case,patient\na,p\nb,p\n")
    (folders / "ignore").mkdir()
    (folders / "images").mkdir()
    Image.fromarray(LUNG).save(folders / "ignore" / "a.png")
    Image.fromarray(LUNG * 100).save(folders / "images" / "a.jpg")
    for case in "ab":
        Image.fromarray(LUNG * 255).save(folders / "references" / f"{case}.png")
    more = ("--patients", str(folders / "patients.csv"), "--ignore", str(folders / "ignore"))

    result = run(folders, "--binary", "--num-classes", "3", *more, "--images", str(folders / "images"), "--json")

    summary = json.loads(result.stdout)
    assert summary["inputs"]["images"] == "images" and "2 cases of 1 patients" in run(folders, "--binary", *more).stdout
    assert summary["counts"]["patients"] == 1 and summary["counts"]["cases_with_ignore_mask"] == 1
    assert [(item["class_name"], item["num_both_empty"]) for item in summary["classes"]] == [
        ("class 1", 1),
        ("class 2", 2),
    ]


def test_volumes_are_scored_by_class(tmp_path: Path) -> None:
    label = np.zeros((9, 8, 5), dtype=np.uint8)
    label[2:6, 2:6, 1:4], label[7, 7, 0] = 1, 4
    for name in ("predictions", "references"):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(label, np.diag([2.0, 2.0, 5.0, 1.0])), tmp_path / name / "a.nii.gz")

    summary = json.loads(run(tmp_path, "--class", "1", "--class", "2", "--json").stdout)

    assert [(item["class_name"], item["num_both_empty"]) for item in summary["classes"]] == [
        ("class 1", 0),
        ("class 2", 1),
    ]
    volumes = [item["mean"] for item in summary["summary"] if item["metric"] == "reference_ml"]
    assert volumes == [pytest.approx(0.96), 0.0] and summary["counts"]["volumes"] == 1


def test_undefined_distances_are_said(folders: Path) -> None:
    Image.fromarray(LUNG * 0).save(folders / "predictions" / "b.png")

    assert "1 surface distance(s) undefined" in run(folders).stdout


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--patients", "nowhere.csv"), "error: `nowhere.csv` must be a CSV file"),
        (("--ignore", "nowhere"), "error: `ignore` must be a folder with label maps"),
        (("--predictions", "nowhere"), "error: `predictions` must be a folder with label maps"),
    ],
)
def test_a_known_error_is_one_line_and_exit_code_1(folders, capsys, more, words) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments(folders, *more))

    printed = capsys.readouterr()
    assert stop.value.code == 1 and printed.out == ""
    assert printed.err.startswith(words) and printed.err.count("\n") == 1


def test_wrong_usage_is_exit_code_2(folders: Path) -> None:
    for wrong in (["evaluate"], arguments(folders, "--num-classes", "1")):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2


def test_help_has_examples_and_exit_codes() -> None:
    text = CliRunner().invoke(cli, ["evaluate", "--help"]).output

    assert "Examples:" in text and "--patients" in text and "Exit code 3" in text
    assert (
        text.index("\nOptions:")
        < text.index("--binary ", text.index("\nOptions:"))
        < text.index("Output:")
        < text.index("--images")
    )
