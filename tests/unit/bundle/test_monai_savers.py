# SPDX-License-Identifier: Apache-2.0
"""The end of a MONAI pipeline gives the labels of `semigan segment`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import phantoms
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data.meta_tensor import MetaTensor
from PIL import Image
from scipy import ndimage

from monai_semigan.bundle import monai_savers
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.monai_image_inferer import InversionInferer
from monai_semigan.bundle.monai_savers import CleanLabel, CleanLabelD, CleanLabeld, SaveImageVolumeLabeld
from monai_semigan.domains.monai_transforms import PrepareForNetworkd
from monai_semigan.errors import ConfigError, GeometryError
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.workflows import segment

NAMES = ["background", "lung"]


def spots(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("shape", [(12, 17), (7, 9, 11)])
def test_label_is_cleaned_and_keeps_its_metadata(shape: tuple[int, ...]) -> None:
    label, rule = spots(*shape), {"lung": {"keep": 1, "fill_holes": True}}
    data = {"pred": MetaTensor(torch.from_numpy(label)[None].float(), meta={"filename_or_obj": "a.png"}), "other": 1}

    result = CleanLabeld("pred", rule, NAMES)(data)

    rules = {name: ComponentRule(**settings) for name, settings in rule.items()}
    expected = ComponentRules.by_name(rules, NAMES).apply(label)
    assert (expected != label).any()
    np.testing.assert_array_equal(result["pred"].numpy(), expected[None])
    assert result["pred"].dtype == torch.uint8 and result["pred"].meta["filename_or_obj"] == "a.png"
    assert result["other"] == 1 and data["pred"].dtype == torch.float32  # the input stays
    np.testing.assert_array_equal(CleanLabel(rule, NAMES)(label[None]).numpy(), expected[None])
    assert CleanLabelD is CleanLabeld


def test_wrong_rule_is_refused_when_it_is_built() -> None:
    with pytest.raises(ConfigError, match="rules for lung alone, got 'liver'"):
        CleanLabeld("pred", {"liver": {"keep": 1}}, NAMES)
    with pytest.raises(KeyError):
        CleanLabeld("pred", {}, NAMES)({})
    assert CleanLabeld("pred", {}, NAMES, allow_missing_keys=True)({}) == {}


def test_pipeline_of_the_shipped_config_gives_the_labels_of_segment(
    tiny_bundle: Path,
    tiny_settings: dict[str, Any],
    xray_files: Path,
    edit_bundle: Callable[..., None],
    tmp_path: Path,
) -> None:
    """A random network whose drawing is in pieces, of which the rule leaves one."""
    rule = {"lung": {"keep": 1, "min_share": 0.0, "fill_holes": True}}
    torch.manual_seed(2)
    scribbler = SemiGanSegmenter(**tiny_settings)
    scribbler.is_trained.fill_(1)
    weights = tiny_bundle / "models" / "model.pt"
    torch.save(scribbler.state_dict(), weights)
    edit_bundle(tiny_bundle, components=rule, weights={"file": "models/model.pt", "sha256": file_digest(weights)})
    config = json.loads((tiny_bundle / "configs" / "inference.json").read_text())
    (clean,) = [step for step in config["postprocessing"]["transforms"] if step["_target_"].endswith(".CleanLabeld")]
    clean["components"] = rule
    (tiny_bundle / "configs" / "inference.json").write_text(json.dumps(config))
    image = xray_files / "images" / "case1.png"
    bundle = open_bundle(tiny_bundle)
    network = load_network(bundle, device=torch.device("cpu"))
    parser = ConfigParser(config)
    pixels = torch.from_numpy(np.asarray(Image.open(image), dtype=np.float32))
    settings = json.loads((tiny_bundle / "configs" / "metadata.json").read_text())["semigan"]["preprocessing"]

    segment([image], bundle=tiny_bundle, output=tmp_path / "out", steps=0)
    data = PrepareForNetworkd("image", "chest_xray", **settings)({"image": MetaTensor(pixels[None])})
    with torch.no_grad():
        data["pred"] = InversionInferer(steps=0)(data["image"][None], network)[0]
    for transform in parser.get_parsed_content("postprocessing").transforms[:-1]:
        data = transform(data)

    expected = np.asarray(Image.open(tmp_path / "out" / "case1" / "label.png"))
    np.testing.assert_array_equal(data["pred"][0].numpy(), expected)
    assert ndimage.label(expected, structure=np.ones((3, 3)))[1] == 1
    cleaned = json.loads((tmp_path / "out" / "case1" / "case.json").read_text())["cleaned_px"]
    assert cleaned["lung"]["removed"] > 0


@pytest.fixture
def labelled(tmp_path: Path) -> dict[str, Any]:
    """A label map on an oblique NIfTI file whose qform and sform differ from the usual."""
    drawn = phantoms.phantom("oblique")
    path = phantoms.write_nifti(tmp_path / "in" / "patient.v1.nii.gz", drawn.voxels_ct, drawn.grid)
    image = nibabel.load(path)
    image.set_sform(image.affine, 2)
    image.set_qform(None, 0)
    nibabel.save(image, path)
    label = MetaTensor(
        torch.tensor(drawn.label, dtype=torch.uint8)[None],
        affine=torch.tensor(nibabel.load(path).affine),
        meta={"filename_or_obj": str(path)},
    )
    return {"pred": label, "image": 1}


def test_label_volumes_are_written_on_their_source(labelled: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"

    result = SaveImageVolumeLabeld("pred", str(out))(labelled)
    SaveImageVolumeLabeld("pred", str(out))(labelled | {"case": "sub/../other"})

    assert result["image"] == 1 and result["pred"] is labelled["pred"]
    assert sorted(path.name for path in out.iterdir()) == ["patient.v1.nii.gz", "sub_.._other.nii.gz"]
    written, source = nibabel.load(out / "patient.v1.nii.gz"), nibabel.load(labelled["pred"].meta["filename_or_obj"])
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), labelled["pred"].numpy()[0])
    np.testing.assert_array_equal(written.get_sform(), source.get_sform())
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (2, 0)


def test_label_volumes_that_left_their_grid_are_refused(labelled: dict[str, Any], tmp_path: Path) -> None:
    save, label = SaveImageVolumeLabeld("pred", str(tmp_path / "out")), labelled["pred"]
    moved = label.affine.clone()
    moved[0, 3] += 0.5
    meta = {"filename_or_obj": label.meta["filename_or_obj"]}
    for wrong in (
        MetaTensor(label.as_tensor(), affine=moved, meta=dict(meta)),
        MetaTensor(label.as_tensor()[:, 1:], affine=label.affine, meta=dict(meta)),
    ):
        with pytest.raises(GeometryError, match=r"must lie on the grid of `patient\.v1`"):
            save({"pred": wrong})
    with pytest.raises(ConfigError, match="must name its source"):
        save({"pred": label.as_tensor()})
    assert not (tmp_path / "out").exists()


def test_hosts_that_write_files_themselves_know_the_writers_by_name() -> None:
    """MONAI Label and MONAI Deploy drop transforms whose class is named ``SaveImage...``."""
    names = [name for name in monai_savers.__all__ if name.startswith("Save")]
    assert names and all(name.startswith("SaveImage") for name in names)
