# SPDX-License-Identifier: Apache-2.0
"""A bundle's configs as MONAI's hosts run them: the labels of `segment_files`, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from segment_run import records, segment

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.monai_inferer import BundleInferer, bundle_network
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.errors import CheckpointError, ConfigError, InputError, ShapeError
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.checkpoint_file import file_digest, read_state_dict
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.segmenter import Segmenter

pytestmark = pytest.mark.filterwarnings("ignore")  # MONAI warns of its own parts

TRAINED = [name for name in list_bundles() if open_bundle(name).weights_file is not None]
STEPS = 1
"""Where a bundle's own number would take too long; the settings are compared as they are."""


def run_config(root: Path, source: Path, output: Path, **changes: Any) -> ConfigParser:
    """Run ``configs/inference.json`` as ``monai.bundle run`` does, in this process."""
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    parser.read_meta(str(root / "configs" / "metadata.json"))
    values = {"bundle_root": str(root), "dataset_dir": str(source), "output_dir": str(output), **changes}
    for key, value in values.items():
        parser[key] = value
    for part in ("initialize", "run"):
        parser.get_parsed_content(part)
    return parser


def settings_of(segmenter: Segmenter) -> dict[str, Any]:
    """All that a label depends on beside weights and source."""
    return {
        "request": segmenter.request,
        "presets": {name: chain.preset for name, chain in segmenter.chains.items()},
        "slicewise": segmenter.slicewise,
        "components": segmenter.components,
        "limits": {name: replace(chain, preset=None) for name, chain in segmenter.chains.items()},
    }


def sources_of(name: str, folder: Path) -> Path:
    """A source for a bundle: of the samples that it comes with, or a drawn volume."""
    if not open_bundle(name).takes_volumes:
        return min(path for path in (bundle_root(name) / "samples" / "images").iterdir() if path.suffix != ".md")
    drawn = phantoms.phantom()
    return phantoms.write_nifti(folder / "v.nii.gz", drawn.voxels_ct, drawn.grid)


@pytest.mark.parametrize("name", TRAINED)
def test_the_settings_of_both_doors_are_the_same(name: str) -> None:
    """After all overrides, of the configs and of the command line, with nothing asked for and with steps."""
    root = bundle_root(name)
    for steps in (None, 3):
        parser = ConfigParser()
        parser.read_config(str(root / "configs" / "inference.json"))
        parser["bundle_root"], parser["steps"] = str(root), steps
        inferer, network = parser.get_parsed_content("inferer"), parser.get_parsed_content("network_def")
        network.is_trained.fill_(1)
        theirs = bundle_segmenter(inferer.bundle, options=inferer.options, network=network)
        ours = open_bundle(name).segmenter(device="cpu", steps=steps)
        assert settings_of(theirs) == settings_of(ours)
        used = {chain.inversion.steps for chain in ours.chains.values()}
        assert used == {3} if steps else used == {c.inversion.steps for c in open_bundle(name).chains.values()}


@pytest.mark.parametrize("name", TRAINED)
def test_the_shipped_config_gives_the_label_of_segment(name: str, tmp_path: Path) -> None:
    source = sources_of(name, tmp_path / "in")
    run_config(bundle_root(name), source, tmp_path / "monai", steps=STEPS)
    report = segment(source, bundle=name, output=tmp_path / "out", steps=STEPS, device="auto")
    (case,) = records(report)
    if open_bundle(name).takes_volumes:
        ours = np.asanyarray(nibabel.load(tmp_path / "out" / case / "label.nii.gz").dataobj)
        theirs = np.asanyarray(nibabel.load(tmp_path / "monai" / f"{case}.nii.gz").dataobj)
    else:
        ours = np.asarray(Image.open(tmp_path / "out" / case / "label.png"))
        theirs = np.asarray(Image.open(tmp_path / "monai" / f"{source.stem}.png"))
        assert 0 < (ours > 0).mean() < 1
    np.testing.assert_array_equal(theirs, ours)


@pytest.fixture
def scribbling(tiny_bundle: Path, tiny_settings: dict[str, Any], edit_bundle: Callable[..., None]) -> Path:
    """A bundle whose random network draws pieces, of which the bundle's rule leaves one."""
    torch.manual_seed(2)
    network = SemiGanSegmenter(**tiny_settings)
    network.is_trained.fill_(1)
    weights = tiny_bundle / "models" / "model.pt"
    torch.save(network.state_dict(), weights)
    edit_bundle(
        tiny_bundle,
        components={"lung": {"keep": 1, "min_share": 0.0, "fill_holes": True}},
        weights={"file": "models/model.pt", "sha256": file_digest(weights)},
    )
    return tiny_bundle


def test_default_settings_of_both_doors_give_one_label_of_every_image(
    scribbling: Path, xray_files: Path, tmp_path: Path
) -> None:
    """The loader's batches are of one, the command's of four; rules for pieces are applied by both."""
    images = xray_files / "images"
    run_config(scribbling, images, tmp_path / "monai")
    report = segment(images, bundle=scribbling, output=tmp_path / "out")

    assert len(report.cases) == 4
    assert sum(record.classes[0].removed for record in records(report).values()) > 0
    for case in records(report):
        ours = np.asarray(Image.open(tmp_path / "out" / case / "label.png"))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "monai" / f"{case}.png")), ours)


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_volumes_of_both_doors_have_one_label(orientation, modality, volume_bundle: Path, tmp_path: Path) -> None:
    phantoms.write_series(tmp_path / "in" / "ct", phantoms.phantom(orientation), modality)

    run_config(volume_bundle, tmp_path / "in", tmp_path / "monai")
    report = segment(tmp_path / "in", bundle=volume_bundle, output=tmp_path / "out")

    (case,) = records(report)
    ours, theirs = (
        nibabel.load(tmp_path / "out" / case / "label.nii.gz"),
        nibabel.load(tmp_path / "monai" / "ct.nii.gz"),
    )
    np.testing.assert_array_equal(np.asanyarray(theirs.dataobj), np.asanyarray(ours.dataobj))
    np.testing.assert_array_equal(theirs.affine, ours.affine)


