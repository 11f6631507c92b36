# SPDX-License-Identifier: Apache-2.0
"""What MONAI Label and MONAI Deploy do with a bundle, step by step, on the shipped bundles with weights.

Neither host is needed: the steps are replayed in our own words, MONAI Label's after its `BundleInferTask` and
`BasicInferTask`, MONAI Deploy's after its `MonaiBundleInferenceOperator`.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from monai.transforms.transform import MapTransform

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.io.image_file import ImageFile, read_image
from monai_semigan.io.volume_input import find_volumes
from monai_semigan.segmentation.segmenter import SegmenterOptions
from monai_semigan.workflows.sources import read_image_source, read_volume_source

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]  # MONAI warns of its own parts

TRAINED = [name for name in list_bundles() if open_bundle(name).weights_file is not None]
STEPS = 0


@pytest.fixture(params=TRAINED)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy that nobody may write to, as a host may install it."""
    root = tmp_path / "models" / request.param
    shutil.copytree(bundle_root(request.param), root)
    return root


def sample(root: Path) -> Path:
    folder = root / "samples"
    return folder / "ct.nii.gz" if (folder / "ct.nii.gz").exists() else sorted((folder / "images").iterdir())[0]


def expected(root: Path) -> np.ndarray:
    """The label as the package itself makes it."""
    path = sample(root)
    model = open_bundle(root).segmenter(device="cpu", options=SegmenterOptions(steps=STEPS))
    if path.name.endswith(".nii.gz"):
        (candidate,) = find_volumes([path])
        return model.segment(read_volume_source(candidate, sha256="a" * 64)).label
    return model.segment(read_image_source(ImageFile(path), sha256="a" * 64)).label


