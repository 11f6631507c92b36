# SPDX-License-Identifier: Apache-2.0
"""``semigan convert`` from file to file, and what can be done with the result."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import foreign_checkpoints as foreign
import pytest
import torch
from click.testing import CliRunner, Result

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.cli.main import cli
from monai_semigan.errors import CheckpointError, ConfigError, OutputError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.start_weights import read_start
from monai_semigan.training.snapshot import load_snapshot
from monai_semigan.workflows.converting import convert
from monai_semigan.workflows.packing import pack
from monai_semigan.workflows.train import train_encoder, train_gan

CHANNELS = foreign.CHANNELS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The GAN's file, in the format of old PyTorch, and the encoder's."""
    gan, encoder = foreign.semanticgan_files(num_classes=1)
    paths = tmp_path / "gan.pt", tmp_path / "encoder.pt"
    torch.save(gan, paths[0], _use_new_zipfile_serialization=False)
    torch.save(encoder, paths[1])
    return paths


@pytest.fixture
def grey_files(tmp_path: Path) -> tuple[Path, Path]:
    gan, encoder = foreign.semanticgan_files(num_classes=2, image_channels=1)
    for state in (gan["g_ema"], encoder["g_ema"]):
        for key in state:
            state[key] = state[key].float() * (0.1 if "to_" in key and "conv.weight" in key else 1)
    paths = tmp_path / "gan.pt", tmp_path / "encoder.pt"
    torch.save(gan, paths[0])
    torch.save(encoder, paths[1])
    return paths


def use_network(bundle: Path, network: dict, pair_discriminator: dict | None = None) -> None:
    """Put a converted network's description into all configs of a bundle that name it."""
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["semigan"]["network"] = network
    path.write_text(json.dumps(metadata))
    for name in ("train.json", "train_encoder.json"):
        path = bundle / "configs" / name
        config = json.loads(path.read_text())
        if pair_discriminator and name == "train.json":
            config["trainer"]["d_pair"] = pair_discriminator
        path.write_text(json.dumps(config))


