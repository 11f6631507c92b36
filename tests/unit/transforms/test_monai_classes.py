# SPDX-License-Identifier: Apache-2.0
"""MONAI classes of CT, MR and photographs: as their functions, arrays as dictionaries, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose

from monai_semigan.domains.abdomen import CtSlicePreset, MrSlicePreset
from monai_semigan.domains.monai_transforms import PrepareForNetwork, PrepareForNetworkd, RestoreLabeld
from monai_semigan.domains.photographs import DermoscopyPreset, FacePreset
from monai_semigan.errors import ConfigError, InputError, ShapeError
from monai_semigan.transforms import abdomen, photographs
from monai_semigan.transforms.chest_xray import ResizeToSquared
from monai_semigan.transforms.mapped import GEOMETRY_KEY

SLICE_CLASSES = [
    ("WindowHu", {"window": "liver"}, "CT"),
    ("WindowHu", {"center": 40.0, "width": 80.0, "check": False}, "CT"),
    ("CropBody", {"modality": "CT"}, "CT"),
    ("CropBody", {"modality": "MR"}, "MR"),
    ("WindowBodySignal", {"low": 2.0}, "MR"),
    ("CorrectBiasField", {}, "MR"),
    ("MatchQuantiles", {"reference": (0.0, 0.2, 1.0)}, "MR"),
]
PHOTO_CLASSES = [
    ("BalanceColor", {"power": 3.0}), ("RemoveHair", {}), ("FillVignette", {}), ("FillStickers", {}),
]  # fmt: skip


def same_in_a_dictionary(module, name, settings, image):
    array = getattr(module, name)(**settings)(image)
    data = {"image": image, "other": 1}
    mapped = getattr(module, f"{name}d")("image", **settings)(data)

    assert torch.equal(torch.as_tensor(mapped["image"]), torch.as_tensor(array))
    assert mapped["other"] == 1 and data["image"] is image
    aliases = [getattr(module, name + suffix) for suffix in ("d", "D", "Dict")]
    assert aliases[0] is aliases[1] is aliases[2]
    assert {name, f"{name}d", f"{name}D", f"{name}Dict"} <= set(module.__all__)
    assert getattr(module, f"{name}d")("absent", **settings, allow_missing_keys=True)(data)["image"] is image
    return array


@pytest.mark.parametrize(("name", "settings", "modality"), SLICE_CLASSES)
def test_slice_classes_work_on_arrays_and_dictionaries(make_ct, make_mr, name, settings, modality):
    image = torch.from_numpy((make_ct() if modality == "CT" else make_mr()).astype(np.float32))[None]

    result = same_in_a_dictionary(abdomen, name, settings, image)

    assert isinstance(result, MetaTensor) and result.dtype == torch.float32 and result.shape[0] == 1


@pytest.mark.parametrize(("name", "settings"), PHOTO_CLASSES)
def test_photo_classes_work_on_arrays_and_dictionaries(make_skin, name, settings):
    image = torch.from_numpy(make_skin()[0]).permute(2, 0, 1) * 255

    result = same_in_a_dictionary(photographs, name, settings, image)

    assert isinstance(result, MetaTensor) and result.dtype == torch.float32 and result.shape[0] == 3
    assert result.max() <= 1


def test_face_parts_in_a_dictionary():
    label = torch.tensor([[[0, 4, 13], [10, 18, 8]]])

    merged = same_in_a_dictionary(photographs, "MergeFaceParts", {}, label)

    assert merged.tolist() == [[[0, 3, 2], [5, 0, 1]]] and merged.dtype == torch.uint8


@pytest.mark.parametrize(
    ("steps", "preset", "modality"),
    [
        ([abdomen.CropBodyd("image", "CT"), abdomen.WindowHud("image", "liver_255", check=False)],
         CtSlicePreset, "CT"),
        ([abdomen.WindowBodySignald("image"), abdomen.CropBodyd("image", "MR")],
         MrSlicePreset, "MR"),
    ],
)  # fmt: skip
def test_steps_and_whole_chain_lead_back_to_the_source(make_ct, make_mr, steps, preset, modality):
    pixels = (make_ct() if modality == "CT" else make_mr()).astype(np.float32)
    meta = {"filename_or_obj": "x.nii", "spacing_mm": (1.0, 1.0)}
    data = {"image": MetaTensor(torch.from_numpy(pixels)[None], meta=meta)}

    single = Compose([*steps, ResizeToSquared("image", 64, max_stretch=1.5)])(data)["image"]
    prepared = PrepareForNetworkd("image", "abdomen", modality=modality, image_size=64)(data)["image"]
    expected, way = preset(image_size=64).prepare(pixels)

    np.testing.assert_allclose(prepared.numpy(), expected, atol=1e-6)
    assert single.shape == (1, 64, 64) and "spacing_mm" not in prepared.meta
    scores = torch.from_numpy(way.label((pixels > 90).astype(np.uint8), 2))
    restored = RestoreLabeld("pred")({"image": prepared, "pred": scores})["pred"]
    np.testing.assert_array_equal(restored.numpy()[0], way.scores_to_label(scores.numpy()))
    assert restored.shape == (1, 180, 190) and single.meta[GEOMETRY_KEY]["source_shape"] == (180, 190)


def test_a_field_of_view_takes_the_spacing_from_the_metadata(make_ct):
    image = MetaTensor(torch.from_numpy(make_ct())[None], meta={"spacing_mm": (1.5, 1.5)})

    prepared = PrepareForNetwork("abdomen", modality="CT", field_of_view_mm=400)(image)

    top, bottom, _, _ = prepared.meta[GEOMETRY_KEY]["crop_box"]
    assert bottom - top == 267 and prepared.meta[GEOMETRY_KEY]["may_overhang"]


def test_windows_and_quantiles_take_volumes_too(make_ct, make_mr):
    hu = torch.from_numpy(np.stack([make_ct(seed=at) for at in range(3)], axis=-1))[None]
    signal = torch.from_numpy(np.stack([make_mr(seed=at) for at in range(3)], axis=-1))[None]

    assert abdomen.WindowHu("lung")(hu).shape == hu.shape
    assert abdomen.MatchQuantiles((0, 1))(signal).shape == signal.shape
    corrected = abdomen.CorrectBiasField()(signal)
    assert corrected.shape == signal.shape
    with pytest.raises(InputError, match="assume_windowed"):
        abdomen.WindowHu("liver")(hu.clamp(0, 255))
    assert abdomen.WindowHu("liver_255", assume_windowed=True)(hu.clamp(0, 255)).min() == -1


def test_settings_and_channels_are_checked():
    for settings in ({}, {"window": "liver", "center": 1.0, "width": 1.0}, {"center": 1.0}):
        with pytest.raises(ConfigError, match="either"):
            abdomen.WindowHu(**settings)
    with pytest.raises(ConfigError, match="`modality`"):
        abdomen.CropBody("PET")
    with pytest.raises(ConfigError, match="Percentiles"):
        abdomen.WindowBodySignald("image", low=99.9, high=99)
    with pytest.raises(ConfigError, match="`power`"):
        photographs.BalanceColor(power=0)
    with pytest.raises(ShapeError, match="`img`"):
        PrepareForNetwork("abdomen", modality="CT")(torch.zeros(3, 8, 8))
    with pytest.raises(ShapeError, match="`img`"):
        photographs.RemoveHair()(torch.zeros(1, 8, 8))
    for wrong in ({"domain": "brain"}, {"domain": "abdomen"}, {"domain": "abdomen", "modality": "PT"}):
        with pytest.raises(ConfigError, match=r"must (be one of|have modalities of)"):
            PrepareForNetwork(**wrong)
    with pytest.raises(ConfigError, match="known keys"):
        PrepareForNetwork("face", zoom=1)


@pytest.mark.parametrize(("domain", "preset"), [("dermoscopy", DermoscopyPreset), ("face", FacePreset)])
def test_photographs_are_prepared_as_by_their_preset(make_skin, domain, preset):
    pixels = (make_skin()[0] * 255).astype(np.uint8)

    prepared = PrepareForNetwork(domain, image_size=32)(torch.from_numpy(pixels).permute(2, 0, 1))

    np.testing.assert_array_equal(prepared.numpy(), preset(image_size=32).prepare(pixels)[0])
