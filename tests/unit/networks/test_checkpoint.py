"""Weight files: strict, safe, half the size."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from monai_semigan.errors import CheckpointError
from monai_semigan.networks.checkpoint import file_digest, load_weight_file, load_weights, read_state_dict, to_half


def test_half_precision_round_trip(tmp_path, tiny_network):
    path = tmp_path / "w.pt"
    torch.save(to_half(tiny_network), path)
    before = {key: value.clone() for key, value in tiny_network.state_dict().items()}

    load_weight_file(tiny_network, path)

    for key, value in tiny_network.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, before[key], rtol=1e-3, atol=1e-6)
    assert len(file_digest(path)) == 64


def test_every_mismatch_is_named(tiny_network):
    state = tiny_network.state_dict()
    state["extra"] = torch.zeros(1)
    del state["encoder.stem.bias"]
    state["generator.synthesis.const"] = torch.zeros(1, 4, 4, 4)

    with pytest.raises(CheckpointError) as caught:
        load_weights(tiny_network, state)

    for word in ("missing: encoder.stem.bias", "unknown: extra", r"const (1, 4, 4, 4) instead of (1, 8, 4, 4)"):
        assert word in str(caught.value)


def test_code_in_a_pickle_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    path = tmp_path / "evil.pt"
    torch.save({"weight": Payload()}, path)
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(Payload()))

    for file in (path, bare):
        with pytest.raises(CheckpointError, match=r"run code|damaged"):
            read_state_dict(file)
    assert not (tmp_path / "was_run").exists()


def test_damaged_and_foreign_files_are_refused(tmp_path, tiny_network):
    path = tmp_path / "w.pt"
    torch.save(tiny_network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_state_dict(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match="named tensors"):
        read_state_dict(path)
    with pytest.raises(CheckpointError, match="there is none"):
        read_state_dict(tmp_path / "missing.pt")


def test_weights_that_are_not_finite_are_refused(tiny_network):
    state = tiny_network.state_dict()
    state["encoder.stem.bias"] = state["encoder.stem.bias"] * float("nan")

    with pytest.raises(CheckpointError, match=r"finite.*encoder\.stem\.bias"):
        load_weights(tiny_network, state)
    with torch.no_grad():
        tiny_network.encoder.stem.bias.fill_(1e6)
    with pytest.raises(CheckpointError, match="float16"):
        to_half(tiny_network)
