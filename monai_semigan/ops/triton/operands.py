# SPDX-License-Identifier: Apache-2.0
"""What the kernel takes: floating tensors of one device, slopes and gains whose sign the activation keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.errors import BackendError, ConfigError
from monai_semigan.ops.triton.availability import obstacle

__all__ = ["DTYPES", "accumulator", "check_activation", "check_operands"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_operands(x: Tensor, **others: Tensor | None) -> None:
    """Check that ``x`` and the others are of a dtype that the kernel takes and lie on one device, where it runs.

    Raises:
        BackendError: They are not, or do not.
    """
    for name, tensor in {"x": x, **others}.items():
        if tensor is None:
            continue
        if tensor.dtype not in DTYPES:
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            raise BackendError(f"`{name}` must be one of {names} for the triton backend, got {tensor.dtype}.")
        if tensor.device != x.device:
            raise BackendError(
                f"`{name}` must be on the device of `x`, {x.device}, got {tensor.device}. Move it there."
            )
    reason = obstacle(x.device)
    if reason is not None:
        raise BackendError(f"The triton backend cannot run on {x.device}: {reason}. Use backend='torch'.")


def check_activation(slope: float, gain: float) -> None:
    """Check that the sign of the activation's result tells the sign of its argument, which the gradient needs.

    Raises:
        ConfigError: It does not.
    """
    if slope < 0 or gain <= 0:
        raise ConfigError(
            f"`slope` must be >= 0 and `gain` > 0 for the triton backend, got slope={slope} and gain={gain}. "
            "Use backend='torch'."
        )


def accumulator(x: Tensor) -> torch.dtype:
    """The dtype of the sums: float32, and float64 for float64."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
