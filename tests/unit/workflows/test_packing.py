# SPDX-License-Identifier: Apache-2.0
"""A packed bundle claims nothing that was measured with other weights, and is written whole or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from monai_semigan.bundle.audit import audit_bundle
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.cli.pack import command
from monai_semigan.errors import BundleError, CheckpointError, OutputError
from monai_semigan.networks.checkpoint_file import read_state_dict
from monai_semigan.training.teacher import LabelTeacher, save_teacher
from monai_semigan.workflows.packing import pack, store_num_labels


@pytest.fixture
def run(tmp_path: Path, tiny_network) -> Path:
    """An encoder's run folder with other weights than the tiny bundle's."""
    folder = tmp_path / "runs" / "encoder"
    folder.mkdir(parents=True)
    with torch.no_grad():
        tiny_network.encoder.stem.bias += 1
    torch.save(tiny_network.state_dict(), folder / "best.pt")
    (folder / "resolved_config.json").write_text(json.dumps({"config": {"data_digest": "ab12" * 16}}))
    return folder


@pytest.fixture
def published(tiny_bundle: Path) -> Path:
    """The tiny bundle with what its publisher measured."""
    (tiny_bundle / "docs").mkdir()
    (tiny_bundle / "docs" / "README.md").write_text("# Card\nDice 0.987\n")
    (tiny_bundle / "docs" / "data_license.txt").write_text("CC BY 4.0\n")
    path = tiny_bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    origin = {"name": "a", "version": "1", "digest": "0" * 64, "num_labelled": 1, "steps": 1, "data_digest": "1" * 64}
    metadata["semigan"] |= {"max_image_error": 0.2, "min_expected_dice": 0.9, "adapted_from": origin}
    path.write_text(json.dumps(metadata | {"eval_metrics": {"dice": 0.987}, "version": "7.8.9", "name": "published"}))
    return tiny_bundle


def test_what_belongs_to_other_weights_is_left_out(published: Path, run: Path, tmp_path: Path) -> None:
    target = pack(tmp_path / "mine", bundle=published, weights=run / "best.pt")

    opened, metadata = open_bundle(target), json.loads((target / "configs" / "metadata.json").read_text())
    texts = (target / "docs" / "README.md").read_text() + (target / "docs" / "data_license.txt").read_text()
    assert (opened.name, opened.version) == ("mine", "0.1.0")
    assert opened.image_chain.min_expected_dice is None and opened.image_chain.max_image_error == 1e6
    assert "adapted_from" not in metadata["semigan"]
    assert list(metadata["changelog"]) == ["0.1.0"] and "eval_metrics" not in metadata
    assert metadata["authors"] == metadata["copyright"] == "not stated", "monai.bundle asks for both"
    assert "0.987" not in texts and "CC BY" not in texts
    for said in ("published 7.8.9", "ab12" * 16, "1 lung", opened.weights_sha256, "chest_xray"):
        assert said in texts
    assert audit_bundle(target) == []


def test_the_same_weights_keep_what_was_measured(published: Path, tmp_path: Path) -> None:
    packed = pack(tmp_path / "half", bundle=published, weights=published / "models" / "model.pt")
    path = packed / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["semigan"]["min_expected_dice"] = 0.8
    path.write_text(json.dumps(metadata))
    (packed / "docs" / "README.md").write_text("mine")

    pack(tmp_path / "again", bundle=packed, weights=packed / "models" / "model.pt", version="2.0")

    opened = open_bundle(tmp_path / "again")
    assert (opened.name, opened.version, opened.image_chain.min_expected_dice) == ("half", "2.0", 0.8)
    assert (tmp_path / "again" / "docs" / "README.md").read_text() == "mine"


def test_a_bundle_is_replaced_by_itself_with_its_samples(published: Path, run: Path) -> None:
    (published / "samples").mkdir()
    (published / "samples" / "a.png").touch()
    with pytest.raises(BundleError, match="already holds a bundle"):
        pack(published, bundle=published, weights=run / "best.pt")

    pack(published, bundle=published, weights=run / "best.pt", name="new", overwrite=True)

    assert (published / "samples" / "a.png").exists() and open_bundle(published).name == "new"
    assert not [path.name for path in published.parent.iterdir() if path.name.startswith(".")]


def test_a_volume_bundle_has_a_limit_for_each_modality(volume_bundle: Path, run: Path, tmp_path: Path) -> None:
    pack(tmp_path / "mine", bundle=volume_bundle, weights=run / "best.pt")

    assert {chain.max_image_error for chain in open_bundle(tmp_path / "mine").chains.values()} == {1e6}


def test_other_folders_are_never_replaced(published: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    with pytest.raises(OutputError, match="must be a new folder or a bundle"):
        pack(tmp_path / "mine", bundle=published, weights=run / "best.pt", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(("option", "value"), [("--name", "a\\b"), ("--version", ""), ("--name", "x" * 65)])
def test_odd_names_leave_nothing(published: Path, run: Path, tmp_path: Path, option: str, value: str) -> None:
    arguments = [str(tmp_path / "mine"), "-b", str(published), "--weights", str(run / "best.pt"), option, value]

    assert isinstance(CliRunner().invoke(command, arguments).exception, BundleError)
    assert not list(tmp_path.glob("*mine*"))


def test_a_run_folder_suggests_its_weights(published: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a folder\. Pass `.*encoder/best\.pt`"):
        pack(tmp_path / "mine", bundle=published, weights=run)


def test_weights_of_another_network_are_refused(published: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")

    with pytest.raises(CheckpointError, match="must fit the network"):
        pack(tmp_path / "mine", bundle=published, weights=tmp_path / "w.pt")


@pytest.mark.parametrize("limit", [0, 20_000, 60_000])
def test_a_full_disk_leaves_nothing_that_looks_like_a_bundle(
    published: Path, run: Path, tmp_path: Path, limit: int
) -> None:
    """No file may grow beyond the limit, as on a full disk."""
    program = (
        "import resource, signal, sys; from monai_semigan.workflows.packing import pack\n"
        "from monai_semigan.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)\n"
        "try:\n    pack(sys.argv[1], bundle=sys.argv[2], weights=sys.argv[3])\n"
        "except OutputError as error:\n    print(error)"
    )
    arguments = [tmp_path / "mine", published, run / "best.pt", limit]

    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=True
    )

    assert "could not be written" in result.stdout
    assert not list(tmp_path.glob("*mine*"))


def test_what_a_kill_left_is_removed_by_the_next_one(published: Path, run: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys; from monai_semigan.workflows import packing\n"
        "packing.load_network = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "packing.pack(sys.argv[1], bundle=sys.argv[2], weights=sys.argv[3])"
    )
    arguments = [str(tmp_path / "mine"), str(published), str(run / "best.pt")]

    subprocess.run([sys.executable, "-c", program, *arguments], check=False)
    (left,) = tmp_path.glob("*mine*")

    assert left.name.startswith(".mine.")
    pack(tmp_path / "mine", bundle=published, weights=run / "best.pt")
    assert [path.name for path in tmp_path.glob("*mine*")] == ["mine"]
    shutil.rmtree(tmp_path / "mine")


def test_the_number_of_labels_counts_the_base(tiny_bundle: Path, edit_bundle) -> None:
    store_num_labels(tiny_bundle, 5, open_bundle(tiny_bundle))
    assert open_bundle(tiny_bundle).num_labels is None, "of the base nothing is known"
    store_num_labels(tiny_bundle, 5, None)
    assert open_bundle(tiny_bundle).num_labels == 5
    store_num_labels(tiny_bundle, 3, open_bundle(tiny_bundle))
    assert open_bundle(tiny_bundle).num_labels == 8


def test_a_teacher_becomes_the_direct_route(published: Path, tiny_settings, edit_bundle, tmp_path: Path) -> None:
    teacher = LabelTeacher(image_channels=1, num_classes=2, features=(6, 4, 4))
    save_teacher(tmp_path / "teacher.pt", teacher)
    weights = published / "models" / "model.pt"

    packed = open_bundle(pack(tmp_path / "mine", bundle=published, weights=weights, teacher=tmp_path / "teacher.pt"))

    assert packed.network.direct_widths == (6, 4, 4) and packed.network.direct_share == 0.25, "the bundle's"
    network = load_network(packed, device=torch.device("cpu"))
    image = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(network.encoder.direct(image).softmax(dim=1), teacher(image), rtol=0.01, atol=0.01)

    # Of weights without such a route, both count alike.
    plain = {key: value for key, value in read_state_dict(weights).items() if ".direct." not in key}
    torch.save(plain, tmp_path / "plain.pt")
    edit_bundle(published, network=tiny_settings | {"direct_widths": [], "direct_share": 0.0}, weights=None)
    result = CliRunner().invoke(
        command,
        [
            str(tmp_path / "other"),
            *("-b", str(published), "--weights", str(tmp_path / "plain.pt")),
            *("--teacher", str(tmp_path / "teacher.pt")),
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0 and open_bundle(tmp_path / "other").network.direct_share == 0.5

    # One of other classes, or MONAI's network, does not fit; nothing is written.
    save_teacher(tmp_path / "three.pt", LabelTeacher(image_channels=1, num_classes=3, features=(6, 4, 4)))
    features = (4, 4, 4, 4, 4, 4)
    basic = LabelTeacher(image_channels=1, num_classes=2, features=features, network="basic_unet")
    save_teacher(tmp_path / "basic.pt", basic)
    fine = LabelTeacher(image_channels=1, num_classes=2, features=(6, 4, 4), downsampling=2)
    save_teacher(tmp_path / "fine.pt", fine)
    for name, message in (
        ("three", "of another shape"),
        ("basic", "label_unet, got basic_unet"),
        ("fine", "network's `downsampling` 1, got 2"),
    ):
        with pytest.raises(CheckpointError, match=message):
            pack(tmp_path / name, bundle=published, weights=tmp_path / "plain.pt", teacher=tmp_path / f"{name}.pt")
        assert not (tmp_path / name).exists()
