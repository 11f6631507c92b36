"""Masks find their images by name, folder and pattern; what fits twice is refused."""

from __future__ import annotations

import pytest
from image_studies import listed, mask, names, pairs, picture, study

from monai_semigan.errors import ConfigError, InputError


@pytest.mark.parametrize(
    "name",
    ["a.png", "A.PNG", "a_mask.png", "a-mask.png", "a_seg.tif", "a_Segmentation.png", "a.label.bmp", "a_masks.png"],
)
def test_masks_are_found_by_their_names(name, tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / name)

    assert pairs(listed(tmp_path)[1]) == {"images/a.jpg": f"masks/{name}"}


def test_masks_beside_their_images_are_no_images(tmp_path):
    picture(tmp_path / "images" / "a.png")
    picture(tmp_path / "images" / "b.png")
    mask(tmp_path / "images" / "a_mask.png")

    summary, content = listed(tmp_path, masks=None)

    assert pairs(content) == {"a.png": "a_mask.png"} and content["root"] == "images"
    assert names(content["unlabelled"]) == {"a", "b"} and summary.counts["all"] == 2


def test_masks_in_a_subfolder_of_the_images_are_no_images(tmp_path):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "images" / "masks" / "a.png")

    summary, content = listed(tmp_path, masks="images/masks")

    assert pairs(content) == {"a.png": "masks/a.png"} and summary.counts["all"] == 1


def test_one_folder_for_both(tmp_path):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "images" / "a_seg.png")

    assert pairs(listed(tmp_path, masks="images")[1]) == {"a.png": "a_seg.png"}


def test_a_name_that_looks_like_a_mask_is_an_image_where_masks_have_their_folder(tmp_path):
    for name in ("a.png", "a_mask.png"):
        picture(tmp_path / "images" / name)
        mask(tmp_path / "masks" / name, at=len(name))

    assert pairs(listed(tmp_path)[1]) == {f"images/{name}": f"masks/{name}" for name in ("a.png", "a_mask.png")}


def test_names_that_come_twice_are_told_apart_by_their_folders(tmp_path):
    for at, folder in enumerate(("p1", "p2", "p3")):
        picture(tmp_path / "images" / folder / "001.png")
        if folder != "p3":
            mask(tmp_path / "masks" / folder / "001.png", at=at)

    _, content = listed(tmp_path)

    assert pairs(content) == {f"images/{name}/001.png": f"masks/{name}/001.png" for name in ("p1", "p2")}
    assert len(content["unlabelled"]) == 3


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("{stem}_m.png", "images/a[1]_m.png"),
        ("../other/{stem}.*", "other/a[1].tif"),
        ("*/{stem}.png", "images/m/a[1].png"),
    ],
)
def test_patterns_are_relative_to_the_images(pattern, file, tmp_path):
    picture(tmp_path / "images" / "a[1].png")
    mask(tmp_path / file)

    summary, content = listed(tmp_path, masks=pattern)

    root = (tmp_path / content["root"]).resolve()
    assert summary.counts["all"] == 1
    assert [(root / label).resolve() for label in pairs(content).values()] == [(tmp_path / file).resolve()]


@pytest.mark.parametrize("masks", ["masks", "../masks/{stem}*.png"])
def test_two_masks_for_an_image_are_refused(masks, tmp_path):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "masks" / "a_mask.png")
    mask(tmp_path / "masks" / "a_seg.png")

    with pytest.raises(InputError, match=r"one mask, but 1 have more: `a.png` fits a_mask.png, a_seg.png\. Merge"):
        listed(tmp_path, masks=masks)


def test_two_images_for_a_mask_are_refused(tmp_path):
    picture(tmp_path / "images" / "p1" / "a.png")
    picture(tmp_path / "images" / "p2" / "a.png")
    mask(tmp_path / "masks" / "a.png")

    with pytest.raises(InputError, match=r"`a.png` must be the mask of one image, but fits 2: p1/a.png, p2/a.png"):
        listed(tmp_path)


def test_masks_without_an_image_are_counted(tmp_path):
    study(tmp_path, ["a", "b"])
    for name in "vwxyz":
        mask(tmp_path / "masks" / f"{name}.png")

    summary, _ = listed(tmp_path)

    assert "5 masks have no image and were left out: v.png, w.png, x.png and 2 more." in summary.warnings


def test_masks_that_fit_no_image_are_refused(tmp_path):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "masks" / "q.png")

    with pytest.raises(InputError, match=r"none is: images are named a.png, masks q.png\. Pass a pattern"):
        listed(tmp_path)
    with pytest.raises(InputError, match="fits none of 1 images"):
        listed(tmp_path, masks="{stem}_x.png")
    with pytest.raises(ConfigError, match="`masks` must be a folder that exists, or a pattern"):
        listed(tmp_path, masks="nowhere")


def test_a_folder_of_masks_is_not_taken_for_images(tmp_path):
    study(tmp_path, ["a", "b"])

    with pytest.raises(InputError, match=r"2 files lie in .*masks`, which is named like a folder of masks"):
        listed(tmp_path, images=".", masks=None)


def test_masks_alone_are_no_images(tmp_path):
    mask(tmp_path / "images" / "a_mask.png")

    with pytest.raises(InputError, match=r"all 1 files are named like masks: a_mask\.png"):
        listed(tmp_path, masks=None)


def test_masks_among_the_images_are_refused_where_others_are_given(tmp_path):
    picture(tmp_path / "images" / "a.png")
    mask(tmp_path / "images" / "a_seg.png")
    mask(tmp_path / "masks" / "a.png", at=2)

    with pytest.raises(InputError, match=r"1 files are named like masks of others: a_seg\.png"):
        listed(tmp_path)
    with pytest.raises(InputError, match=r"1 files are named like masks of others: a_seg\.png"):
        listed(tmp_path, masks="../masks/{stem}.png")


def test_images_are_not_their_own_masks(tmp_path):
    picture(tmp_path / "images" / "a.png")

    with pytest.raises(InputError, match="holds the images too, and no file with an ending such as _mask"):
        listed(tmp_path, masks="images")
