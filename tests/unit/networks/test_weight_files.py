# SPDX-License-Identifier: Apache-2.0
"""What a weight file may hold, what an error names, and that nothing in it is run."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError, InputError
from monai_semigan.networks.checkpoint import build_with_weights, load_fitting, load_weight_file, load_weights, to_half
from monai_semigan.networks.checkpoint_file import file_digest, read_checkpoint, read_state_dict


class Payload:
    """Creates a file when unpickled by a careless loader."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


def bare_pickle(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps({"weight": payload}, protocol=2))


def torch_archive(path: Path, payload: Payload) -> None:
    torch.save({"weight": torch.zeros(1), "more": payload}, path)


def legacy_torch_file(path: Path, payload: Payload) -> None:
    torch.save({"weight": payload}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [bare_pickle, torch_archive, legacy_torch_file])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, write):
    witness, path = tmp_path / "witness", tmp_path / "model.pt"
    write(path, Payload(witness))

    with pytest.raises(CheckpointError, match=r"model\.pt` must hold tensors only.*could run code"):
        read_state_dict(path)

    assert not witness.exists()
    if write is torch_archive:  # the payload is live: a careless loader runs it
        torch.load(path, weights_only=False)
        assert witness.exists()


def test_the_digest_is_that_of_the_standard_library(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(os.urandom(3_000_000))

    assert file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_half_precision_halves_the_file_and_rounds_little(tmp_path, make_segmenter):
    network = make_segmenter()
    state = to_half(network)
    torch.save(state, tmp_path / "half.pt")
    expected = network.state_dict()

    other = make_segmenter(seed=1)
    load_weight_file(other, tmp_path / "half.pt")

    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(value.is_contiguous() for value in state.values())
    for name, value in other.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=5e-4, atol=1e-7)


def test_weights_are_left_alone_when_one_key_does_not_fit(make_segmenter):
    network = make_segmenter()
    state = dict(make_segmenter(seed=1).state_dict())
    del state["encoder.stem.bias"]
    before = {name: value.clone() for name, value in network.state_dict().items()}

    with pytest.raises(CheckpointError, match=r"`w\.pt` must fit the network.*missing: encoder\.stem\.bias\. Check"):
        load_weights(network, state, source="w.pt")

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_many_wrong_keys_are_counted(make_segmenter):
    state = {f"foreign.{at}": torch.zeros(1) for at in range(9)}

    with pytest.raises(CheckpointError) as caught:
        load_weights(make_segmenter(), state)

    assert re.search(
        r"unknown: foreign\.0, foreign\.1, foreign\.2, foreign\.3, foreign\.4 and 4 more\.", str(caught.value)
    )
    assert re.search(r"missing: .* and \d+ more", str(caught.value))


