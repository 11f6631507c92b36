# SPDX-License-Identifier: Apache-2.0
"""Let gradients pass through networks without computing those of their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["frozen"]


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Turn the gradients of all parameters off inside the block, and back to what they were behind it."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad in zip(parameters, before, strict=True):
            parameter.requires_grad_(requires_grad)
