# SPDX-License-Identifier: Apache-2.0
"""The GPU's benchmark does its work, here on a CPU and small."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu_speed


def test_inversion_and_training_are_measured(tiny_settings) -> None:
    sizes = {key: value for key, value in tiny_settings.items() if key not in {"image_size", "num_classes"}}

    result = gpu_speed.measure(torch.device("cpu"), size=32, slices=3, steps=2, iterations=2, batch=2, **sizes)

    assert list(result["backends"]) == ["torch"]
    assert all(value > 0 for value in result["backends"]["torch"].values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_speed"])

    with pytest.raises(SystemExit, match="there is no CUDA device"):
        gpu_speed.main()
