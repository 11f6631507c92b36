# SPDX-License-Identifier: Apache-2.0
"""Names of devices, and how many threads compute."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from monai_semigan.errors import ConfigError

__all__ = ["choose_device", "one_thread"]


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device.

    Raises:
        ConfigError: The name is unknown, or CUDA was asked for and is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"`device` must be auto, cpu or cuda, got {name!r}.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"`device` must be available, but {name} is not. Use --device cpu.")
    return device


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: how many share an operation changes its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
