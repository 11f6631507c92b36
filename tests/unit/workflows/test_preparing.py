"""Data sets become data lists: complete ones, split by patient, whole or not at all."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from dataset_trees import TREES, UNLABELLED
from PIL import Image

from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.io.datalist import load_datalist
from monai_semigan.workflows.preparing import prepare, prepare_phantom

SMALL = {"patients": 4, "mr_patients": 1, "shape": (24, 20, 16)}


@pytest.fixture(params=TREES)
def tree(request, tmp_path, monkeypatch):
    """A download: name and folder."""
    TREES[request.param](tmp_path / "source", monkeypatch)
    return request.param, tmp_path / "source"


@pytest.fixture
def montgomery(tmp_path, monkeypatch):
    TREES["montgomery"](tmp_path / "source", monkeypatch)
    return tmp_path / "source"


def patients(entries):
    return {entry.patient_id for entry in entries}


def test_a_complete_download_becomes_a_data_list(tree, tmp_path):
    name, source = tree

    prepared = prepare(name, source, tmp_path / "out")

    data = load_datalist(prepared.datalist)
    assert data.unlabelled and all(entry.patient_id for entry in data.unlabelled)
    if name not in UNLABELLED:
        assert data.labelled and data.validation and data.test[name]
        sides = [patients(data.labelled), patients(data.validation), patients(data.test[name])]
        assert not sides[0] & sides[1] and not sides[1] & sides[2] and not sides[0] & sides[2]
        assert 0 < max(np.asarray(Image.open(entry.label)).max() for entry in data.labelled) <= 255
        label = np.asarray(Image.open(data.labelled[0].label))
        assert label.shape == np.asarray(Image.open(data.labelled[0].image)).shape[:2]
        assert data.is_binary or label.max() <= 7
    assert prepared.counts["unlabelled"] == len(data.unlabelled)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_an_incomplete_download_names_what_is_missing(tree, tmp_path):
    name, source = tree
    endings = (".png", ".gif", ".jpg", ".bmp", ".nii", ".dcm", ".IMG")
    files = [path for path in source.rglob("*") if path.suffix in endings and "superpixels" not in path.name]
    lost = sorted(files)[len(files) // 2]
    if name == "celebamask-hq":  # a face without one part is normal: lose the face
        lost = source / "CelebAMask-HQ" / "CelebA-HQ-img" / "5.jpg"
    lost.unlink()

    with pytest.raises(InputError, match="missing are") as caught:
        prepare(name, source, tmp_path / "out")

    if name not in ("metfaces", "montgomery", "shenzhen", "chaos-ct", "chaos-t1-out", "dermis", "dermquest"):
        assert lost.stem.partition("_contour")[0] in str(caught.value)  # the others have numbers, or no names to expect
    assert not (tmp_path / "out").exists()


def test_another_folder_is_refused(tree, tmp_path):
    name, _ = tree
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("nothing")

    with pytest.raises(InputError, match=r"must hold|must be"):
        prepare(name, tmp_path / "other", tmp_path / "out")
    with pytest.raises(InputError, match="folder of the download"):
        prepare(name, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_label_ranks_are_nested_and_sides_stay(tmp_path, montgomery):
    lists = [load_datalist(prepare("montgomery", montgomery, tmp_path / str(n), labels=n).datalist) for n in (0, 1, 2)]

    assert [len(data.labelled) for data in lists] == [0, 1, 2]
    assert patients(lists[1].labelled) < patients(lists[2].labelled)
    assert len({frozenset(patients(data.validation)) for data in lists}) == 1
    assert len({frozenset(patients(data.unlabelled)) for data in lists}) == 1
    ranks = [e["label_rank"] for e in json.loads((tmp_path / "2" / "data.json").read_text())["labelled"]]
    assert sorted(ranks) == [1, 2]


def test_the_seed_changes_the_split_and_repeats_it(tmp_path, montgomery):
    splits = {}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 3)):
        data = load_datalist(prepare("montgomery", montgomery, tmp_path / folder, seed=seed).datalist)
        splits[folder] = (frozenset(patients(data.validation)), frozenset(patients(data.test["montgomery"])))

    assert splits["a"] == splits["b"] and len(set(splits.values())) > 1


def test_test_only_trains_on_nothing(tmp_path, montgomery):
    data = load_datalist(prepare("montgomery", montgomery, tmp_path / "out", test_only=True).datalist)

    assert len(data.test["montgomery"]) == 6 and not data.labelled and not data.unlabelled and not data.validation


def test_the_splits_of_a_challenge_are_kept(tmp_path, monkeypatch):
    TREES["isic2018"](tmp_path / "source", monkeypatch)

    data = load_datalist(prepare("isic2018", tmp_path / "source", tmp_path / "out").datalist)

    assert patients(data.test["isic2018"]) == {"ISIC_0000008", "ISIC_0000009"}
    assert patients(data.validation) == {"ISIC_0000006", "ISIC_0000007"}
    assert len(data.labelled) == 6


def test_a_challenge_without_its_test_part_is_split(tmp_path, monkeypatch):
    TREES["isic2016"](tmp_path / "source", monkeypatch)
    for folder in (tmp_path / "source").glob("*Test*"):
        shutil.rmtree(folder)

    data = load_datalist(prepare("isic2016", tmp_path / "source", tmp_path / "out").datalist)

    assert (len(data.labelled), len(data.validation), len(data.test["isic2016"])) == (3, 1, 2)


def test_images_of_one_patient_stay_together(tmp_path, monkeypatch):
    TREES["nih-chestxray14"](tmp_path / "source", monkeypatch)

    prepared = prepare("nih-chestxray14", tmp_path / "source", tmp_path / "out")

    assert prepared.counts["unlabelled"] == 4 and prepared.patients["unlabelled"] == 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "jstr"}, "`name` must be one of jsrt"),
        ({"labels": 99}, "`labels` must be 0 to 3"),
        ({"organs": "all"}, "`organs` must be liver"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, montgomery, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        prepare(**({"name": "montgomery", "source": montgomery, "dest": tmp_path / "out"} | settings))
    assert not (tmp_path / "out").exists()


def test_a_set_without_labels_is_no_test(tmp_path, monkeypatch):
    TREES["nih-chestxray14"](tmp_path / "source", monkeypatch)

    with pytest.raises(ConfigError, match="test_only"):
        prepare("nih-chestxray14", tmp_path / "source", tmp_path / "out", test_only=True)
    with pytest.raises(ConfigError, match="`labels` must be 0"):
        prepare("nih-chestxray14", tmp_path / "source", tmp_path / "out", labels=3)


def test_a_filled_folder_is_left_alone(tmp_path, montgomery):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")

    with pytest.raises(OutputError, match="new or empty"):
        prepare("montgomery", montgomery, out)
    with pytest.raises(OutputError, match="earlier result"):
        prepare("montgomery", montgomery, out, overwrite=True)
    with pytest.raises(OutputError, match="holds the download"):
        prepare("montgomery", montgomery, tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        prepare("montgomery", montgomery, out / "mine.txt")

    assert (out / "mine.txt").read_text() == "keep" and len(list(out.iterdir())) == 1


def test_an_earlier_result_can_be_replaced(tmp_path, montgomery):
    prepare("montgomery", montgomery, tmp_path / "out", labels=1)
    (tmp_path / "out" / "stale.txt").write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        prepare("montgomery", montgomery, tmp_path / "out", labels=2)

    prepare("montgomery", montgomery, tmp_path / "out", labels=2, overwrite=True)

    assert len(load_datalist(tmp_path / "out" / "data.json").labelled) == 2
    assert not (tmp_path / "out" / "stale.txt").exists()


def test_a_failure_leaves_nothing_and_keeps_the_earlier_result(tmp_path, montgomery):
    prepare("montgomery", montgomery, tmp_path / "out")
    before = (tmp_path / "out" / "data.json").read_bytes()
    last = sorted((montgomery / "MontgomerySet/ManualMask/leftMask").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:40])

    with pytest.raises(InputError, match=last.name):
        prepare("montgomery", montgomery, tmp_path / "out", overwrite=True)

    assert (tmp_path / "out" / "data.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_a_mask_of_another_size_is_refused(tmp_path, monkeypatch):
    TREES["shenzhen"](tmp_path / "source", monkeypatch)
    Image.new("L", (7, 9), 255).save(tmp_path / "source/mask/CHNCXR_0002_0_mask.png")

    with pytest.raises(InputError, match="its image's size"):
        prepare("shenzhen", tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("volume_format", ["nifti", "dicom"])
def test_phantoms_train_on_ct_and_are_tested_on_mr(tmp_path, volume_format):
    seen = []

    prepared = prepare_phantom(
        tmp_path / "out", **SMALL, volume_format=volume_format, progress=lambda done, total: seen.append((done, total))
    )

    data = load_datalist(prepared.datalist)
    assert set(data.test) == {"phantom", "mr"} and prepared.patients["test:mr"] == 1
    assert all("_ct_" in entry.image.name for entry in (*data.labelled, *data.unlabelled, *data.validation))
    assert all("_mr_" in entry.image.name for entry in data.test["mr"])
    volumes = json.loads(prepared.datalist.read_text())["volumes"]
    (target,) = volumes["test"]["mr"]
    assert (prepared.datalist.parent / target["image"]).is_dir() == (volume_format == "dicom")
    assert (prepared.datalist.parent / target["label"]).is_file()
    assert seen[-1] == (5, 5)


def test_phantoms_of_one_seed_are_the_same_and_of_all_organs_if_asked(tmp_path):
    first, again = (prepare_phantom(tmp_path / name, **SMALL, seed=5, organs="all").datalist for name in "ab")

    assert first.read_text() == again.read_text()
    assert load_datalist(first).digest() == load_datalist(again).digest()
    label = np.max([np.asarray(Image.open(e.label)).max() for e in load_datalist(first).labelled])
    assert label == 4 and json.loads(first.read_text())["class_names"][4] == "left_kidney"


@pytest.mark.parametrize("settings", [{"patients": 2}, {"mr_patients": -1}, {"shape": (8, 20, 16)}])
def test_phantoms_need_possible_numbers(tmp_path, settings):
    with pytest.raises(ConfigError):
        prepare_phantom(tmp_path / "out", **(SMALL | settings))
