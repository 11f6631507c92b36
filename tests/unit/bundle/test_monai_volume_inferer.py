# SPDX-License-Identifier: Apache-2.0
"""Volumes as MONAI's hosts call the inferer: the same labels as `segment_volume`, on the volume's own grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import phantoms
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from monai_semigan.bundle.monai_volume_inferer import VolumeInferer
from monai_semigan.domains.abdomen import ABDOMEN
from monai_semigan.errors import CheckpointError, ConfigError, InputError, ShapeError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.segmentation.whole_volume import segment_volume

PREPROCESSING: dict[str, dict[str, Any]] = {"CT": {"image_size": 32}, "MR": {"image_size": 32}}
INVERSION: dict[str, dict[str, Any]] = {
    "CT": {"steps": 1},
    "MR": {"steps": 1, "image_weight": 0.0, "perceptual_weight": 0.0, "correlation_weight": 1.0},
}


def inferer(**changes: Any) -> VolumeInferer:
    return VolumeInferer(**({"preprocessing": PREPROCESSING, "inversion": INVERSION} | changes))


def loaded(drawn: Any, contrast: phantoms.Modality, **meta: Any) -> MetaTensor:
    """A batch of one volume, as a data loader gives it."""
    voxels = torch.from_numpy(phantoms.voxels(drawn, contrast).astype(np.float32))[None, None]
    return MetaTensor(
        voxels, affine=torch.tensor(drawn.grid.affine.tolist(), dtype=torch.float64)[None], meta=dict(meta)
    )


def expected(drawn: Any, modality: phantoms.Modality, network: Any, **settings: Any) -> np.ndarray:
    return segment_volume(
        phantoms.voxels(drawn, modality).astype(np.float32),
        drawn.grid,
        network,
        ABDOMEN.presets[modality](**PREPROCESSING[modality]),
        inversion=InversionSettings(**{**INVERSION[modality], **settings}),
        slicewise=SlicewiseSettings(),
    ).label


@pytest.fixture
def scribbler(make_segmenter) -> Any:
    """A network whose drawing is foreground in places."""
    network = make_segmenter(seed=2)
    network.is_trained.fill_(1)
    return network.eval()


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
def test_labels_are_those_of_segment_volume(orientation, modality, scribbler) -> None:
    drawn = phantoms.phantom(orientation)
    volume = loaded(drawn, modality, modality=[modality], filename_or_obj=["a.nii"])

    label = inferer()(volume, scribbler)

    wanted = expected(drawn, modality, scribbler)
    assert 0 < wanted.mean() < 1, "a label without both classes would not show a wrong place"
    assert isinstance(label, MetaTensor) and label.dtype == torch.uint8
    np.testing.assert_array_equal(label.as_tensor()[0, 0].numpy(), wanted)
    np.testing.assert_array_equal(np.asarray(label.affine).reshape(4, 4), drawn.grid.affine)
    assert label.meta["filename_or_obj"] == ["a.nii"]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_host_without_gradients_gets_the_same(context, scribbler) -> None:
    drawn = phantoms.phantom()

    with context():
        label = inferer()(loaded(drawn, "MR", modality="MR"), scribbler)

    np.testing.assert_array_equal(label.as_tensor()[0, 0].numpy(), expected(drawn, "MR", scribbler))


@pytest.mark.parametrize("steps", [0, 1])
def test_host_with_autocast_gets_the_same(steps, scribbler) -> None:
    drawn = phantoms.phantom()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        label = inferer(steps=steps)(loaded(drawn, "CT", modality="CT"), scribbler)

    np.testing.assert_array_equal(label.as_tensor()[0, 0].numpy(), expected(drawn, "CT", scribbler, steps=steps))


def test_steps_replace_those_of_every_modality(scribbler) -> None:
    drawn = phantoms.phantom()
    label = inferer(steps=0)(loaded(drawn, "MR"), scribbler)
    np.testing.assert_array_equal(label.as_tensor()[0, 0].numpy(), expected(drawn, "MR", scribbler, steps=0))
    assert [inferer(steps=7).inversion[key].steps for key in ("CT", "MR")] == [7, 7]


@pytest.mark.parametrize(
    ("given", "said", "wanted"),
    [("auto", "", "CT"), ("auto", None, "CT"), ("auto", ["MR"], "MR"), ("MR", "CT", "MR")],
)
def test_modality_is_asked_for_or_said_or_guessed(given, said, wanted, monkeypatch, scribbler) -> None:
    asked: list[str] = []
    built = inferer(modality=given, steps=0)
    plain = dict(built.presets)

    class Watched(dict):
        def __getitem__(self, key: str) -> Any:
            asked.append(key)
            return super().__getitem__(key)

    monkeypatch.setattr(built, "presets", Watched(plain))
    built(loaded(phantoms.phantom(), "CT", modality=said), scribbler)
    assert asked == [wanted]


def test_a_plain_tensor_has_axes_to_right_anterior_superior(scribbler) -> None:
    volume = torch.from_numpy(phantoms.phantom().voxels_mr.astype(np.float32))[None, None]
    label = inferer(modality="MR", steps=0)(volume, scribbler)

    with_affine = inferer(modality="MR", steps=0)(MetaTensor(volume, affine=torch.eye(4)), scribbler)
    assert not isinstance(label, MetaTensor) and label.shape == volume.shape
    torch.testing.assert_close(label, with_affine.as_tensor())


def test_what_cannot_be_segmented_is_refused(tiny_network) -> None:
    drawn = phantoms.phantom()
    with pytest.raises(InputError, match="one of CT, MR, got 'PT'"):
        inferer()(loaded(drawn, "MR", modality="PT"), tiny_network)
    with pytest.raises(InputError, match="rescale"):  # stored values: 1024 above HU
        inferer(modality="CT")(loaded(drawn, "CT") + 1024, tiny_network)
    with pytest.raises(ShapeError):
        inferer()(torch.zeros(2, 1, 8, 8, 8), tiny_network)
    tiny_network.is_trained.zero_()
    with pytest.raises(CheckpointError, match="must have trained weights"):
        inferer()(loaded(drawn, "CT"), tiny_network)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"inversion": {"CT": {}}}, "same modalities, got CT, MR and CT"),
        ({"modality": "PT"}, "auto or one of CT, MR, got 'PT'"),
        ({"inversion": {"CT": {"iterations": 3}, "MR": {}}}, "known keys, but .*'iterations'"),
        ({"slicewise": {"overlap": 3}}, "known keys, but .*'overlap'"),
        ({"preprocessing": {"CT": {"size": 3}, "MR": {}}}, "known keys"),
        ({"steps": -1}, "`steps` must be a whole number from 0"),
    ],
)
def test_wrong_settings_are_refused(changes, match) -> None:
    with pytest.raises(ConfigError, match=match):
        inferer(**changes)
