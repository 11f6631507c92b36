# SPDX-License-Identifier: Apache-2.0
"""The shipped bundles under MONAI's own commands, offline and from another folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from segment_run import segment

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.description import Description
from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.errors import CheckpointError
from monai_semigan.networks.checkpoint_file import read_state_dict
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.settings import json_schema
from monai_semigan.workflows.packing import forget

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]  # MONAI warns of its own parts

SCHEMA = bundle_root(list_bundles()[0]).parent / "meta_schema.json"

PICTURES = ("lung_cxr_segmentation", "lesion_dermoscopy_segmentation")
"""Bundles with weights for single images."""


def run_monai(command: str, *arguments: str, folder: Path, **options: object) -> str:
    """Run ``python -m monai.bundle`` in a folder and return what it wrote."""
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", command, *arguments, *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module", params=PICTURES)
def bundle(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A copy of a shipped bundle with weights."""
    root = tmp_path_factory.mktemp("bundles") / request.param
    shutil.copytree(bundle_root(request.param), root, ignore=shutil.ignore_patterns("samples"))
    return root


@pytest.fixture
def network(bundle: Path) -> SemiGanSegmenter:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    return SemiGanSegmenter(**metadata["semigan"]["network"])


def test_inference_equals_segment_and_can_be_evaluated(bundle: Path, xray_files: Path, tmp_path: Path) -> None:
    work = tmp_path / "elsewhere"
    work.mkdir()
    for name in ("case2.png", "case3.png"):
        (xray_files / "images" / name).unlink()
        (xray_files / "masks" / name).unlink()
    if open_bundle(bundle).network.image_channels == 3:
        _tint(xray_files / "images")
    run_monai(
        "run",
        folder=work,
        config_file=bundle / "configs" / "inference.json",
        bundle_root=bundle,
        dataset_dir="../images",
        output_dir="labels",
        steps=1,
    )
    segment([xray_files / "images"], bundle=bundle, output=work / "segmented", steps=1)

    for name in ("case0", "case1"):
        label = np.asarray(Image.open(work / "labels" / f"{name}.png"))
        expected = np.asarray(Image.open(work / "segmented" / name / "label.png"))
        assert label.shape == np.asarray(Image.open(xray_files / "images" / f"{name}.png")).shape[:2]
        np.testing.assert_array_equal(label, expected)

    run_monai(
        "run",
        folder=work,
        config_file=bundle / "configs" / "evaluate.json",
        predictions_dir="labels",
        references_dir=xray_files / "masks",
        report_dir="report",
    )
    summary = json.loads((work / "report" / "summary.json").read_text())
    assert summary["schema"] == "semigan-evaluation-1" and not summary["failures"]
    assert len((work / "report" / "patients.csv").read_text().splitlines()) == 3


def _tint(folder: Path) -> None:
    for path in folder.iterdir():
        grey = np.asarray(Image.open(path)).astype(np.float32)
        Image.fromarray(np.stack([grey, grey * 0.7, grey * 0.5], axis=-1).astype(np.uint8)).save(path)


def read_config(name: str, file: str) -> dict[str, Any]:
    """Read a config of a shipped bundle."""
    config: dict[str, Any] = json.loads((bundle_root(name) / "configs" / file).read_text())
    return config


@pytest.mark.parametrize("name", list_bundles())
def test_metadata_and_network_are_verified_offline(name: str, tmp_path: Path) -> None:
    schema = shutil.copy(SCHEMA, tmp_path / "schema.json")
    configs = bundle_root(name) / "configs"
    metadata, inference = configs / "metadata.json", configs / "inference.json"

    assert "verified with no error" in run_monai(
        "verify_metadata", folder=tmp_path, meta_file=metadata, filepath=schema
    )
    assert "verified with no error" in run_monai(
        "verify_net_in_out",
        "network_def",
        folder=tmp_path,
        meta_file=metadata,
        config_file=inference,
        bundle_root=bundle_root(name),
    )


@pytest.mark.parametrize("name", list_bundles())
def test_metadata_of_other_weights_fit_the_schema_too(name: str) -> None:
    metadata = read_config(name, "metadata.json")
    forget(metadata)

    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("key", ["version", "network_data_format", "semigan"])
