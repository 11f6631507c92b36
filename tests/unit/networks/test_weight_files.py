# SPDX-License-Identifier: Apache-2.0
"""What a weight file may hold, what an error names, and that nothing in it is run."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError
from monai_semigan.networks.checkpoint import file_digest, load_weight_file, load_weights, read_state_dict, to_half


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

    with pytest.raises(CheckpointError, match="damaged"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(1)], torch.zeros(1), {"a": 1}, {1: torch.zeros(1)}, {"a": {"b": torch.zeros(1)}}]
)
def test_anything_but_named_tensors_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    torch.save(content, path)

    with pytest.raises(CheckpointError, match="dictionary of named tensors"):
        read_state_dict(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(CheckpointError, match="there is none"):
            read_state_dict(path)


def test_a_weight_beyond_float16_is_named(make_segmenter):
    network = make_segmenter()
    with torch.no_grad():
        network.encoder.stem.bias[0] = 70000.0

    with pytest.raises(CheckpointError, match=r"must fit float16 \(65504\), but not so: encoder\.stem\.bias"):
        to_half(network)