def loaded(contrast: phantoms.Modality, **meta: Any) -> MetaTensor:
    """A batch of one volume, as a data loader gives it."""
    drawn = phantoms.phantom("oblique")
    voxels = torch.from_numpy(phantoms.voxels(drawn, contrast).astype(np.float32))[None, None]
    return MetaTensor(voxels, affine=torch.tensor(drawn.grid.affine)[None], meta=dict(meta))


@pytest.fixture
def network(volume_bundle: Path) -> SemiGanSegmenter:
    network = bundle_network(str(volume_bundle))
    network.load_state_dict(read_state_dict(volume_bundle / "models" / "model.pt"))
    return network.eval()


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
@pytest.mark.parametrize("steps", [0, 1])
def test_what_a_host_switches_does_not_change_the_label(context, steps, volume_bundle, network) -> None:
    volume, inferer = loaded("MR", modality="MR"), BundleInferer(str(volume_bundle), steps=steps)
    expected = inferer(volume, network)

    with context():
        label = inferer(volume, network)

    assert isinstance(label, MetaTensor) and label.dtype == torch.uint8 and label.shape == volume.shape
    torch.testing.assert_close(label.as_tensor(), expected.as_tensor(), rtol=0, atol=0)
    torch.testing.assert_close(label.affine, volume.affine)
    assert label.meta["modality"] == "MR"


def test_axes_in_the_space_of_dicom_are_turned(volume_bundle, network) -> None:
    """Some of MONAI's readers leave an affine to LPS when they are asked to, and say so."""
    inferer, ras = BundleInferer(str(volume_bundle)), loaded("CT", modality=["CT"], space=["RAS"])
    lps = loaded("CT", modality=["CT"], space=["LPS"])
    lps.affine = torch.tensor(lps_from_ras(ras.affine[0].numpy()))[None]

    torch.testing.assert_close(inferer(lps, network).as_tensor(), inferer(ras, network).as_tensor(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "said", "wanted"), [("auto", "", "CT"), ("auto", None, "CT"), ("auto", ["MR"], "MR"), ("MR", "CT", "MR")]
)
def test_modality_is_asked_for_or_said_or_guessed(given, said, wanted, volume_bundle, network) -> None:
    label = BundleInferer(str(volume_bundle), modality=given)(loaded("CT", modality=said), network)

    expected = BundleInferer(str(volume_bundle), modality=wanted)(loaded("CT"), network)
    other = BundleInferer(str(volume_bundle), modality="MR" if wanted == "CT" else "CT")(loaded("CT"), network)
    torch.testing.assert_close(label.as_tensor(), expected.as_tensor(), rtol=0, atol=0)
    assert not torch.equal(other.as_tensor(), expected.as_tensor())


def test_what_cannot_be_segmented_is_refused(volume_bundle, network) -> None:
    inferer = BundleInferer(str(volume_bundle))
    with pytest.raises(InputError, match="must be CT or MR for this bundle, got PT"):
        inferer(loaded("MR", modality="PT"), network)
    with pytest.raises(InputError, match="rescale"):  # stored values: 1024 above HU
        BundleInferer(str(volume_bundle), modality="CT")(loaded("CT") + 1024, network)
    with pytest.raises(ShapeError):
        inferer(torch.zeros(2, 1, 8, 8), network)


@pytest.mark.parametrize("steps", [0, 2])
def test_an_untrained_network_is_refused(steps, volume_bundle) -> None:
    network = bundle_network(str(volume_bundle))
    network.load_state_dict({"some.other.network": torch.ones(3)}, strict=False)

    with pytest.raises(CheckpointError, match="must have trained weights"):
        BundleInferer(str(volume_bundle), steps=steps)(loaded("CT"), network)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"steps": -1}, {"modality": "PT"}])
def test_wrong_settings_are_refused(wrong, volume_bundle, network) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BundleInferer(str(volume_bundle), **wrong)(loaded("CT"), network)


@pytest.mark.parametrize("space", ["RGB", "grey"])
def test_images_may_come_without_metadata(space, tiny_bundle, tiny_network, make_xray) -> None:
    """Then a host has read them; a color image for a grey bundle must still be grey."""
    grey = torch.from_numpy(make_xray(90, 110)[0])[None, None].float()
    inferer = BundleInferer(str(tiny_bundle), steps=0)
    plain = inferer(grey, tiny_network)
    image = grey if space == "grey" else grey.expand(1, 3, -1, -1)

    assert not isinstance(plain, MetaTensor) and plain.shape == (1, 1, 90, 110)
    torch.testing.assert_close(inferer(image, tiny_network), plain, rtol=0, atol=0)
    with pytest.raises(InputError, match="grey image"):
        inferer(torch.cat([grey, 255 - grey, grey], dim=1), tiny_network)


def test_the_inferer_s_steps_hold_for_every_modality(volume_bundle, network) -> None:
    inferer = BundleInferer(str(volume_bundle), steps=7)
    segmenter = bundle_segmenter(inferer.bundle, options=inferer.options, network=network)

    assert {name: chain.inversion.steps for name, chain in segmenter.chains.items()} == {"CT": 7, "MR": 7}
    assert segmenter.chains["MR"].inversion == InversionSettings(steps=7, correlation_weight=1.0)
