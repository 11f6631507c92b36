# SPDX-License-Identifier: Apache-2.0
"""Drawn images: the same bits again, whole or not there, continued, and ready for a training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from click.testing import CliRunner

from monai_semigan.cli.main import cli
from monai_semigan.errors import BundleError, ConfigError, OutputError
from monai_semigan.io.datalist import load_datalist
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.workflows import synthesizing
from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize

ALL = ("png", "nifti", "dicom")


def draw(folder: Path, bundle: Path, **options):
    return synthesize(folder, bundle=bundle, options=SynthesisOptions(**({"device": "cpu"} | options)))


def digests(folder: Path, index: int) -> dict[str, str]:
    files = sorted(folder.glob(f"*/{index:06d}*"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_each_item_can_be_drawn_again_bit_by_bit(tiny_bundle, tmp_path):
    draw(tmp_path / "many", tiny_bundle, num_items=5, seed=11, formats=ALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        draw(tmp_path / "one", tiny_bundle, num_items=1000, seed=11, formats=ALL, only=(3,))
    finally:
        torch.set_num_threads(threads)
    draw(tmp_path / "later", tiny_bundle, num_items=1, seed=14)

    many = digests(tmp_path / "many", 3)
    assert len(many) == 6 and many == digests(tmp_path / "one", 3)
    later = digests(tmp_path / "later", 0)
    assert later["images/000000.png"] == many["images/000003.png"]
    assert many["images/000003.png"] != digests(tmp_path / "many", 4)["images/000004.png"]


def test_all_formats_show_the_same(tiny_bundle, tmp_path):
    draw(tmp_path / "d", tiny_bundle, num_items=2, formats=ALL)

    image, label = read_image(tmp_path / "d/images/000001.png").pixels, read_label(tmp_path / "d/labels/000001.png")
    assert image.shape == label.shape == (32, 32) and image.std() > 0
    for name, wanted in (("", image), ("_label", label)):
        nifti = nibabel.load(tmp_path / f"d/nifti/000001{name}.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(nifti.dataobj)[:, :, 0].T, wanted)
        assert nibabel.aff2axcodes(nifti.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "d/dicom/000001.dcm").pixel_array, image)
    segmentation = pydicom.dcmread(tmp_path / "d/dicom/000001_seg.dcm")
    np.testing.assert_array_equal(np.squeeze(segmentation.pixel_array), label)


def test_the_manifest_names_bundle_seed_and_digests(tiny_bundle, tmp_path):
    result = draw(tmp_path / "d", tiny_bundle, num_items=2, seed=5, truncation_psi=0.7)

    manifest = json.loads((tmp_path / "d/manifest.json").read_text())
    assert manifest["bundle"]["digest"] == result.manifest.bundle.digest
    assert (manifest["seed"], manifest["truncation_psi"], manifest["device"]) == (5, 0.7, "cpu")
    assert manifest["versions"]["torch"] == torch.__version__
    items = [json.loads(line) for line in (tmp_path / "d/items.jsonl").read_text().splitlines()]
    assert [(item["index"], item["seed"]) for item in items] == [(0, 5), (1, 6)]
    assert items[1]["files"] == digests(tmp_path / "d", 1)


def test_a_training_takes_the_data_list(tiny_bundle, tmp_path):
    draw(tmp_path / "d", tiny_bundle, num_items=3)

    data = load_datalist(tmp_path / "d/data.json", warn=False)
    assert len(data.labelled) == 3 and not data.is_binary
    assert len({entry.patient_id for entry in data.labelled}) == 3
    assert (tmp_path / "d/sheet.png").exists()


def test_an_interrupted_call_is_continued(tiny_bundle, tmp_path, monkeypatch):
    folder = tmp_path / "d"
    whole = synthesizing.draw_pixels

    def stop_at_two(generator, seed, **settings):
        if seed == 2:
            raise KeyboardInterrupt
        return whole(generator, seed, **settings)

    monkeypatch.setattr(synthesizing, "draw_pixels", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        draw(folder, tiny_bundle, num_items=4)
    assert not (folder / "data.json").exists()
    (folder / "labels/000001.png").write_bytes(b"damaged")
    with (folder / "items.jsonl").open("a") as stream:
        stream.write('{"index": 2, "se')  # a line that was being written

    monkeypatch.setattr(synthesizing, "draw_pixels", whole)
    result = draw(folder, tiny_bundle, num_items=4)

    assert [item.index for item in result.drawn] == [1, 2, 3] and result.is_complete
    draw(tmp_path / "fresh", tiny_bundle, num_items=4)
    assert (folder / "items.jsonl").read_text() == (tmp_path / "fresh/items.jsonl").read_text()
    assert draw(folder, tiny_bundle, num_items=4).drawn == ()
    assert len(draw(folder, tiny_bundle, num_items=6).drawn) == 2


def test_an_item_drawn_again_must_have_its_bits(tiny_bundle, tmp_path, monkeypatch):
    folder = tmp_path / "d"
    draw(folder, tiny_bundle, num_items=2)
    (folder / "images/000001.png").unlink()
    before = digests(folder, 0)

    assert draw(folder, tiny_bundle, num_items=2, only=(0, 1)).is_complete
    assert digests(folder, 0) == before and (folder / "images/000001.png").exists()

    whole = synthesizing.draw_pixels

    def changed(*given, **settings):
        image, label = whole(*given, **settings)
        image[0, 0] ^= 1
        return image, label

    monkeypatch.setattr(synthesizing, "draw_pixels", changed)
    with pytest.raises(OutputError, match="Item 1 must have the bits"):
        draw(folder, tiny_bundle, num_items=2, only=(1,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "seed differ"),
        ({"truncation_psi": 0.5}, "truncation_psi differ"),
        ({"formats": ("png", "nifti")}, "formats differ"),
        ({"num_items": 1}, "at least the 2 images"),
    ],
)
def test_a_folder_is_continued_as_it_was_begun(tiny_bundle, tmp_path, options, words):
    draw(tmp_path / "d", tiny_bundle, num_items=2)

    with pytest.raises(OutputError, match=words):
        draw(tmp_path / "d", tiny_bundle, **({"num_items": 2} | options))


def test_other_folders_are_left_alone(tiny_bundle, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")

    with pytest.raises(OutputError, match="must be new, empty"):
        draw(tmp_path, tiny_bundle, num_items=1)
    assert (tmp_path / "mine.txt").read_text() == "precious" and not (tmp_path / "manifest.json").exists()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(OutputError, match="keys"):
        draw(tmp_path, tiny_bundle, num_items=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_items": 0}, "num_items"),
        ({"seed": -1}, "seed"),
        ({"truncation_psi": 1.5}, "truncation_psi"),
        ({"formats": ("tiff",)}, "formats"),
        ({"num_items": 3, "only": (3,)}, "`only` must be numbers from 0 to 2, got 3"),
        ({"num_items": 3, "only": (-1,)}, "`only` must be"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        SynthesisOptions(**options)


def test_a_bundle_without_weights_is_refused(tiny_bundle, edit_bundle, tmp_path):
    edit_bundle(tiny_bundle, weights=None)
    with pytest.raises(BundleError, match="must have weights"):
        synthesize(tmp_path / "d", bundle=tiny_bundle)
    assert not (tmp_path / "d").exists()


def test_the_command_says_what_it_drew(tiny_bundle, tmp_path):
    base = ["synthesize", "-b", str(tiny_bundle), "-o", str(tmp_path / "d"), "-n", "3", "--device", "cpu"]

    one = CliRunner().invoke(cli, [*base, "--only", "2", "--json"])
    rest = CliRunner().invoke(cli, base)
    wrong = CliRunner().invoke(cli, [*base, "--format", "tiff"])

    assert json.loads(one.stdout) | {"bundle_digest": ""} == {
        "folder": str(tmp_path / "d"), "bundle": "lung_cxr_segmentation", "bundle_digest": "", "drawn": [2],
        "items": 1, "is_complete": False,
    }  # fmt: skip
    assert "2 generated, 3 of 3 there" in rest.stdout and "data.json" in rest.stdout
    assert wrong.exit_code == 2
