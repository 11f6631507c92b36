"""A table says whose images are, what labels them, and on which side they are."""

from __future__ import annotations

import pytest
from image_studies import listed, names, pairs, picture, study

from monai_semigan.errors import InputError


def test_patients_from_a_table(tmp_path):
    study(tmp_path, ["a", "b", "c"])
    (tmp_path / "cases.csv").write_text("\ufeffImage;Patient_ID;Age\na.png;7;60\nimages/b.png;7;60\nC;8;\n", "utf-8")

    summary, content = listed(tmp_path, csv="cases.csv")

    assert {entry["image"]: entry["patient_id"] for entry in content["unlabelled"]} == {
        "images/a.png": "7", "images/b.png": "7", "images/c.png": "8",
    }  # fmt: skip
    assert summary.patient_rule == "cases.csv" and summary.patients["all"] == 2
    assert "Columns of cases.csv that mean nothing here: Age." in summary.warnings


def test_a_table_of_patients_must_name_all_images(tmp_path):
    study(tmp_path, ["a", "b", "c"])
    (tmp_path / "cases.csv").write_text("case,patient\na,7\nz,9\n")

    with pytest.raises(InputError, match=r"`cases.csv` must name a patient .* 2 of 3 are without one: b.png, c.png"):
        listed(tmp_path, csv="cases.csv")


def test_an_unknown_patient_is_nobody_else(tmp_path):
    study(tmp_path, ["a", "b", "c"])
    (tmp_path / "cases.csv").write_text("case,patient\na,7\nb,\nc\n")

    summary, content = listed(tmp_path, csv="cases.csv", validation=0)

    assert [entry.get("patient_id") for entry in content["unlabelled"]] == ["7", None, None]
    assert "2 images have no patient in cases.csv, so each counts as its own: b.png, c.png." in summary.warnings
    assert summary.patients["all"] == 3


def test_a_table_of_masks_decides_alone(tmp_path):
    study(tmp_path, ["a", "b", "c"])
    (tmp_path / "cases.csv").write_text("path,mask\nimages/a.png,masks/c.png\nimages/b.png,\nimages/z.png,\n")

    summary, content = listed(tmp_path, images=".", masks="masks", csv="cases.csv")

    assert pairs(content) == {"images/a.png": "masks/c.png"} and names(content["unlabelled"]) == {"a", "b", "c"}
    assert "1 rows of cases.csv name no image that was given: images/z.png." in summary.warnings
    assert "1 images are not in cases.csv: c.png." in summary.warnings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,patient\na,1\n", r"must have a column image, path or case, got name, patient"),
        ("", "must have a column image, path or case, got no header"),
        ("image,split\na,dev\n", r"`split` in cases.csv must be train, validation, test or unlabelled, got dev"),
        ("image\na\na\n", "must name every image once, got a twice"),
        ("image\na\na.png\n", r"must name every image once, got a.png twice"),
        ("image,patient\n,1\n", "a row names none"),
        ("image,mask\na,masks/zz.png\n", "masks/zz.png does not exist"),
        ("image,mask\na,masks/a.png\nb,masks/a.png\n", "gives a.png to several"),
    ],
)
def test_tables_that_cannot_be_used(text, words, tmp_path):
    study(tmp_path, ["a", "b"])
    (tmp_path / "cases.csv").write_text(text)

    with pytest.raises(InputError, match=words):
        listed(tmp_path, csv="cases.csv")


def test_a_table_that_names_two_images_at_once(tmp_path):
    for folder in ("p1", "p2"):
        picture(tmp_path / "images" / folder / "a.png")
    (tmp_path / "cases.csv").write_text("image,patient\na.png,1\n")

    with pytest.raises(InputError, match=r"by paths where names come twice, but a.png is any of 2"):
        listed(tmp_path, masks=None, csv="cases.csv")


def test_a_table_that_is_no_text(tmp_path):
    study(tmp_path, ["a"])
    (tmp_path / "cases.csv").write_bytes(b"image\n\xff\xfe")

    with pytest.raises(InputError, match="must be a CSV file in UTF-8"):
        listed(tmp_path, csv="cases.csv")
