# SPDX-License-Identifier: Apache-2.0
"""Whether Triton's kernels run on a device, tried once, and why not."""

from __future__ import annotations

from functools import cache

import torch

from monai_semigan.ops.backends import reference
from monai_semigan.ops.backends.triton import styled_epilogue as kernels

__all__ = ["MIN_CAPABILITY", "obstacle"]

MAX_DIFFERENCE = 1e-4
"""Between a first kernel and the definition, for numbers around 1 in float32."""

MIN_CAPABILITY = 8
"""Ampere, the oldest CUDA devices that the kernels are compiled for in the tests."""


def obstacle(device: torch.device) -> str | None:
    """Say what keeps Triton from running on a device; None if nothing does.

    The first call for a device imports Triton and launches a small kernel, which is compiled if it was never before.
    The answer is remembered: what fails is not tried again in this process.
    """
    if device == torch.device("cuda") and torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    return _obstacle(device)


@cache
def _obstacle(device: torch.device) -> str | None:
    try:
        import triton  # noqa: F401, PLC0415  (optional)
    except ImportError as error:
        return f"Triton is not installed ({error})"
    reason = _device_obstacle(device)
    if reason is not None:
        return reason
    try:
        _try(device)
    except torch.OutOfMemoryError:
        raise  # says nothing about Triton; an exception is not remembered
    except Exception as error:  # compilers and drivers fail in many ways
        lines = str(error).strip().splitlines() or [""]
        return f"a first kernel failed with {type(error).__name__}: {lines[-1]}"
    return None


def _device_obstacle(device: torch.device) -> str | None:
    if device.type == "cpu":
        return None if _is_interpreted() else "it is a CPU, and Triton's interpreter is off"
    if device.type != "cuda" or torch.version.hip:
        return "the kernels were made for NVIDIA devices alone"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    major, minor = torch.cuda.get_device_capability(device)
    if major < MIN_CAPABILITY:
        return f"the device has compute capability {major}.{minor}, not {MIN_CAPABILITY}.0 or above"
    return None


def _is_interpreted() -> bool:
    from triton.runtime.interpreter import InterpretedFunction  # noqa: PLC0415  (imports triton)

    from monai_semigan.ops.backends.triton.kernels import resample_and_finish  # noqa: PLC0415  (imports triton)

    return isinstance(resample_and_finish, InterpretedFunction)


def _try(device: torch.device) -> None:
    """Run everything that the kernel does once, on a few pixels, and compare it with the definition."""
    x = torch.linspace(-1, 1, 54, device=device).reshape(1, 2, 3, 9)
    demodulation, bias = torch.tensor([[0.5, 2.0]], device=device), torch.tensor([0.1, -0.2], device=device)
    noise, taps = x[:, :1, :2, :8].flip(3), torch.tensor([1.0, 3.0, 3.0, 1.0], device=device) / 8
    operands = demodulation, noise, bias, taps, 0.2, 2.0
    actual, expected = kernels.styled_epilogue(x, *operands), reference.styled_epilogue(x, *operands)
    difference = float((actual - expected).abs().max())
    if not difference < MAX_DIFFERENCE:
        raise RuntimeError(f"the result differs from the definition's by {difference:.2g}")
