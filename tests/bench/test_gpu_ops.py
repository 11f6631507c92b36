# SPDX-License-Identifier: Apache-2.0
"""The operands of the kernels' benchmark, on a CPU: what PyTorch runs for each is the op that it stands for."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from benchmarks import gpu_ops


def test_every_case_makes_the_maps_of_the_last_block() -> None:
    results = {
        name: theirs()
        for name, (_, theirs, _) in gpu_ops.cases(torch.device("cpu"), size=8, channels=4, batch=2).items()
    }

    assert {name: tuple(y.shape) for name, y in results.items()} == {
        "epilogue with blur": (2, 4, 8, 8),
        "epilogue": (2, 4, 8, 8),
        "bias_act": (2, 4, 8, 8),
        "upfirdn2d blur": (2, 4, 8, 8),
        "upfirdn2d up 2": (2, 4, 8, 8),
        "upfirdn2d down 2": (2, 4, 4, 4),
    }
    assert all(
        y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last) for y in results.values()
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_ops"])

    with pytest.raises(SystemExit, match="were not measured: there is no CUDA device"):
        gpu_ops.main()
