# SPDX-License-Identifier: Apache-2.0
"""What a training starts from: a file that the user gave by mistake is refused, and never said to be deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.workflows.train_start import load_gan


def test_a_folder_without_snapshots_is_refused(tiny_network: SemiGanSegmenter, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="semigan train gan"):
        load_gan(tiny_network, tmp_path)


@pytest.mark.parametrize("kind", ["weights", "no archive", "a snapshot of an encoder"])
def test_another_file_is_refused_and_kept(tiny_network: SemiGanSegmenter, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given.pt"
    if kind == "weights":
        torch.save(tiny_network.state_dict(), path)
    elif kind == "no archive":
        path.write_bytes(b"something else")
    else:
        torch.save({"format": "semigan-snapshot-1", "images_seen": 8, "step": {"networks": {}}}, path)

    with pytest.raises(CheckpointError, match="Give the folder of a GAN's run") as caught:
        load_gan(tiny_network, path)

    assert "elete" not in str(caught.value)