def files_in(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*") if "__pycache__" not in path.parts}


class Label:
    """A task of MONAI Label's server for one bundle."""

    def __init__(self, root: Path, weights: Path | None = None) -> None:
        self.root = root
        self.config = ConfigParser()
        self.config.read_config(str(root / "configs" / "inference.json"))
        self.config.config.update({"bundle_root": str(root)})
        self.network = self.config.get_parsed_content("network_def", instantiate=True)
        self.weights = weights or root / "models" / "model.pt"
        formats = json.loads((root / "configs" / "metadata.json").read_text())["network_data_format"]
        self.image, self.pred = next(iter(formats["inputs"])), next(iter(formats["outputs"]))
        channels = formats["outputs"][self.pred]["channel_def"]
        self.labels = {name.lower(): int(at) for at, name in channels.items() if name.lower() != "background"}
        self.displayed = self.config.get_parsed_content("displayable_configs", instantiate=True)

    def options(self) -> dict[str, Any]:
        """What stands in the options of a viewer, as 3D Slicer sends it back: text, empty for what is not set."""
        return {key: str(value) if value else "" for key, value in self.displayed.items()}

    def __call__(self, image: Path, **asked: Any) -> dict[str, Any]:
        request = copy.deepcopy(self.displayed) | {"device": "cpu", self.image: str(image)} | asked
        data = copy.deepcopy(request) | {"image_path": str(image)}
        for transform in self._transforms("preprocessing", data, change=True):
            data = transform(data)
        data = self._infer(data)
        for transform in self._transforms("postprocessing", data):
            data = transform(data)
        return self._restored(data)

    def _transforms(self, name: str, data: dict[str, Any], *, change: bool = False) -> list[Any]:
        if change:
            self.config["displayable_configs"].update({key: data[key] for key in self.displayed})
            self.config.parse()
        self.config.config.update({"device": data["device"]})
        made = self.config.get_parsed_content(name, instantiate=True)
        transforms: Sequence[Any] = made.transforms if isinstance(made, Compose) else made
        return [item for item in transforms if not isinstance(item, SaveImaged)]

    def _infer(self, data: dict[str, Any]) -> dict[str, Any]:
        inferer = self.config.get_parsed_content("inferer", instantiate=True)
        assert isinstance(inferer, Inferer)
        network = copy.deepcopy(self.network).to(torch.device("cpu"))
        checkpoint = torch.load(self.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(checkpoint.get("model", checkpoint), strict=False)
        network.eval()
        with torch.no_grad():
            outputs = inferer(data[self.image][None].to("cpu"), network)
        return data | {self.pred: outputs[0]}

    def _restored(self, data: dict[str, Any]) -> dict[str, Any]:
        """Back to the size of the source, which it has already, and its affine for the file."""
        meta, result = data[self.image].meta, data[self.pred]
        size = list(result.shape[1:])
        assert size == list(meta["spatial_shape"])[-len(size) :]
        return data | {"affine": meta.get("original_affine")}


def test_monai_label_gets_our_label_and_leaves_no_file(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_in(bundle.parent)
    task = Label(bundle)
    assert task.options() == {"steps": ""}
    assert list(task.labels.values()) == list(range(1, open_bundle(bundle).network.num_classes))

    data = task(sample(bundle), steps=str(STEPS))

    found = data[task.pred]
    assert found.shape[0] == 1 and found.dtype == torch.uint8
    np.testing.assert_array_equal(found[0].cpu().numpy(), expected(bundle))
    assert files_in(bundle.parent) == before
    if sample(bundle).name.endswith(".nii.gz"):
        np.testing.assert_allclose(data["affine"], nibabel.load(sample(bundle)).affine, atol=1e-4)


def test_monai_label_sends_options_as_text(bundle: Path) -> None:
    task = Label(bundle)

    for text, steps in (("", None), ("7", 7), (" 3 ", 3), (5, 5), (None, None)):
        data = {"device": "cpu", task.image: str(sample(bundle)), "steps": text}
        task._transforms("preprocessing", data, change=True)
        inferer = task.config.get_parsed_content("inferer", instantiate=True)
        assert inferer.options.steps == steps
    for wrong in ("many", "-1", "1.5"):
        task._transforms("preprocessing", {"device": "cpu", "steps": wrong}, change=True)
        with pytest.raises(RuntimeError) as caught:
            task.config.get_parsed_content("inferer", instantiate=True)
        assert isinstance(caught.value.__cause__, ConfigError) and "`steps`" in str(caught.value.__cause__)


def test_monai_label_with_weights_of_something_else_is_refused(bundle: Path, tmp_path: Path) -> None:
    torch.save({"model": {"some.other.network": torch.ones(3)}}, tmp_path / "other.pt")

    with pytest.raises(CheckpointError, match="must have trained weights"):
        Label(bundle, tmp_path / "other.pt")(sample(bundle), steps="0")


def deployed(root: Path, value: np.ndarray, meta: dict[str, Any]) -> np.ndarray:
    """Send an image in memory through a bundle as MONAI Deploy does; return the label without its channel."""
    parser = ConfigParser()
    parser.read_meta(str(root / "configs" / "metadata.json"))
    parser.read_config(str(root / "configs" / "inference.json"))
    parser["bundle_root"], parser["steps"] = str(root), STEPS
    parser.parse()
    formats = parser["_meta_"]["network_data_format"]
    (name, *_), (pred, *_) = formats["inputs"], formats["outputs"]
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True), strict=True)
    network.eval()
    before, after = (
        [item for item in parser.get_parsed_content(key).transforms if not _is_dropped(item)]
        for key in ("preprocessing", "postprocessing")
    )
    inferer = parser.get_parsed_content("inferer")
    with torch.no_grad():
        inputs: dict[str, Any] = {name: MetaTensor.ensure_torch_and_prune_meta(value, meta)}
        if before and isinstance(before[0], MapTransform):
            inputs = Compose(before)(inputs)
        outputs = inferer(inputs=inputs[name][None], network=network)
        label = outputs[0]
        assert not after, f"{pred} is written by the host"
    return np.asarray(label.cpu())[0]


def _is_dropped(transform: Any) -> bool:
    return any(word in type(transform).__name__ for word in ("LoadImage", "SaveImage"))


def test_monai_deploy_gets_our_label(bundle: Path) -> None:
    path = sample(bundle)
    if path.name.endswith(".nii.gz"):
        image = nibabel.load(path)
        value, affine = np.asarray(image.dataobj, dtype=np.int16), image.affine
        # as its reader of DICOM series describes a volume: the affine is to RAS, but `space` says LPS
        meta = {"modality": "CT", "nifti_affine_transform": affine, "affine": affine.copy(), "space": "LPS"}
        meta |= {"original_affine": affine, "spatial_shape": np.asarray(value.shape)}
    else:
        value, meta = read_image(path).pixels, {}
    channel = "no_channel" if value.ndim == 2 or path.name.endswith(".nii.gz") else -1

    found = deployed(bundle, value.astype(np.float32), meta | {"original_channel_dim": channel})

    np.testing.assert_array_equal(found, expected(bundle))


def test_both_hosts_know_what_reads_and_what_writes(bundle: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser["bundle_root"] = str(bundle)
    reading, *_ = parser.get_parsed_content("preprocessing").transforms
    (writing,) = parser.get_parsed_content("postprocessing").transforms

    assert isinstance(reading, LoadImaged) and isinstance(writing, SaveImaged)
    assert _is_dropped(reading) and _is_dropped(writing)
