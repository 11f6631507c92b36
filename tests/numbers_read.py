# SPDX-License-Identifier: Apache-2.0
"""Counts tensors that become numbers: on a GPU, each of them waits until everything before it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["NumbersRead"]

READING = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


class NumbersRead(TorchDispatchMode):
    """A ``with`` block whose ``count`` says how often the host waited for a device, were there one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in READING
        return func(*args, **(kwargs or {}))
