# SPDX-License-Identifier: Apache-2.0
"""Opening bundles: what is read, what is refused, and that weights are the ones that were meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.errors import BundleError, CheckpointError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.settings import read_settings

CPU = torch.device("cpu")
SHA256 = "0" * 64

WRONG_NETWORKS = [
    ({}, "`semigan.network` in .* must be an object with the keys image_size, num_classes, got 'none'"),
    ({"image_size": 32, "num_classes": 2, "scale": 1}, "must be an object of known keys .*, got 'scale'"),
    ({"image_size": "32", "num_classes": 2}, "`semigan.network.image_size` in .* must be a whole number, got '32'"),
    ({"image_size": 32.0, "num_classes": 2}, "got 32.0"),
    ({"image_size": 1 << 30, "num_classes": 2}, "whole number from 32 to 1024"),
    ({"image_size": 48, "num_classes": 2}, "`image_size` must be a power of two"),
    ({"image_size": 32, "num_classes": True}, "`semigan.network.num_classes` in .* must be a whole number, got True"),
    (
        {"image_size": 32, "num_classes": 2, "channels": [8, -8]},
        r"channels\[1\]` in .* must be a whole number from 1 to 4096, got -8",
    ),
    ({"image_size": 32, "num_classes": 2, "encoder_channels": 8}, "encoder_channels` in .* must be a list, got 8"),
    (
        {"image_size": 32, "num_classes": 2, "encoder_kind": "unet"},
        "encoder_kind` in .* must be one of pyramid, official",
    ),
    ({"image_size": 32, "num_classes": 2, "encoder_kind": []}, "encoder_kind` in .* must be one of .* got a list of 0"),
    ({"image_size": 32, "num_classes": 2, "channels": [8, 8]}, "`channels` must have 4 positive entries"),
    ({"image_size": 32, "num_classes": 2, "encoder_channels": [8] * 11}, "`encoder_channels` must have 4 to 10 widths"),
    ({"image_size": 32, "num_classes": 2, "channels": [4096] * 4}, "at most 400 million parameters, got about"),
    ({"image_size": 32, "num_classes": 2, "head_channels": 4096, "w_dim": 4096}, "at most 400 million parameters"),
]

WRONG_BLOCKS = [
    ({"inversion": {"optimize": "both"}}, "`optimize` must be styles for a network without `feature_sizes`, got both"),
    ({"domain": "mri"}, "`domain` must be one of chest_xray, dermoscopy, face, abdomen, got 'mri'"),
    ({"domain": ["chest_xray"]}, "`semigan.domain` in .* must be text, got a list of 1"),
    ({"network": [64]}, "`semigan.network` in .* must be an object, got a list of 1"),
    (
        {"preprocessing": {"image_size": 64}},
        "`preprocessing` must make what the network takes, 1 channels of 32 px, got 1 of 64 px",
    ),
    (
        {"preprocessing": {"image_size": 32, "zoom": 1}},
        "`preprocessing` must be an object of known keys .*, got 'zoom'",
    ),
    (
        {"preprocessing": {"image_size": "32"}},
        "`image_size` in `preprocessing` must be a whole number, got '32'",
    ),
    ({"inversion": {"steps": -1}}, "`steps` in `inversion` must be a whole number from 0 to 10000, got -1"),
    ({"inversion": {"steps": 1.5}}, "`steps` in `inversion` must be a whole number, got 1.5"),
    ({"inversion": {"optimizer": "sgd"}}, "`optimizer` in `inversion` must be one of adam, lbfgs, got 'sgd'"),
    ({"inversion": {"compute_dtype": 16}}, "must be one of float32, bfloat16, auto, got 16"),
    ({"inversion": {"learning_rate": 1e999}}, "must be JSON, but is not"),
    (
        {"inversion": {"steps": 10**400}},
        "`steps` in `inversion` must be a whole number from 0 to 10000, got a very large",
    ),
    ({"inversion": {"iterations": 1}}, "`inversion` must be an object of known keys .*, got 'iterations'"),
    ({"class_names": ["background"]}, "`class_names` must name the network's 2 classes, each differently, got 1"),
    ({"class_names": ["background", "lung", "heart"]}, "must name the network's 2 classes, each differently, got 3"),
    ({"class_names": ["lung", "lung"]}, "each differently"),
    ({"class_names": "lung"}, "`semigan.class_names` in .* must be a list, got 'lung'"),
    ({"colors": [[0, 0, 0]]}, "`colors` must hold one color for each of the 2 classes, got 1"),
    ({"colors": [[0, 0, 0], [0, 0, 256]]}, r"colors\[1\]\[2\]` in .* must be a whole number from 0 to 255, got 256"),
    ({"weights": "none"}, "`semigan.weights` in .* must be an object, got 'none'"),
    ({"weights": {"file": "models/model.pt"}}, "`semigan.weights` in .* must be an object with the keys sha256"),
    ({"weights": {"file": "models/model.pt", "sha256": "abc"}}, "64 hexadecimal digits"),
    ({"weights": {"file": "../model.pt", "sha256": SHA256}}, "`file` must lie inside the bundle, got '../model.pt'"),
    ({"weights": {"file": "models/../../m.pt", "sha256": SHA256}}, "must lie inside the bundle"),
    ({"weights": {"file": "/etc/passwd", "sha256": SHA256}}, "must lie inside the bundle"),
    ({"weights": {"file": "", "sha256": SHA256}}, "must lie inside the bundle"),
    ({"components": {"liver": {"keep": 1}}}, "`components` must have rules for lung alone, got 'liver'"),
    (
        {"components": {"lung": {"keep": -1}}},
        "`semigan.components.lung.keep` in .* must be a whole number from 0, got -1",
    ),
    ({"components": None}, "`semigan.components` in .* must be an object, got None"),
    ({"extra": 1}, "`semigan` in .* must be an object of known keys .*, got 'extra'"),
    ({"format": "semigan-bundle-2"}, "`semigan.format` in .* must be one of semigan-bundle-1, got 'semigan-bundle-2'"),
]


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def replace_weights(root: Path, content: object, edit_bundle: Callable[..., None]) -> Path:
    path = root / "models" / "model.pt"
    torch.save(content, path)
    edit_bundle(root, weights={"file": "models/model.pt", "sha256": file_digest(path)})
    return path


def test_bundle_is_described_by_its_metadata(tiny_bundle: Path, tiny_settings: dict[str, object]) -> None:
    bundle = open_bundle(tiny_bundle)

    assert (bundle.root, bundle.name, bundle.version) == (tiny_bundle, "lung_cxr_segmentation", "0.5.0")
    assert bundle.class_names == ("background", "lung")
    assert bundle.colors == ((0, 0, 0), (230, 97, 1))
    assert bundle.network == read_settings(NetworkSettings, tiny_settings, "network")
    assert bundle.preset.image_size == 32 and bundle.preset.max_stretch == 1.5
    assert bundle.inversion == InversionSettings(steps=2)
    assert bundle.weights_file == tiny_bundle / "models" / "model.pt"


def test_rules_for_pieces_are_read_and_may_be_left_out(tiny_bundle: Path, edit_bundle: Callable[..., None]) -> None:
    edit_bundle(tiny_bundle, components={"lung": {"keep": 2, "min_share": 0.25}})
    assert open_bundle(tiny_bundle).components.by_class == {1: ComponentRule(keep=2, min_share=0.25)}

    path = tiny_bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["semigan"]["components"]
    path.write_text(json.dumps(metadata))
    assert open_bundle(tiny_bundle).components == ComponentRules()


def test_shipped_bundle_opens_by_its_name() -> None:
    bundle = open_bundle("lung_cxr_segmentation")

    assert bundle.class_names == ("background", "lung")
    assert bundle.root.name == bundle.name == "lung_cxr_segmentation"


def test_shipped_weights_load() -> None:
    bundle = open_bundle("lung_cxr_segmentation")
    assert bundle.weights_file is not None

    assert float(load_network(bundle, device=CPU).is_trained) == 1
    assert bundle.weights_file.stat().st_size < 15e6


def test_network_is_frozen_and_holds_the_weights(tiny_bundle: Path, tiny_network: SemiGanSegmenter) -> None:
    network = load_network(open_bundle(tiny_bundle), device=CPU)

    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.state_dict(), tiny_network.state_dict(), rtol=0, atol=0)


def test_digest_names_metadata_and_weights(tiny_bundle: Path, edit_bundle: Callable[..., None]) -> None:
    before = open_bundle(tiny_bundle).digest
    again = open_bundle(tiny_bundle).digest
    edit_bundle(tiny_bundle, weights={"file": "models/model.pt", "sha256": SHA256})
    other_weights = open_bundle(tiny_bundle).digest

    assert before == again != other_weights and len(before) == 64


def test_unknown_name_and_missing_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must be a folder or one of .*lung_cxr_segmentation, got 'kidney'"):
        open_bundle("kidney")
    with pytest.raises(BundleError, match=r"none` does not exist"):
        open_bundle(tmp_path / "none")


def test_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must be a bundle, but has no configs/metadata\.json"):
        open_bundle(tmp_path)


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, '{"semigan": NaN}', "x" * (2 << 20), "[]", "{}", '{"semigan": 1}']
)
def test_broken_metadata_is_refused(tiny_bundle: Path, text: str) -> None:
    (tiny_bundle / "configs" / "metadata.json").write_text(text)

    with pytest.raises(BundleError, match=r"metadata.json.* must be") as caught:
        open_bundle(tiny_bundle)
    assert len(one_line(caught.value)) < 500


@pytest.mark.parametrize(("network", "message"), WRONG_NETWORKS)
def test_wrong_network_is_refused(
    tiny_bundle: Path, edit_bundle: Callable[..., None], network: dict[str, object], message: str
) -> None:
    edit_bundle(tiny_bundle, network=network)

    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(tiny_bundle)
    one_line(caught.value)


@pytest.mark.parametrize(("changes", "message"), WRONG_BLOCKS)
def test_wrong_block_is_refused(
    tiny_bundle: Path, edit_bundle: Callable[..., None], changes: dict[str, object], message: str
) -> None:
    edit_bundle(tiny_bundle, **changes)

    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(tiny_bundle)
    one_line(caught.value)


@pytest.mark.parametrize("key", ["semigan", "version"])
def test_missing_key_is_refused(tiny_bundle: Path, key: str) -> None:
    path = tiny_bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    del metadata[key]
    path.write_text(json.dumps(metadata))

    with pytest.raises(BundleError, match=key):
        open_bundle(tiny_bundle)


def test_foreign_class_in_a_config_is_refused(tiny_bundle: Path) -> None:
    (tiny_bundle / "configs" / "inference.json").write_text(
        '{"network_def": {"_target_": "os.system", "command": "id"}}'
    )

    with pytest.raises(
        BundleError, match=r"must not be trusted: .*inference.json.* names the foreign class 'os.system'"
    ):
        open_bundle(tiny_bundle)


def test_missing_weights_are_refused(tiny_bundle: Path) -> None:
    (tiny_bundle / "models" / "model.pt").unlink()

    with pytest.raises(BundleError, match=r"`models/model.pt` of the bundle `tiny_bundle` must hold the weights"):
        load_network(open_bundle(tiny_bundle), device=CPU)


def test_a_bundle_for_training_needs_no_weights(tiny_bundle: Path, edit_bundle: Callable[..., None]) -> None:
    edit_bundle(tiny_bundle, weights=None)

    bundle = open_bundle(tiny_bundle)

    assert bundle.weights_file is bundle.weights_sha256 is None and len(bundle.digest) == 64
    with pytest.raises(
        BundleError, match=r"`lung_cxr_segmentation` has none yet\. Train them: semigan train gan"
    ) as found:
        load_network(bundle, device=CPU)
    one_line(found.value)


def test_exchanged_weights_are_refused(tiny_bundle: Path) -> None:
    with (tiny_bundle / "models" / "model.pt").open("ab") as stream:
        stream.write(b"\0")

    with pytest.raises(BundleError, match=r"must have the SHA-256 .* it is damaged or was exchanged"):
        load_network(open_bundle(tiny_bundle), device=CPU)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickle_with_code_is_refused_and_not_run(
    tiny_bundle: Path, tmp_path: Path, edit_bundle: Callable[..., None]
) -> None:
    replace_weights(tiny_bundle, {"weight": Payload(tmp_path / "ran")}, edit_bundle)

    with pytest.raises(CheckpointError, match="must hold tensors only") as caught:
        load_network(open_bundle(tiny_bundle), device=CPU)
    one_line(caught.value)
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_network_are_refused(
    tiny_bundle: Path, tiny_network: SemiGanSegmenter, edit_bundle: Callable[..., None]
) -> None:
    state = tiny_network.state_dict()
    state["surplus"] = state.pop("generator.mapping.latent_avg")
    replace_weights(tiny_bundle, state, edit_bundle)

    with pytest.raises(CheckpointError, match=r"missing: generator.mapping.latent_avg; unknown: surplus"):
        load_network(open_bundle(tiny_bundle), device=CPU)


def test_untrained_weights_are_refused(
    tiny_bundle: Path, tiny_network: SemiGanSegmenter, edit_bundle: Callable[..., None]
) -> None:
    tiny_network.is_trained.zero_()
    replace_weights(tiny_bundle, tiny_network.state_dict(), edit_bundle)

    with pytest.raises(CheckpointError, match="must have trained weights"):
        load_network(open_bundle(tiny_bundle), device=CPU)


def test_weights_that_are_a_link_out_of_the_bundle_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tiny_bundle / "models" / "model.pt"
    path.rename(tmp_path / "model.pt")
    path.symlink_to(tmp_path / "model.pt")

    with pytest.raises(BundleError, match=r"`models/model.pt` leads out of the bundle"):
        open_bundle(tiny_bundle)
