# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a training run: complete, written whole or not at all, safe to load.

A snapshot is a file ``snapshot-<kimg>.pt`` of tensors, numbers and strings, loaded with ``weights_only=True``. It is
written under a temporary name and renamed, so that a kill at any moment leaves the previous one intact.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from monai_semigan.atomic import replacing
from monai_semigan.errors import CheckpointError, OutputError
from monai_semigan.networks.checkpoint_file import read_checkpoint
from monai_semigan.types import PathLike

__all__ = ["latest_snapshot", "load_snapshot", "random_state", "restore_random_state", "save_snapshot", "write_tensors"]

NAME = re.compile(r"snapshot-(\d{8})\.pt")
FORMAT = "semigan-snapshot-1"
MAX_IMAGES = 10**8
"""The file's name has eight digits."""

EARLIER = "Delete it to resume from the one before."


def write_tensors(path: PathLike, content: dict[str, Any]) -> None:
    """Write a whole file with `torch.save`, or nothing.

    Raises:
        OutputError: The file cannot be written; nothing of it is left.
    """
    path = Path(path)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:  # how torch reports a full disk
            raise OutputError(
                f"`{path}` could not be written: {error}. Free some space or choose another folder."
            ) from error
        stream.flush()
        os.fsync(stream.fileno())


def save_snapshot(folder: PathLike, images_seen: int, state: dict[str, Any], *, keep: int = 2) -> Path:
    """Write the state after ``images_seen`` images; delete all but the newest ``keep`` snapshots.

    Args:
        folder: The run folder.
        images_seen: Names the file.
        state: Nested dictionaries of tensors, numbers and strings.
        keep: Snapshots to keep, >= 1.
    """
    folder = Path(folder)
    path = folder / f"snapshot-{images_seen:08d}.pt"
    write_tensors(path, {"format": FORMAT, "images_seen": images_seen, **state})
    for old in sorted(file for file in folder.iterdir() if NAME.fullmatch(file.name))[: -max(keep, 1)]:
        old.unlink()
    return path


def latest_snapshot(folder: PathLike) -> Path | None:
    """Return the newest snapshot of a run folder, or None."""
    files = sorted(file for file in Path(folder).glob("snapshot-*.pt") if NAME.fullmatch(file.name))
    return files[-1] if files else None


def load_snapshot(path: PathLike, *, remedy: str | None = None) -> dict[str, Any]:
    """Load a snapshot onto the CPU.

    Args:
        path: The file.
        remedy: What to do about a file that cannot be used, for the error; None where a run is resumed.

    Raises:
        CheckpointError: The file is missing, damaged, or not a snapshot of this format.
    """
    state = read_checkpoint(path, remedy=remedy or EARLIER)
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"`{path}` must have the format {FORMAT!r}. {remedy or 'Start the run anew in another folder.'}"
        )
    images = state.get("images_seen")
    if type(images) is not int or not 0 <= images < MAX_IMAGES:
        raise CheckpointError(f"`{path}` must say how many images were seen. {remedy or EARLIER}")
    return state


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the global random state of the CPU and of ``device``."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore what `random_state` returned.

    Raises:
        CheckpointError: It is no such state.
    """
    try:
        torch.set_rng_state(state["cpu"])
        if device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError("The snapshot must hold the state of the random numbers, but does not.") from error
