"""Label maps by case, and the table of patients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_semigan.errors import InputError
from monai_semigan.evaluation.files import find_labels, find_predictions, pair_hint, read_patients


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "patients.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_both_layouts_of_predictions_are_found(tmp_path: Path) -> None:
    touch(tmp_path / "flat.png")
    touch(tmp_path / ".hidden.png")
    touch(tmp_path / ".half-written.tmp" / "label.png")
    touch(tmp_path / "bare" / "label.png")
    record = touch(tmp_path / "full" / "label.png").with_name("case.json")
    record.write_text(json.dumps({"spacing_mm": [0.5, 0.25], "class_names": ["background", "lung"]}))

    found = find_predictions(tmp_path)

    assert found.keys() == {"flat", "bare", "full"}
    assert found["full"].checked_spacing_mm() == (0.5, 0.25) and found["full"].class_names == ("background", "lung")
    assert found["bare"].checked_spacing_mm() is None and found["flat"].class_names is None


def test_every_format_of_segment_is_found_and_a_case_in_several_is_one(tmp_path: Path) -> None:
    wanted = {name: touch(tmp_path / name / f"label.{name}") for name in ("png", "nii.gz", "mha", "nrrd")}
    wanted["both"] = touch(tmp_path / "both" / "label.nii.gz")
    touch(tmp_path / "both" / "label.mha")

    assert {case: found.label for case, found in find_predictions(tmp_path).items()} == wanted


@pytest.mark.parametrize("spacing", [[1.0], [0.0, 1.0], [1.0, -1.0], "1", [1.0, "1"], {"row": 1.0}])
def test_a_wrong_spacing_is_refused(tmp_path: Path, spacing: object) -> None:
    record = touch(tmp_path / "case" / "label.png").with_name("case.json")
    record.write_text(json.dumps({"spacing_mm": spacing}))

    with pytest.raises(InputError, match=r"`spacing_mm` in case\.json must be two positive numbers"):
        find_predictions(tmp_path)["case"].checked_spacing_mm()


@pytest.mark.parametrize("content", ["{", "[1]", b"\xff\xfe"])
def test_a_damaged_record_is_that_cases_problem(tmp_path: Path, content: str | bytes) -> None:
    record = touch(tmp_path / "case" / "label.png").with_name("case.json")
    record.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(InputError, match=r"`case\.json` must be a JSON object"):
        find_predictions(tmp_path)["case"].checked_spacing_mm()


def test_a_case_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    touch(tmp_path / "a" / "label.png")
    with pytest.raises(InputError, match=r"every case once, got a\.png and a/"):
        find_predictions(tmp_path)

    touch(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"every case once, got a\.png and a\.tif"):
        find_labels(tmp_path, "references")


@pytest.mark.parametrize(
    ("name", "cause"), [("nowhere", "does not exist"), ("file.png", "is no folder"), (".", "holds none")]
)
def test_a_folder_without_label_maps_is_refused(tmp_path: Path, name: str, cause: str) -> None:
    if name == "file.png":
        touch(tmp_path / name)

    with pytest.raises(InputError, match=f"`references` must be a folder with label maps .* {cause}"):
        find_labels(tmp_path / name, "references")
    with pytest.raises(InputError, match="`predictions` must be a folder"):
        find_predictions(tmp_path / "nothing")


def test_patients_are_read_whatever_else_the_table_holds(tmp_path: Path) -> None:
    path = write_table(tmp_path, "\ufeffpatient,age,case", "p1,40,a", "p1,41, b ", "p2,,c")

    assert read_patients(path, ["a", "b"], ["a", "b", "c"]) == {"a": "p1", "b": "p1", "c": "p2"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["case,person", "a,p"], "must have the columns case and patient"),
        ([""], "must have the columns case and patient"),
        (["case,patient", "a,p", "b,p", "a,q"], "name every case once, but 1 are named twice: a"),
        (["case,patient", "a,p", "b,"], "a patient for every case, but 1 are without one: b"),
        (["case,patient", "a,p", "b"], "a patient for every case, but 1 are without one: b"),
        (["case,patient", "a,p", "b,p", "x,p", "y,p"], "but 2 are in neither: x, y"),
        (["case,patient", "a,p"], "name every reference, but 1 are missing: b"),
    ],
)
def test_a_wrong_table_is_refused_with_the_cases(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_patients(write_table(tmp_path, *lines), ["a", "b"], ["a"])


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a CSV file that can be read"):
        read_patients(tmp_path / "nowhere.csv", ["a"], ["a"])
    (tmp_path / "binary.csv").write_bytes(b"case,patient\n\xff\xfe,1\n")
    with pytest.raises(InputError, match="must be a CSV file that can be read"):
        read_patients(tmp_path / "binary.csv", ["a"], ["a"])


def test_a_name_with_a_word_more_is_pointed_at() -> None:
    assert pair_hint("X", {"X_segmentation", "Y"}) == "; `X_segmentation` is there: give both the same name"
    assert "`X`" in pair_hint("X_segmentation", {"X", "Y"})
    assert pair_hint("case1", {"case12", "case"}) == ""