def test_a_scalar_in_place_of_a_vector_is_named_with_both_shapes(make_segmenter):
    state = dict(make_segmenter().state_dict()) | {"encoder.stem.bias": torch.zeros(())}

    with pytest.raises(CheckpointError, match=r"of another shape: encoder\.stem\.bias \(\) instead of \(4,\)"):
        load_weights(make_segmenter(), state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(make_segmenter, value):
    state = {name: tensor.clone() for name, tensor in make_segmenter().state_dict().items()}
    state["generator.synthesis.const"][0, 0, 1, 2] = value

    with pytest.raises(CheckpointError, match=r"must hold finite numbers, but not so: generator\.synthesis\.const\."):
        load_weights(make_segmenter(), state)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, make_segmenter, share):
    path = tmp_path / "model.pt"
    torch.save(make_segmenter().state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(CheckpointError, match=r"model\.pt` must "):
        read_state_dict(path)


@pytest.mark.parametrize("content", [b"these are not weights\n", b"\x89PNG\r\n\x1a\n", b"\x00" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"model\.pt` must "):
        read_state_dict(path)


def test_an_archive_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")

    with pytest.raises(CheckpointError, match="no single list of tensors"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], torch.zeros(1), {"a": 1}, {1: torch.zeros(1)}, {"a": {"b": torch.zeros(1)}}]
)
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    torch.save(content, path)

    with pytest.raises(CheckpointError, match="dictionary of named tensors"):
        read_state_dict(path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, match in (("none.pt", "there is none"), (".", "is a folder"), ("pipe", "must be a regular file")):
        with pytest.raises(CheckpointError, match=match):
            read_state_dict(tmp_path / name)


def test_a_run_folder_suggests_its_weights(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "best.pt")

    with pytest.raises(CheckpointError, match=rf"Pass `{tmp_path}/best\.pt`"):
        read_state_dict(tmp_path)


def repacked(path: Path, change) -> None:
    """Write an archive's entries again, changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        change(archive, entries)


def compressed(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)


def twice(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content)
    archive.filelist.append(archive.filelist[-1])


def overlapping(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content)
    large = max(archive.filelist, key=lambda entry: entry.file_size)
    for at in range(50):
        entry = copy.copy(large)
        entry.filename = f"{large.filename}{at}"
        archive.filelist.append(entry)


def crowded(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content)
    for at in range(90_000):
        entry = zipfile.ZipInfo(f"model/data/{at:09d}")
        entry.CRC = entry.compress_size = entry.file_size = entry.header_offset = 0
        archive.filelist.append(entry)


def long_index(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content + b"\0" * (5 << 20) if name.endswith("data.pkl") else content)


def scripted(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, content in entries.items():
        archive.writestr(name, content)
    archive.writestr("model/constants.pkl", b"\x80\x02).")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "match"),
    [(compressed, "entries are compressed"), (twice, "entries overlap"), (overlapping, "entries overlap"),
     (crowded, "directory is too large"), (long_index, "list of tensors is too large"),
     (scripted, "no single list of tensors")],
)  # fmt: skip
def test_an_archive_built_to_exhaust_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, change, match):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1000)}, path)
    repacked(path, change)
    monkeypatch.setattr(torch, "load", None)

    with pytest.raises(CheckpointError, match=match):
        read_state_dict(path)


def test_a_byte_array_of_any_size_is_not_made(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x01\x85R.")

    with pytest.raises(CheckpointError, match=r"other Python objects \(builtins\.bytearray\)"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (torch.zeros(2, dtype=torch.int64), "is of int64"),
        (torch.zeros(2, dtype=torch.bool), "is of bool"),
        (torch.zeros(2, dtype=torch.complex64), "is of complex64"),
        (torch.zeros(2, 3).to_sparse(), "is sparse, quantized or nested"),
        (torch.zeros(2, 3, device="meta"), "is on the device meta"),
        (torch.zeros(1).expand(10**12), r"is larger than what is stored of it, \(1000000000000,\)"),
    ],
)
def test_only_plain_numbers_are_weights(tmp_path, tensor, match):
    torch.save({"ok": torch.zeros(1), "a\x1b[2J": tensor}, tmp_path / "model.pt")

    with pytest.raises(CheckpointError, match=r"`a\\x1b\[2J` " + match):
        read_state_dict(tmp_path / "model.pt")


def test_what_is_named_a_million_times_is_looked_at_once(tmp_path):
    shared: dict[str, object] = {"a": torch.zeros(1)}
    for _ in range(60):
        shared = {"a": shared, "b": shared}
    torch.save(shared, tmp_path / "model.pt")

    assert set(read_checkpoint(tmp_path / "model.pt")) == {"a", "b"}


def test_a_network_is_not_built_for_weights_that_do_not_fit_it():
    built = []

    def build() -> torch.nn.Module:
        network = torch.nn.Linear(20_000, 20_000)
        built.append(network.weight.device.type)
        return network

    with pytest.raises(CheckpointError, match="of another shape: weight"):
        build_with_weights(build, {"weight": torch.zeros(2, 3), "bias": torch.zeros(20_000)}, source="a.pt")
    assert built == ["meta"]
    with pytest.raises(CheckpointError, match="at most 500,000,000 numbers, but its settings ask for 900,030,000"):
        build_with_weights(lambda: torch.nn.Linear(30_000, 30_000), {}, source="a.pt")


def test_a_start_does_not_import_the_compiler():
    """It costs 1.5 s and 140 MB; any arithmetic on the meta device imports it."""
    code = (
        "import sys; from monai_semigan.bundle.bundle import load_network, open_bundle\n"
        "import torch; load_network(open_bundle('lung_cxr_segmentation'), device=torch.device('cpu'))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_a_fitting_network_has_the_weights():
    state = {"weight": torch.arange(6.0).reshape(2, 3).half(), "bias": torch.ones(2)}

    network = build_with_weights(lambda: torch.nn.Linear(3, 2), state, source="a.pt")

    assert torch.equal(network.weight, torch.arange(6.0).reshape(2, 3)) and network.weight.device.type == "cpu"


def test_a_weight_beyond_float16_is_named(make_segmenter):
    network = make_segmenter()
    with torch.no_grad():
        network.encoder.stem.bias[0] = 70000.0

    with pytest.raises(CheckpointError, match=r"must fit float16 \(65504\), but not so: encoder\.stem\.bias"):
        to_half(network)


def test_what_fits_is_loaded_and_named_and_the_rest_stays():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    before = copy.deepcopy(network.state_dict())
    state = {"0.weight": torch.ones(2, 3, dtype=torch.float16), "0.bias": torch.ones(3), "9.weight": torch.ones(1)}

    assert load_fitting(network, state, source="file") == {"0.weight"}

    assert network[0].weight.dtype == torch.float32 and bool((network[0].weight == 1).all())
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before if name != "0.weight")
    with pytest.raises(CheckpointError, match="`file` must have weights of the network, but none of them fits"):
        load_fitting(network, {"0.bias": torch.ones(3)}, source="file")
    with pytest.raises(CheckpointError, match=r"`file` must hold finite numbers, but not so: 1\.bias"):
        load_fitting(network, {"1.bias": torch.tensor([0.0, torch.nan])}, source="file")
    assert bool(network[1].bias.isfinite().all())


@pytest.mark.parametrize("name", ["missing.png", "folder"])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=rf"{name}` must be a"):
        file_digest(tmp_path / name)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image.png").write_bytes(b"image")

    def refused(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refused)
    monkeypatch.setattr("pathlib.Path.open", refused)
    with pytest.raises(InputError, match=r"image\.png` must be a file that can be read: Permission denied"):
        file_digest(tmp_path / "image.png")
