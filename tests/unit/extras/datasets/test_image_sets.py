"""Adapters of image data sets: what they convert, and what they do not mistake."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_trees import TREES, mask, picture
from PIL import Image

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import InputError
from monai_semigan.extras.datasets import celebamask_hq, jsrt, metfaces, nih_chestxray14, waterloo_skin
from monai_semigan.io.datalist import load_datalist
from monai_semigan.transforms.face import CELEBAMASK_PARTS, FACE_PARTS
from monai_semigan.workflows.preparing import prepare


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Make a tree and return its folder."""

    def make(name):
        TREES[name](tmp_path / "source", monkeypatch)
        return tmp_path / "source"

    return make


def test_jsrt_is_big_endian_and_inverted(tmp_path, monkeypatch):
    monkeypatch.setattr(jsrt, "SIDE", 4)
    path = tmp_path / "JPCLN001.IMG"
    path.write_bytes(bytes([0x0F, 0xFF, 0x00, 0x01]) + bytes(28))

    pixels = jsrt.read_img(path)

    assert pixels.dtype == np.uint16
    assert pixels[0].tolist() == [0, 4094, 4095, 4095]  # black film, nearly clear film, clear film


def test_jsrt_of_another_byte_order_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jsrt, "SIDE", 4)
    np.full(16, 300, "<u2").tofile(tmp_path / "JPCLN001.IMG")

    with pytest.raises(InputError, match="12-bit big-endian"):
        jsrt.read_img(tmp_path / "JPCLN001.IMG")


def test_jsrt_of_another_size_is_refused(tmp_path):
    (tmp_path / "JPCLN001.IMG").write_bytes(bytes(100))

    with pytest.raises(InputError, match="2048 x 2048"):
        jsrt.read_img(tmp_path / "JPCLN001.IMG")


def test_jsrt_keeps_all_bits_and_doubles_the_masks(tmp_path, build):
    data = load_datalist(prepare("jsrt", build("jsrt"), tmp_path / "out").datalist)
    entry = next(e for e in (*data.labelled, *data.validation) if e.patient_id)

    image, label = np.asarray(Image.open(entry.image)), np.asarray(Image.open(entry.label))

    assert image.dtype == np.uint16 and image[5, 9] == 0 and 3780 < np.median(image) < 3800
    assert image.shape == label.shape == (64, 64)
    expected = np.zeros((64, 64), np.uint8)
    expected[8:40, 36:56] = 1
    expected[12:48, 4:24] = 1
    np.testing.assert_array_equal(label, expected)


def test_a_cut_short_jsrt_image_is_missing(tmp_path, build):
    source = build("jsrt")
    path = source / "All247images" / "JPCNN002.IMG"
    path.write_bytes(path.read_bytes()[:-2])

    with pytest.raises(InputError, match=r"JPCNN002\.IMG"):
        jsrt.collect(source)


def test_montgomery_merges_both_lungs(tmp_path, build):
    data = load_datalist(prepare("montgomery", build("montgomery"), tmp_path / "out").datalist)

    label = np.asarray(Image.open(data.labelled[0].label))

    assert label[10, 20] == label[10, 5] == 1 and label[10, 15] == 0 and label.max() == 1


def test_images_in_place_are_named_where_they_are(tmp_path, build):
    source = build("shenzhen")

    data = load_datalist(prepare("shenzhen", source, tmp_path / "out").datalist)

    assert all(entry.image.is_relative_to(source) for entry in data.unlabelled)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data.json"]
    assert len(data.unlabelled) == 9 - 1 - 2  # all but validation and test; three of them have no mask


def test_a_table_of_another_data_set_is_refused(build):
    source = build("nih-chestxray14")
    (source / "Data_Entry_2017.csv").write_text("name,age\nx,3\n")

    with pytest.raises(InputError, match="columns Image Index and Patient ID"):
        nih_chestxray14.collect(source)
    (source / "Data_Entry_2017.csv").unlink()
    with pytest.raises(InputError, match=r"Data_Entry_2017\.csv"):
        nih_chestxray14.collect(source)


