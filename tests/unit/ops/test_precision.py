# SPDX-License-Identifier: Apache-2.0
"""Which dtype a wish for bfloat16 comes to, by what the processor reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.ops.precision import bfloat16_obstacle, resolve_compute_dtype

CPU = torch.device("cpu")


@pytest.fixture
def cpuinfo(tmp_path: Path):
    def write(flags: str) -> Path:
        path = tmp_path / "cpuinfo"
        path.write_text(f"processor\t: 0\nmodel name\t: with amx_bf16 in its name\nflags\t\t: fpu {flags} avx2\n")
        return path

    return write


@pytest.mark.parametrize(
    ("flags", "name", "dtype"),
    [
        ("amx_bf16 avx512_bf16", "auto", torch.bfloat16),
        ("amx_bf16 avx512_bf16", "bfloat16", torch.bfloat16),
        ("amx_bf16 avx512_bf16", "float32", torch.float32),
        ("avx512_bf16", "auto", torch.float32),
        ("avx512_bf16", "bfloat16", torch.bfloat16),
        ("", "auto", torch.float32),
    ],
)
def test_a_wish_that_can_be_met_needs_no_reason(cpuinfo, flags, name, dtype) -> None:
    assert resolve_compute_dtype(name, CPU, cpuinfo=cpuinfo(flags)) == (dtype, None)


def test_a_wish_that_cannot_be_met_comes_with_the_reason(cpuinfo, tmp_path: Path) -> None:
    reason = "the processor does not report amx_bf16 or avx512_bf16"

    assert resolve_compute_dtype("bfloat16", CPU, cpuinfo=cpuinfo("avx512f")) == (torch.float32, reason)
    assert resolve_compute_dtype("bfloat16", CPU, cpuinfo=tmp_path / "none") == (torch.float32, reason)


@pytest.mark.parametrize(("capability", "reason"), [((8, 0), None), ((7, 5), "has compute capability 7.5, not 8.0")])
def test_cuda_devices_count_from_ampere_on(monkeypatch: pytest.MonkeyPatch, capability, reason) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    found = bfloat16_obstacle(torch.device("cuda"))

    assert found is None if reason is None else reason in found


def test_other_devices_are_not_trusted() -> None:
    assert bfloat16_obstacle(torch.device("mps")) == "bfloat16 was not tried on mps devices"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="`compute_dtype` must be one of float32, bfloat16, auto, got 'half'"):
        resolve_compute_dtype("half", CPU)  # type: ignore[arg-type]