@pytest.mark.parametrize("name", list_bundles())
def test_schema_refuses_incomplete_metadata(name: str, key: str) -> None:
    metadata = read_config(name, "metadata.json")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(metadata, schema)
    del metadata[key]

    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(metadata, schema)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {"file": "models/model.pt"}},
        {"weights": "later"},
        {"network": {"image_size": 16, "num_classes": 2}},
        {"codes": [{"category": ["1", "SCT"], "type": ["2", "SCT", "Liver"]}]},
        {"slicewise": {"overlap": 3}},
    ],
)
def test_schema_refuses_what_a_bundle_cannot_hold(changes: dict[str, Any]) -> None:
    metadata = read_config("liver_ct_segmentation", "metadata.json")
    metadata["semigan"] |= changes
    schema = json.loads(SCHEMA.read_text())

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metadata, schema)


@pytest.mark.parametrize("name", list_bundles())
def test_configs_agree(name: str) -> None:
    metadata = read_config(name, "metadata.json")
    semigan = metadata["semigan"]
    network = semigan["network"]
    image, pred = metadata["network_data_format"]["inputs"]["image"], metadata["network_data_format"]["outputs"]["pred"]

    assert metadata["version"] in metadata["changelog"]
    assert metadata["name"] == name
    assert image["spatial_shape"] == pred["spatial_shape"] == [network["image_size"]] * 2
    assert image["num_channels"] == len(image["channel_def"]) == network["image_channels"]
    assert pred["num_channels"] == network["num_classes"]
    assert list(pred["channel_def"].values()) == semigan["class_names"]


@pytest.mark.parametrize("name", list_bundles())
def test_only_the_metadata_describe_a_bundle(name: str) -> None:
    """What the other configs say again could differ; they name the bundle instead."""
    for file in ("inference.json", "train.json", "train_encoder.json", "evaluate.json"):
        config = read_config(name, file)
        again = {"network", "domain", "inversion", "components", "slicewise", "class_names", "colors", "image_size"}
        found = {key for key, value in _entries(config) if key in again and not isinstance(value, str)}
        assert not found, f"{file} says again what the metadata say: {found}"
    inference = read_config(name, "inference.json")
    assert inference["inferer"]["bundle_root"] == inference["network_def"]["bundle_root"] == "@bundle_root"
    assert inference["steps"] is None


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _entries(item)


def test_the_schema_of_the_description_is_that_of_its_dataclass() -> None:
    """The block ``semigan`` of the file is generated: write what is ``expected`` here into it."""
    expected = json_schema(Description)
    del expected["$schema"]

    assert json.loads(SCHEMA.read_text())["properties"]["semigan"] == expected


