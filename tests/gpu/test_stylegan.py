# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's kernels from a real checkout against our definitions, on a CUDA device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from monai_semigan.ops.backend import use_backend
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.modulated_conv2d import styled_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d

CHECKOUT = os.environ.get("SEMIGAN_STYLEGAN_OPS")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(not CHECKOUT, reason="SEMIGAN_STYLEGAN_OPS names no checkout"),
]

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 3e-2}


@pytest.fixture(autouse=True)
def checkout():
    with use_backend("auto", checkout=Path(CHECKOUT or "")):
        yield


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_ops_and_their_first_two_derivatives_equal_the_definition(dtype, layout):
    results = {}
    for backend in ("reference", "stylegan"):
        rng = torch.Generator().manual_seed(0)
        shapes = ((2, 4, 9, 10), (6, 4, 3, 3), (2, 4), (2, 1, 18, 20), (6,))
        drawn = [torch.randn(shape, generator=rng).to("cuda", dtype) for shape in shapes]
        x = drawn[0].contiguous(memory_format=layout).requires_grad_()
        weight, style, noise, bias = (value.requires_grad_() for value in drawn[1:])
        taps = normalized_taps().cuda()

        y = styled_conv2d(x, weight, style, noise=noise, bias=bias, up_taps=taps, backend=backend)
        y = upfirdn2d(y, taps, down=2, padding=(1, 1), backend=backend)
        y = bias_act(y, bias, backend=backend)
        (first,) = torch.autograd.grad(y.float().square().mean(), x, create_graph=True)
        second = torch.autograd.grad(first.float().square().sum(), [x, weight, style])
        results[backend] = [y.detach(), first.detach(), *second]

    assert results["stylegan"][0].dtype == dtype
    tolerance = TOLERANCE[dtype]
    for actual, expected in zip(results["stylegan"], results["reference"], strict=True):
        scale = expected.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(actual / scale, expected / scale, rtol=tolerance, atol=tolerance)
