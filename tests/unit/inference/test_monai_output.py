# SPDX-License-Identifier: Apache-2.0
"""The end of a MONAI pipeline gives the labels of `semigan segment`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data.meta_tensor import MetaTensor
from PIL import Image
from scipy import ndimage

from monai_semigan.errors import ConfigError
from monai_semigan.inference.bundle import load_network, open_bundle
from monai_semigan.inference.inferer import InversionInferer
from monai_semigan.inference.monai_output import CleanLabel, CleanLabelD, CleanLabeld
from monai_semigan.inference.postprocess import ComponentRules
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.transforms.chest_xray import PrepareChestXrayd
from monai_semigan.workflows import segment

NAMES = ["background", "lung"]


def spots(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("shape", [(12, 17), (7, 9, 11)])
def test_label_is_cleaned_and_keeps_its_metadata(shape: tuple[int, ...]) -> None:
    label, rule = spots(*shape), {"lung": {"keep": 1, "fill_holes": True}}
    data = {"pred": MetaTensor(torch.from_numpy(label)[None].float(), meta={"filename_or_obj": "a.png"}), "other": 1}

    result = CleanLabeld("pred", rule, NAMES)(data)

    expected = ComponentRules.from_json(rule, NAMES).apply(label)
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
    data = PrepareChestXrayd("image", **settings)({"image": MetaTensor(pixels[None])})
    with torch.no_grad():
        data["pred"] = InversionInferer(steps=0)(data["image"][None], network)[0]
    for transform in parser.get_parsed_content("postprocessing").transforms[:-1]:
        data = transform(data)

    expected = np.asarray(Image.open(tmp_path / "out" / "case1" / "label.png"))
    np.testing.assert_array_equal(data["pred"][0].numpy(), expected)
    assert ndimage.label(expected, structure=np.ones((3, 3)))[1] == 1
    cleaned = json.loads((tmp_path / "out" / "case1" / "case.json").read_text())["cleaned_px"]
    assert cleaned["lung"]["removed"] > 0