def test_a_bundle_without_weights_says_so(tiny_bundle: Path, edit_bundle: Callable, tmp_path: Path) -> None:
    edit_bundle(tiny_bundle, weights=None)
    Image.new("L", (64, 64), 20).save(tmp_path / "p.png")

    done = subprocess.run(
        [
            *(sys.executable, "-m", "monai_semigan.cli.main", "segment", tmp_path / "p.png", "-b", tiny_bundle),
            *("-o", tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    (line,) = done.stderr.strip().splitlines()
    assert done.returncode != 0
    assert "has none yet. Train them: semigan train gan" in line
    assert not (tmp_path / "out").exists()


def test_network_is_exported(bundle: Path, network: SemiGanSegmenter, tmp_path: Path) -> None:
    common = {
        "meta_file": bundle / "configs" / "metadata.json",
        "config_file": bundle / "configs" / "inference.json",
    }
    weights = bundle / "models" / "model.pt"
    size = f"[1,{network.encoder.image_channels},{network.generator.image_size},{network.generator.image_size}]"
    run_monai(
        "ckpt_export",
        "network_def",
        folder=tmp_path,
        filepath="model.ts",
        ckpt_file=weights,
        use_trace=True,
        input_shape=size,
        bundle_root=bundle,
        **common,
    )
    network.load_state_dict(read_state_dict(weights))
    image = torch.rand(json.loads(size), generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        exported = torch.jit.load(tmp_path / "model.ts")(image)
        torch.testing.assert_close(exported, network.eval()(image), rtol=1e-4, atol=1e-4)


def test_bundle_loads_by_name(bundle: Path, network: SemiGanSegmenter) -> None:
    from monai.bundle import load

    loaded = load(name=bundle.name, bundle_dir=str(bundle.parent), model=network, source="github")

    assert isinstance(loaded, SemiGanSegmenter)
    loaded.require_trained()


@pytest.fixture
def parser(bundle: Path) -> Any:
    """The inference config, read as a host reads it, with the encoder alone."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser["bundle_root"], parser["steps"] = str(bundle), 0
    return parser


def test_host_that_loads_without_checking_is_refused_a_segmentation(
    bundle: Path, parser: Any, make_xray: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    network, inferer = parser.get_parsed_content("network_def"), parser.get_parsed_content("inferer")
    grey = torch.from_numpy(make_xray(90, 110)[0])[None, None].float()
    image = grey.expand(1, network.encoder.image_channels, -1, -1)

    network.load_state_dict({"model.0.conv.weight": torch.ones(3)}, strict=False)
    with pytest.raises(CheckpointError, match="must have trained weights"):
        inferer(image, network)

    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True), strict=False)
    assert inferer(image, network).shape == (1, 1, 90, 110)


def test_host_that_reads_and_writes_itself_gets_the_label(
    bundle: Path, parser: Any, make_xray: Callable[..., tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    """What it reads with its own reader has no metadata of ours; it drops the transforms named ``SaveImage``."""
    network, inferer = parser.get_parsed_content("network_def"), parser.get_parsed_content("inferer")
    network.load_state_dict(read_state_dict(bundle / "models" / "model.pt"))
    pixels = make_xray(90, 110)[0]
    if network.encoder.image_channels == 3:
        pixels = np.stack([pixels, pixels // 2, pixels // 3], axis=-1)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    channels_first = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    after_reading = parser.get_parsed_content("preprocessing").transforms[2:]
    before_writing = parser.get_parsed_content("postprocessing").transforms[:-1]

    data = {"image": torch.from_numpy(channels_first.astype(np.float32))}
    for transform in after_reading:
        data = transform(data)
    with torch.no_grad():
        data["pred"] = inferer(data["image"][None], network)[0]
    for transform in before_writing:
        data = transform(data)
    segment(tmp_path / "x.png", bundle=bundle, output=tmp_path / "out", steps=0)

    expected = np.asarray(Image.open(tmp_path / "out" / "x" / "label.png"))
    np.testing.assert_array_equal(np.asarray(data["pred"][0]), expected)


def test_both_trainings_run(tiny_bundle: Path, datalist: Path, tmp_path: Path) -> None:
    configs: Callable[[str], Path] = (tiny_bundle / "configs").joinpath
    common = {"bundle_root": tiny_bundle, "datalist": datalist, "device": "cpu"}
    run_monai("run", folder=tmp_path, config_file=configs("train.json"), run_dir="gan", **common)
    run_monai("run", folder=tmp_path, config_file=configs("train_encoder.json"), run_dir="enc", gan_run="gan", **common)

    assert list((tmp_path / "gan").glob("snapshot-*.pt"))
    assert float(read_state_dict(tmp_path / "enc" / "best.pt")["is_trained"]) == 1


def test_two_processes_train_together(tiny_bundle: Path, datalist: Path, tmp_path: Path) -> None:
    configs: Callable[[str], Path] = (tiny_bundle / "configs").joinpath
    settings = json.loads(configs("train.json").read_text())
    settings["trainer"]["run"] = {"total_kimg": 0.016, "batch_size": 8, "tick_kimg": 0.008, "num_samples": 2}
    configs("train.json").write_text(json.dumps(settings))

    torchrun = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    config_files = f"['{configs('train.json')}','{configs('multi_gpu_train.json')}']"
    options = {"config_file": config_files, "bundle_root": tiny_bundle, "datalist": datalist}
    options |= {"run_dir": "gan", "device": "cpu"}
    flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "monai.bundle", "run", *flags],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert len((tmp_path / "gan" / "stats.jsonl").read_text().splitlines()) == 2
    assert len(list((tmp_path / "gan").glob("snapshot-*.pt"))) == 2
