# SPDX-License-Identifier: Apache-2.0
"""Snapshots: whole or not at all, the newest found, damage named, no code run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError, OutputError
from monai_semigan.training import snapshot
from monai_semigan.training.snapshot import (
    latest_snapshot,
    load_snapshot,
    random_state,
    restore_random_state,
    save_snapshot,
    write_tensors,
)

STATE = {"step": {"weights": {"a": torch.arange(3.0)}, "iteration": 7, "augment": 0.25}}


def test_a_snapshot_comes_back_as_it_was(tmp_path):
    path = save_snapshot(tmp_path, 1234, STATE)

    state = load_snapshot(path)

    assert path.name == "snapshot-00001234.pt"
    assert state["images_seen"] == 1234 and state["step"]["iteration"] == 7 and state["step"]["augment"] == 0.25
    assert torch.equal(state["step"]["weights"]["a"], torch.arange(3.0))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_newest_are_kept(tmp_path, keep):
    for images in (10, 9000, 500, 20_000):
        save_snapshot(tmp_path, images, {}, keep=keep)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["snapshot-00000500.pt", "snapshot-00009000.pt", "snapshot-00020000.pt"][-keep:]
    assert latest_snapshot(tmp_path).name == "snapshot-00020000.pt"


def test_other_files_are_neither_found_nor_deleted(tmp_path):
    for name in (
        "snapshot-1.pt",
        "snapshot-00000001.pt.bak",
        ".snapshot-00000009.pt.77.tmp",
        "best.pt",
        "snapshot-best.pt",
    ):
        (tmp_path / name).write_bytes(b"")
    assert latest_snapshot(tmp_path) is None

    save_snapshot(tmp_path, 5, {}, keep=1)

    assert latest_snapshot(tmp_path).name == "snapshot-00000005.pt"
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = tmp_path / "best.pt"
    write_tensors(path, {"a": torch.ones(2)})
    before = path.read_bytes()

    def half(_content, stream):
        stream.write(b"half of a file")
        raise error

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(
        OutputError, match=r"best\.pt` could not be written: .*Free some space or choose another folder"
    ):
        write_tensors(path, {"a": torch.zeros(2)})

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["best.pt"]


def test_the_file_is_complete_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def spied_replace(self, target):
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(snapshot.os, "fsync", lambda fd: (events.append("fsync"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", spied_replace)

    save_snapshot(tmp_path, 1, STATE)

    assert events == ["fsync", "rename"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"none/snapshot-00000001\.pt` could not be written"):
        write_tensors(tmp_path / "none" / "snapshot-00000001.pt", {})


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_snapshot_is_refused_by_name(tmp_path, share):
    path = save_snapshot(tmp_path, 1, STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(CheckpointError, match=r"snapshot-00000001\.pt`.*Delete it to resume from the one before"):
        load_snapshot(path)


def test_a_snapshot_with_code_is_refused_and_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'witness'}",)

    path = tmp_path / "snapshot-00000001.pt"
    torch.save({"format": snapshot.FORMAT, "images_seen": 1, "step": Payload()}, path)

    with pytest.raises(CheckpointError, match="could run code"):
        load_snapshot(path)

    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize("content", [{"format": "semigan-snapshot-0"}, {}, {"format": [1]}])
def test_another_format_is_refused(tmp_path, content):
    path = tmp_path / "snapshot-00000001.pt"
    torch.save(content, path)

    with pytest.raises(CheckpointError, match="must have the format 'semigan-snapshot-1'"):
        load_snapshot(path)


@pytest.mark.parametrize("images", [None, -1, 1.5, "1", [1], 10**12, torch.ones(1)])
def test_a_snapshot_says_how_many_images_were_seen(tmp_path, images):
    path = tmp_path / "snapshot-00000001.pt"
    torch.save({"format": snapshot.FORMAT, "images_seen": images}, path)

    with pytest.raises(CheckpointError, match="must say how many images"):
        load_snapshot(path)


@pytest.mark.parametrize("state", [{}, None, {"cpu": 3}, {"cpu": torch.zeros(3)}, {"cpu": torch.zeros(3).byte()}])
def test_what_is_no_random_state_is_refused(state):
    with pytest.raises(CheckpointError, match="must hold the state of the random numbers"):
        restore_random_state(state, torch.device("cpu"))


def test_the_random_state_can_be_taken_up_again():
    device = torch.device("cpu")
    state = random_state(device)
    first = torch.randn(5)
    torch.randn(100)
    restore_random_state(state, device)

    assert torch.equal(first, torch.randn(5))