def test_drawn_contours_are_filled(tmp_path, build):
    source = build("dermis")
    contour = source / "Skin Image Data Set-1/skin_data/melanoma/dermis/1_contour.png"
    pixels = np.zeros((24, 32), np.uint8)
    pixels[4:20, 6:26] = 255
    pixels[5:19, 7:25] = 0
    Image.fromarray(pixels).save(contour)

    subject = next(s for s in waterloo_skin.collect(source, "dermis").subjects if s.patient_id == "dermis_melanoma_1")
    subject.write(tmp_path)

    label = np.asarray(Image.open(tmp_path / "labels" / "melanoma_1.png"))
    assert label[12, 15] == 1 and label.sum() == 16 * 20


def test_a_mask_of_everything_is_refused(tmp_path, build):
    source = build("dermis")
    contour = source / "Skin Image Data Set-1/skin_data/melanoma/dermis/1_contour.png"
    mask(contour, rows=slice(None), columns=slice(None))

    with pytest.raises(InputError, match="covers the whole image"):
        prepare("dermis", source, tmp_path / "out")


def test_superpixels_are_no_images(tmp_path, build):
    data = load_datalist(prepare("isic2017", build("isic2017"), tmp_path / "out").datalist)

    assert not [entry for entry in data.unlabelled if "superpixels" in entry.image.name]


def test_a_part_without_its_masks_is_refused(tmp_path, build):
    source = build("isic2018")
    (source / "ISIC2018_Task1_Test_GroundTruth").rename(tmp_path / "elsewhere")

    with pytest.raises(InputError, match="test masks of ISIC 2018"):
        prepare("isic2018", source, tmp_path / "out")


def test_too_many_files_are_refused(tmp_path, build):
    source = build("montgomery")
    for folder in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
        mask(source / "MontgomerySet" / folder / "MCUCXR_9999_0.png", rows=slice(2, 4), columns=slice(2, 4))

    with pytest.raises(InputError, match="Remove what does not belong"):
        prepare("montgomery", source, tmp_path / "out")


def test_parts_of_a_face_become_classes(tmp_path, build):
    data = load_datalist(prepare("celebamask-hq", build("celebamask-hq"), tmp_path / "out").datalist)

    label = np.asarray(Image.open(data.labelled[0].label))

    named = {place: celebamask_hq.CLASS_NAMES[label[place]] for place in ((50, 30), (25, 22), (16, 30), (2, 30))}
    assert label.shape == (64, 64)
    assert list(named.values()) == ["skin", "eyes", "hair", "background"]  # the hat covers the hair


def test_parts_of_a_face_have_one_order():
    """The data set, the transform that merges label maps and the bundle must mean the same by a class id."""
    assert celebamask_hq.CLASS_NAMES == FACE_PARTS == open_bundle("face_parts_segmentation").class_names
    assert {"background": 0, **celebamask_hq.PARTS} == CELEBAMASK_PARTS


def test_images_of_a_person_stay_together_if_they_are_known(build):
    source = build("celebamask-hq")
    assert "two sides" in celebamask_hq.collect(source).warnings[0]
    base = source / "CelebAMask-HQ"
    lines = [f"{at}  {1000 + at}  {at:06d}.jpg" for at in range(8)]
    (base / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(["idx orig_idx orig_file", *lines]))
    (base / "identity_CelebA.txt").write_text("\n".join(f"{at:06d}.jpg {at // 2}" for at in range(8)))

    collection = celebamask_hq.collect(source)

    assert [s.patient_id for s in collection.subjects] == ["person_0", "person_1", "person_2", "person_3"]
    assert collection.warnings == ()


def test_faces_of_one_work_stay_together_and_labels_are_optional(build):
    source = build("metfaces")
    picture(source / "labels" / "10140-01.png")

    subjects = {subject.patient_id: subject for subject in metfaces.collect(source).subjects}

    assert len(subjects) == 5 and subjects["10140"].has_label and not subjects["3"].has_label
    entries = subjects["10140"].write(source).images
    assert ["label" in entry for entry in entries] == [False, True]