def test_a_converted_file_describes_its_networks(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("convert", "semanticgan", *files, tmp_path / "new" / "out.pt", "--json")

    facts = json.loads(result.stdout)
    start = read_start(tmp_path / "new" / "out.pt")
    assert facts["network"] == start.network and facts["d_pair"] == start.pair_discriminator
    assert set(facts["networks"]) == {"generator", "d_image", "d_pair", "encoder"}
    assert facts["network"]["num_classes"] == 2 and facts["network"]["encoder_kind"] == "official"
    assert "args" in facts["ignored"]
    network = SemiGanSegmenter(**start.network)
    network.load_state_dict(start.segmenter_state())
    network.require_trained()


def test_people_see_what_was_taken_and_what_to_paste(files: tuple[Path, Path], tmp_path: Path) -> None:
    lines = run("convert", "semanticgan", *files, tmp_path / "out.pt").stdout.splitlines()

    assert any(line.startswith("imported: encoder, ") for line in lines)
    assert "ignored: 46 more (--json lists all)" in lines
    block = next(line for line in lines if line.startswith('"network": '))
    assert json.loads("{" + block + "}")["network"]["image_size"] == 32
    assert lines[-1] == str(tmp_path / "out.pt")


def test_a_converted_model_becomes_a_bundle(grey_files: tuple[Path, Path], tiny_bundle: Path, tmp_path: Path) -> None:
    result = convert("semanticgan", grey_files, tmp_path / "out.pt")
    use_network(tiny_bundle, result.network)

    packed = pack(tmp_path / "mine", bundle=tiny_bundle, weights=tmp_path / "out.pt")

    network = load_network(open_bundle(packed), device=torch.device("cpu"))
    label_logits = network(torch.zeros(1, 1, 32, 32))
    assert label_logits.shape == (1, 2, 32, 32) and bool(label_logits.isfinite().all())
    convert("semanticgan", grey_files[:1], tmp_path / "gan_alone.pt")
    with pytest.raises(CheckpointError, match="lack encoder"):
        pack(tmp_path / "other", bundle=tiny_bundle, weights=tmp_path / "gan_alone.pt")


def test_training_starts_from_converted_weights(
    datalist: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, start = tmp_path / "ada.pt", tmp_path / "start.pt"
    torch.save({"G_ema": foreign.ada_generator(CHANNELS), "D": foreign.ada_discriminator(CHANNELS)}, source)
    result = convert("stylegan2-ada", [source], start, num_classes=2, to_grey=True)
    use_network(tiny_bundle, result.network)
    settings = {"bundle": str(tiny_bundle), "datalist": datalist, "device": "cpu"}

    snapshot = train_gan(tmp_path / "run", **settings, start=start, total_kimg=0.004)
    plain = train_gan(tmp_path / "plain", **settings, total_kimg=0.004)

    def noise(path: Path) -> torch.Tensor:
        networks = load_snapshot(path)["step"]["networks"]
        return networks["generator_ema"]["synthesis.blocks.1.conv.noise_const"]

    expected = result.states["generator"]["synthesis.blocks.1.conv.noise_const"].float()
    torch.testing.assert_close(noise(snapshot), expected)  # a buffer: training does not move it
    assert not torch.allclose(noise(plain), expected)
    trained = load_snapshot(snapshot)["step"]["networks"]
    for name, key in (("generator", "synthesis.blocks.1.conv.weight"), ("d_image", "blocks.0.conv1.weight")):
        torch.testing.assert_close(trained[name][key], result.states[name][key].float(), rtol=0, atol=0.02)
    with pytest.raises(ConfigError, match="another start"):
        train_gan(tmp_path / "run", **settings, resume=True)
    assert train_gan(tmp_path / "run", **settings, start=start, resume=True, total_kimg=0.008) != snapshot


def test_training_refuses_what_does_not_fit(
    datalist: Path, tiny_bundle: Path, grey_files: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = {"bundle": str(tiny_bundle), "datalist": datalist, "device": "cpu"}
    result = convert("semanticgan", grey_files, tmp_path / "start.pt")

    with pytest.raises(ConfigError, match=r"z_dim 6 instead of 16; .*channels \[5, 4, 3, 2\] instead of \[8, 8"):
        train_gan(tmp_path / "a", **settings, start=tmp_path / "start.pt")
    with pytest.raises(CheckpointError, match="semigan-start-1"):
        train_gan(tmp_path / "b", **settings, start=grey_files[0])
    with pytest.raises(CheckpointError, match="there is none"):
        train_gan(tmp_path / "c", **settings, start=tmp_path / "none.pt")
    assert not any((tmp_path / name).exists() for name in "abc")
    use_network(tiny_bundle, result.network, result.pair_discriminator)
    gan = train_gan(tmp_path / "gan", **settings, start=tmp_path / "start.pt", total_kimg=0.004)
    with pytest.raises(ConfigError, match="`encoder_kind` must be pyramid to train"):
        train_encoder(tmp_path / "encoder", **settings, gan_run=gan)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_code_in_a_checkpoint_is_refused_and_never_run(form: str, tmp_path: Path) -> None:
    source, payload = tmp_path / "evil.pt", Payload(tmp_path / "was_run")
    content = {"g_ema": foreign.rosinality_generator(CHANNELS), "args": payload}
    if form == "bare":
        source.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, source, _use_new_zipfile_serialization=form == "zip")

    with pytest.raises(CheckpointError, match=r"could run code|damaged"):
        convert("rosinality", [source], tmp_path / "out.pt", num_classes=2)

    assert not (tmp_path / "was_run").exists() and not (tmp_path / "out.pt").exists()


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused(files: tuple[Path, Path], at: int, share: float, tmp_path: Path) -> None:
    whole = files[at].read_bytes()
    files[at].write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(CheckpointError, match=r"damaged|could run code"):  # half a name of a class is an unknown one
        convert("semanticgan", files, tmp_path / "out.pt")

    assert not (tmp_path / "out.pt").exists()


def test_the_destination_is_written_whole_and_never_by_accident(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.pt"
    out.write_bytes(b"before")
    with pytest.raises(OutputError, match="--overwrite"):
        convert("semanticgan", files, out)
    with pytest.raises(OutputError, match="another file than the sources"):
        convert("semanticgan", files, files[0], overwrite=True)
    with pytest.raises(OutputError, match="already exists"):
        convert("semanticgan", files, tmp_path, overwrite=True)

    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OutputError, match="disk full"):
            convert("semanticgan", files, out, overwrite=True)
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder.pt", "gan.pt", "out.pt"]

    convert("semanticgan", files, out, overwrite=True)
    assert read_start(out).network["image_size"] == 32


def test_settings_are_checked(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`kind` must be one of semanticgan, rosinality, stylegan2-ada, got 'dcgan'"):
        convert("dcgan", files, tmp_path / "out.pt")
    with pytest.raises(ConfigError, match="at least one"):
        convert("semanticgan", [], tmp_path / "out.pt")
    with pytest.raises(CheckpointError, match="named twice"):
        convert("semanticgan", [files[0], files[0]], tmp_path / "out.pt")
    with pytest.raises(CheckpointError, match="there is none"):
        convert("semanticgan", [tmp_path / "none.pt"], tmp_path / "out.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="or of networks, got list"):
        convert("semanticgan", [tmp_path / "list.pt"], tmp_path / "out.pt")


def test_a_spoilt_converted_file_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    convert("semanticgan", files, tmp_path / "out.pt")
    content = torch.load(tmp_path / "out.pt", weights_only=True)

    for settings in ("{", "[]", None):
        torch.save({**content, "settings": settings}, tmp_path / "spoilt.pt")
        with pytest.raises(CheckpointError, match="is damaged"):
            read_start(tmp_path / "spoilt.pt")
