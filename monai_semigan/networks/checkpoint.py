# SPDX-License-Identifier: Apache-2.0
"""Weight files: plain state dictionaries that load without running code, and their digests."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_semigan.errors import CheckpointError
from monai_semigan.types import PathLike

__all__ = ["file_digest", "load_weight_file", "load_weights", "read_checkpoint", "read_state_dict", "to_half"]

NAMED_KEYS = 5
"""Keys named per kind of mismatch; the rest is counted."""


def file_digest(path: PathLike) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_state_dict(path: PathLike) -> dict[str, Tensor]:
    """Read a file of named tensors without executing anything in it.

    Raises:
        CheckpointError: The file is missing, damaged, carries code, or holds something else than named tensors.
    """
    state = _load(path)
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"`{path}` must be a dictionary of named tensors. Save `network.state_dict()`.")
    return state


def read_checkpoint(path: PathLike) -> dict[str, Any]:
    """Read a training checkpoint of another code base without executing anything in it.

    Beside tensors, numbers and texts it may hold an ``argparse.Namespace``, a bare collection of such values.

    Returns:
        The dictionary that was saved; its tensors may be mapped from the file.

    Raises:
        CheckpointError: The file is missing, damaged, carries code, or holds no dictionary.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = _load(path, mmap=zipfile.is_zipfile(path))  # optimizers, often half of a file, stay on the disk
    if not isinstance(content, dict):
        raise CheckpointError(f"`{path}` must hold a dictionary of networks, got {type(content).__name__}.")
    return content


def load_weights(network: nn.Module, state: dict[str, Tensor], *, source: PathLike = "the state dict") -> None:
    """Load named tensors strictly; half-precision files are widened to the network's dtype.

    Raises:
        CheckpointError: A key is missing or unknown, or a shape differs; the message names them.
    """
    wanted = network.state_dict()
    problems = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ],
    }
    found = "; ".join(f"{kind}: {_shorten(keys)}" for kind, keys in problems.items() if keys)
    if found:
        raise CheckpointError(f"`{source}` must fit the network, but keys are {found}. Check the bundle's settings.")
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(f"`{source}` must hold finite numbers, but not so: {_shorten(broken)}.")
    network.load_state_dict(state)


def load_weight_file(network: nn.Module, path: PathLike) -> None:
    """Read a weight file and load it strictly, for the bundles' configs.

    Raises:
        CheckpointError: As `read_state_dict` and `load_weights`.
    """
    load_weights(network, read_state_dict(path), source=path)


def to_half(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict in float16, contiguous and on the CPU: half the file, rounding below 0.05 %.

    Raises:
        CheckpointError: A value exceeds the range of float16.
    """
    state = {key: value.detach().cpu().to(torch.float16).contiguous() for key, value in network.state_dict().items()}
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(f"The weights must fit float16 (65504), but not so: {_shorten(broken)}.")
    return state


def _load(path: PathLike, *, mmap: bool = False) -> Any:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"`{path}` must be a weight file, but there is none.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which are refused below
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"`{path}` must hold tensors only, but it carries other Python objects{f' ({name[1]})' if name else ''}, "
            "which could run code. Export a plain state dict: torch.save(network.state_dict(), path)."
        ) from error
    except Exception as error:  # zip, runtime, end of file, OS: torch.load has no common base
        raise CheckpointError(
            f"`{path}` must be a weight file, but it is damaged ({type(error).__name__}). Copy it again."
        ) from error


def _shorten(keys: list[str]) -> str:
    rest = len(keys) - NAMED_KEYS
    return ", ".join(keys[:NAMED_KEYS]) + (f" and {rest} more" if rest > 0 else "")
