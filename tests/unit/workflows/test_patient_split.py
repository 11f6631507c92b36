"""Patients, and equal images, are on one side; ranks are nested; a table decides."""

from __future__ import annotations

import pytest
from image_studies import listed, many, names, picture, sides, study

from monai_semigan.errors import ConfigError, InputError


@pytest.mark.parametrize("seed", range(4))
def test_no_patient_is_on_both_sides(seed, tmp_path):
    bare = tuple(f"p{who:02d}_0" for who in range(10)) + tuple(f"p09_{at}" for at in range(3))
    many(tmp_path, unlabelled=bare)

    summary, content = listed(tmp_path, seed=seed, validation=0.2, test=0.3)

    trained, scored = sides(content)
    assert not {name[:3] for name in trained} & {name[:3] for name in scored}
    assert (summary.patients["validation"], summary.patients["test:test"]) == (2, 3)
    assert {name[:3] for name in trained} > {"p09"} and not scored & set(bare)
    assert names(content["labelled"]) == trained - set(bare)
    assert any("5 images without masks are of patients in validation or test" in text for text in summary.warnings)


def test_the_split_depends_on_the_seed_alone(tmp_path):
    many(tmp_path)
    contents = [listed(tmp_path, seed=seed, overwrite=True)[1] for seed in (1, 1, 2)]

    assert contents[0] == contents[1] and sides(contents[0]) != sides(contents[2])


def test_ranks_are_nested_and_of_patients(tmp_path):
    many(tmp_path, patients=6)

    _, content = listed(tmp_path, validation=0)

    ranks = {}
    for entry in content["labelled"]:
        ranks.setdefault(entry["patient_id"], set()).add(entry["label_rank"])
    assert sorted(ranks.values(), key=min) == [{rank} for rank in range(1, 7)]
    assert list(ranks.values()) != sorted(ranks.values(), key=min), "in random order"
    assert not any("label_rank" in entry or "label" in entry for entry in content["unlabelled"])


@pytest.mark.parametrize(
    ("patients", "validation", "expected"), [(5, 0.01, 1), (4, 0.01, 0), (10, 0.25, 3), (10, 0, 0)]
)
def test_how_many_patients_are_for_validation(patients, validation, expected, tmp_path):
    many(tmp_path, patients=patients, images=2)

    summary, _ = listed(tmp_path, validation=validation)

    assert summary.patients["validation"] == expected
    assert any("No patient is for validation" in text for text in summary.warnings) == (expected == 0 < validation)


def test_something_is_left_to_train_on(tmp_path):
    study(tmp_path, ["a"])

    with pytest.raises(ConfigError, match=r"must leave labelled patients for the training, but take all 1"):
        listed(tmp_path, validation=0.9)


def test_the_table_splits(tmp_path):
    study(tmp_path, list("abcdefgh"))
    (tmp_path / "cases.csv").write_text(
        "image,split,source\na,train,\nb,val,\nc,Test,Lima\nd,test,\ne,unlabelled,\nf,,\ng,,\nh,,\n"
    )

    _, content = listed(tmp_path, csv="cases.csv", validation=0.9, test=0.9 - 0.85)

    assert names(content["validation"]) == {"b"}, "no share is drawn of what the table states"
    assert {name: names(entries) for name, entries in content["test"].items()} == {"Lima": {"c"}, "test": {"d"}}
    assert names(content["labelled"]) == set("afgh") and names(content["unlabelled"]) == set("aefgh")


def test_a_table_must_not_tear_a_patient_apart(tmp_path):
    study(tmp_path, ["a", "b", "c"], unlabelled=("c",))
    table = tmp_path / "cases.csv"

    table.write_text("image,patient,split\na,1,train\nb,1,test\nc,2,\n")
    with pytest.raises(InputError, match=r"on one side, but has a.png in train and b.png in test"):
        listed(tmp_path, csv="cases.csv")
    table.write_text("image,split\nc,test\n")
    with pytest.raises(InputError, match=r"must have masks, but c.png has none"):
        listed(tmp_path, csv="cases.csv")


def test_equal_images_are_on_one_side(tmp_path):
    study(tmp_path, [f"x{at}" for at in range(8)])
    for at in range(0, 8, 2):
        picture(tmp_path / "images" / f"x{at}.png", seed=at)
        picture(tmp_path / "images" / f"x{at + 1}.png", seed=at)

    summary, content = listed(tmp_path, validation=0.5)

    trained, scored = sides(content)
    assert len(scored) == 4 and not {int(name[1:]) // 2 for name in trained} & {int(name[1:]) // 2 for name in scored}
    assert any("8 images have the same content as another (x0.png = x1.png)" in text for text in summary.warnings)
