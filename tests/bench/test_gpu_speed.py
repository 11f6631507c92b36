# SPDX-License-Identifier: Apache-2.0
"""The GPU's speeds are measured by a program that runs anywhere: here with tiny numbers on a CPU."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import gpu_speed

TINY = [
    "--device", "cpu", "--size", "32", "--channels", "4", "4", "4", "4", "--slices", "3", "--steps", "2",
    "--batch", "2", "--training-batch", "4", "--iterations", "2",
]  # fmt: skip


def test_both_tasks_are_measured_and_missing_backends_named(tmp_path, capsys) -> None:
    gpu_speed.main([*TINY, "--json", str(tmp_path / "speed.json")])

    *lines, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result == json.loads((tmp_path / "speed.json").read_text())
    assert result["device"] == "cpu" and result["plan"]["slices"] == 3
    assert result["backends"]["torch"].keys() == {"inversion_seconds", "training_images_per_second"}
    assert all(value > 0 for value in result["backends"]["torch"].values())
    assert "interpreter is off" in result["backends"]["triton"]["obstacle"] or "not installed" in last
    assert lines[1].startswith("torch: 3 slices, 2 steps in ") and lines[2].startswith("triton: not measured, ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so() -> None:
    with pytest.raises(SystemExit, match="there is no CUDA device"):
        gpu_speed.main([])
