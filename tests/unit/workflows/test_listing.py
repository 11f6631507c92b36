"""Files are looked into before a list is written, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from image_studies import SHAPE, listed, mask, names, study
from PIL import Image

import monai_semigan
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.io.datalist import load_datalist
from monai_semigan.workflows.listing import DatalistOptions, make_datalist


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ((255, 255), "binary", {0: 2, 1: 2}),
        ((255, 1), "binary", {0: 2, 1: 2}),
        ((1, 3), "classes", {0: 2, 1: 1, 3: 1}),
        ((0, 1), "classes", {0: 2, 1: 1}),
    ],
)
def test_masks_say_what_they_hold(values, kind, classes, tmp_path):
    study(tmp_path, ["a", "b"])
    for name, value in zip("ab", values, strict=True):
        mask(tmp_path / "masks" / f"{name}.png", value, at=value % 7)

    summary, content = listed(tmp_path)

    assert (summary.label_values, content["label_values"], summary.classes) == (kind, kind, classes)
    assert load_datalist(tmp_path / "data.json").is_binary == (kind == "binary")
    assert ("1 of 2 masks are empty: a.png." in summary.warnings) == (0 in values)


@pytest.mark.parametrize(
    ("values", "stated", "words"),
    [
        ((255, 2), None, "must hold 0 and 255 alone, .* 1 of 2 do not: b.png; the first holds 0, 2"),
        ((200, 1), None, "must hold class ids 0 to 63, .* 1 of 2 do not: a.png"),
        ((200, 1), "classes", None),
        ((200, 1), "binary", None),
    ],
)
def test_masks_that_say_nothing(values, stated, words, tmp_path):
    study(tmp_path, ["a", "b"])
    for name, value in zip("ab", values, strict=True):
        mask(tmp_path / "masks" / f"{name}.png", value)

    if words is None:
        assert listed(tmp_path, label_values=stated)[0].label_values == stated
    else:
        with pytest.raises(InputError, match=words):
            listed(tmp_path, label_values=stated)


def test_equal_masks_are_said_unless_empty(tmp_path):
    study(tmp_path, ["a", "b", "c", "d"])
    for name, value in zip("abcd", (255, 255, 0, 0), strict=True):
        mask(tmp_path / "masks" / f"{name}.png", value)

    summary, _ = listed(tmp_path)

    assert [text for text in summary.warnings if "masks that show" in text] == [
        "2 masks that show something have the same content as another (a.png = b.png)."
    ]


def spoil_size(folder: Path) -> str:
    mask(folder / "masks" / "b.png", shape=SHAPE[::-1])
    return r"b.png: `b.png` must have its image's size 23 x 18, got 18 x 23"


def spoil_image(folder: Path) -> str:
    path = folder / "images" / "b.png"
    path.write_bytes(path.read_bytes()[:60])
    return r"b.png: `b.png` must be a complete image, but is damaged or cut short"


def spoil_content(folder: Path) -> str:
    (folder / "images" / "b.png").write_text("no image")
    return r"b.png: `b.png` must be a PNG, JPEG, TIFF or DICOM image"


def spoil_values(folder: Path) -> str:
    Image.new("L", SHAPE[::-1], 9).save(folder / "images" / "b.png")
    return r"b.png: `b.png` must show something, but every pixel is 9"


def spoil_color(folder: Path) -> str:
    pixels = np.random.default_rng(1).integers(0, 9, (*SHAPE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "masks" / "b.png")
    return r"b.png: `b.png` must hold class ids, got a color image"


@pytest.mark.parametrize("spoil", [spoil_size, spoil_image, spoil_content, spoil_values, spoil_color])
def test_bad_images_are_refused_or_left_out(spoil, tmp_path):
    study(tmp_path, ["a", "b", "c"])
    words = spoil(tmp_path)

    with pytest.raises(
        InputError, match=rf"1 of 3 are not\. Repair them, or leave them out with --skip-bad:\n.*{words}"
    ):
        listed(tmp_path)
    assert not (tmp_path / "data.json").exists()

    summary, content = listed(tmp_path, skip_bad=True)

    assert list(summary.bad) == [str(tmp_path / "images" / "b.png")]
    assert names(content["unlabelled"]) | names(content["validation"]) == {"a", "c"}


def test_no_good_image_is_refused_also_with_skip_bad(tmp_path):
    study(tmp_path, ["b"])
    spoil_values(tmp_path)

    with pytest.raises(InputError, match=r"1 of 1 are not\. Repair them:"):
        listed(tmp_path, skip_bad=True)


def test_many_bad_images_are_counted(tmp_path):
    for at in range(23):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{at:02d}.png").write_text("no image")

    with pytest.raises(InputError, match=r"(?s)23 of 23 are not.*19\.png: .*\n  and 3 more$") as caught:
        listed(tmp_path, masks=None)
    assert len(str(caught.value).splitlines()) == 22


def test_an_existing_file_stays(tmp_path):
    study(tmp_path, ["a", "b"])
    (tmp_path / "data.json").write_text("mine")

    with pytest.raises(OutputError, match=r"must be a new file, but exists\. Choose another one, or pass --overwrite"):
        listed(tmp_path)
    with pytest.raises(InputError):
        listed(tmp_path, overwrite=True, masks="{stem}_none.png")
    assert (tmp_path / "data.json").read_text() == "mine"

    assert listed(tmp_path, overwrite=True)[0].counts["all"] == 2
    with pytest.raises(OutputError, match="but is a folder"):
        make_datalist(tmp_path / "images", output=tmp_path / "masks")


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    study(tmp_path, ["a", "b"])

    def refuse(path, **_):
        assert Path(path).is_file(), "what was written is loaded"
        raise InputError("no")

    monkeypatch.setattr("monai_semigan.workflows.listing.load_datalist", refuse)
    with pytest.raises(InputError, match="no"):
        listed(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks"]


def test_paths_are_relative_to_the_deepest_common_folder(tmp_path):
    study(tmp_path / "deep" / "er", ["a", "b"])
    output = tmp_path / "lists" / "new" / "data.json"

    make_datalist([tmp_path / "deep" / "er" / "images"], masks=tmp_path / "deep" / "er" / "masks", output=output)

    content = json.loads(output.read_text())
    assert content["root"] == "../../deep/er" and content["labelled"][0]["image"] == "images/a.png"
    loaded = load_datalist(output)
    assert loaded.labelled[0].label.resolve() == (tmp_path / "deep" / "er" / "masks" / "a.png").resolve()


def test_a_list_behind_a_link_finds_its_images(tmp_path):
    study(tmp_path, ["a", "b"])
    (tmp_path / "real" / "far").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "far")

    make_datalist(tmp_path / "images", masks=tmp_path / "masks", output=tmp_path / "link" / "data.json")

    assert len(load_datalist(tmp_path / "link" / "data.json").labelled) == 2


def test_paths_may_be_relative(tmp_path, monkeypatch):
    study(tmp_path, ["a", "b"])
    monkeypatch.chdir(tmp_path)

    summary = monai_semigan.make_datalist("images", masks="masks", output="data.json")

    assert json.loads(Path("data.json").read_text())["root"] == "." and summary.datalist == Path("data.json")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 1.0}, "`validation` must be a share from 0 to below 1, got 1.0"),
        ({"test": -0.1}, "`test` must be a share"),
        ({"validation": 0.5, "test": 0.5}, "must leave a share for the training"),
        ({"seed": -1}, "`seed` must be >= 0"),
        ({"label_values": "ids"}, "`label_values` must be binary, classes or None, got 'ids'"),
        ({"patient_pattern": "("}, "must be a regular expression"),
        ({"patient_pattern": "(a)(b)"}, "must have one group, the patient, got 2"),
    ],
)
def test_options_that_are_not_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        DatalistOptions(**options)
