# SPDX-License-Identifier: Apache-2.0
"""Triton's kernels as a backend: what they can compute, and that `auto` takes them on CUDA devices."""

from __future__ import annotations

import torch

from monai_semigan.ops.backend import register_backend
from monai_semigan.ops.backends.triton import availability
from monai_semigan.ops.backends.triton.bias_act import bias_act
from monai_semigan.ops.backends.triton.styled_epilogue import styled_epilogue
from monai_semigan.ops.backends.triton.upfirdn2d import upfirdn2d

__all__ = ["obstacle"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    """Say what keeps the kernels from running on a device in a dtype; None if nothing does."""
    if dtype not in DTYPES:
        return "its kernels are for float16, bfloat16, float32 and float64"
    return availability.obstacle(device)


register_backend(
    "triton",
    obstacle=obstacle,
    kernels={"bias_act": bias_act, "styled_epilogue": styled_epilogue, "upfirdn2d": upfirdn2d},
    auto_devices=("cuda",),
)
