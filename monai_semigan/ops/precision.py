# SPDX-License-Identifier: Apache-2.0
"""Whether bfloat16 is fast on a device, and the dtype that a wish for it comes to.

Without hardware for it bfloat16 is emulated and slower than float32, so a wish for it then comes to float32, with the
reason in words. A CPU counts if it has AMX or AVX-512 instructions for it; ``auto`` takes it with AMX alone, where it
gains most.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import torch

from monai_semigan.errors import ConfigError

__all__ = ["ComputeDtype", "bfloat16_obstacle", "resolve_compute_dtype"]

ComputeDtype = Literal["float32", "bfloat16", "auto"]
"""``auto`` is bfloat16 where it is fast, else float32."""

CPU_FLAGS = ("amx_bf16", "avx512_bf16")
MIN_CUDA_CAPABILITY = 8
"""Ampere, the first CUDA devices whose matrix units take bfloat16."""


def bfloat16_obstacle(
    device: torch.device, *, flags: Sequence[str] = CPU_FLAGS, cpuinfo: Path = Path("/proc/cpuinfo")
) -> str | None:
    """Say what keeps bfloat16 from being fast on a device; None if nothing does.

    Args:
        device: Where to compute.
        flags: Any of them in ``cpuinfo`` makes a CPU fit.
        cpuinfo: Where Linux says what the processor can do; absent elsewhere, which counts as nothing.
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= MIN_CUDA_CAPABILITY:
            return None
        return f"the CUDA device has compute capability {major}.{minor}, not {MIN_CUDA_CAPABILITY}.0 or above"
    if device.type != "cpu":
        return f"bfloat16 was not tried on {device.type} devices"
    return None if _cpu_flags(cpuinfo) & set(flags) else f"the processor does not report {' or '.join(flags)}"


@cache
def _cpu_flags(cpuinfo: Path) -> frozenset[str]:
    """Read once: an inversion asks in every step, and the file is long where there are many cores."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    return frozenset(word for line in lines if line.startswith("flags") for word in line.split())


def resolve_compute_dtype(
    name: ComputeDtype, device: torch.device, *, cpuinfo: Path = Path("/proc/cpuinfo")
) -> tuple[torch.dtype, str | None]:
    """Turn a wish into a dtype, and the reason if bfloat16 was wished for by name and float32 comes of it.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in get_args(ComputeDtype):
        raise ConfigError(f"`compute_dtype` must be one of {', '.join(get_args(ComputeDtype))}, got {name!r}.")
    if name == "float32":
        return torch.float32, None
    flags = CPU_FLAGS[:1] if name == "auto" else CPU_FLAGS
    obstacle = bfloat16_obstacle(device, flags=flags, cpuinfo=cpuinfo)
    if obstacle is None:
        return torch.bfloat16, None
    return torch.float32, obstacle if name == "bfloat16" else None
