# SPDX-License-Identifier: Apache-2.0
"""A backend of one's own, added from outside the package: everything it takes is in this file."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import BackendError, ConfigError
from monai_semigan.ops import backend as registry
from monai_semigan.ops.backend import describe_backends, register_backend, resolve_backend, use_backend
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.modulated_conv2d import modulated_conv2d, styled_conv2d
from monai_semigan.ops.styled_epilogue import styled_epilogue
from monai_semigan.ops.upfirdn2d import upfirdn2d

CPU = torch.device("cpu")
called: list[str] = []


def by_matrices(x: torch.Tensor, taps: torch.Tensor, up: int, down: int, padding: tuple[int, int], gain: float):
    """Resample by one dense matrix per axis."""
    called.append("upfirdn2d")

    def matrix(length: int) -> torch.Tensor:
        size = (length * up + sum(padding) - len(taps)) // down + 1
        found = x.new_zeros(size, length)
        for o in range(size):
            for i in range(length):
                tap = o * down + len(taps) - 1 - padding[0] - i * up
                if 0 <= tap < len(taps):
                    found[o, i] = taps[tap]
        return found

    return matrix(x.shape[2]) @ x @ matrix(x.shape[3]).mT * gain


def by_maximum(x: torch.Tensor, bias: torch.Tensor | None, slope: float, gain: float) -> torch.Tensor:
    called.append("bias_act")
    shifted = x if bias is None else x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    return gain * (shifted.clamp(min=0) + slope * shifted.clamp(max=0))


@pytest.fixture(autouse=True)
def mine(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    called.clear()
    register_backend(
        "mine",
        kernels={"upfirdn2d": by_matrices, "bias_act": by_maximum},
        obstacle=lambda device, dtype: None if dtype.itemsize >= 4 else "it is for 32 bits and more",
        auto_devices=("meta",),
        describe=lambda: " (by matrices)",
    )


def test_every_op_runs_through_it():
    rng = torch.Generator().manual_seed(1)
    x, weight, style = (torch.randn(size, generator=rng) for size in ((2, 3, 4, 5), (6, 3, 3, 3), (2, 3)))
    noise, bias, taps = torch.randn(2, 1, 8, 10, generator=rng), torch.randn(6, generator=rng), normalized_taps((1, 2))
    calls = {
        "activated": (lambda **b: bias_act(x, bias[:3], **b), ["bias_act"]),
        "resampled": (lambda **b: upfirdn2d(x, taps, up=3, down=2, padding=(2, -1), gain=1.5, **b), ["upfirdn2d"]),
        "finished": (lambda **b: styled_epilogue(x, demodulation=style, bias=bias[:3], **b), ["bias_act"]),
        "modulated": (lambda **b: modulated_conv2d(x, weight, style, **b), []),
        "styled": (
            lambda **b: styled_conv2d(x, weight, style, noise=noise, bias=bias, up_taps=taps, **b),
            ["upfirdn2d", "bias_act"],
        ),
    }

    for run, expected in calls.values():
        called.clear()
        y = run(backend="mine")
        assert called == expected
        torch.testing.assert_close(y, run(backend="reference"), rtol=1e-4, atol=1e-5)


def test_a_generator_runs_through_it(make_generator):
    generator, z = make_generator().eval(), torch.randn(2, 6, generator=torch.Generator().manual_seed(2))

    expected = generator(z)
    assert called == []
    with use_backend("mine"):
        actual = generator(z)

    assert {"upfirdn2d", "bias_act"} == set(called)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_it_is_described_and_refused_like_the_shipped_ones():
    assert describe_backends([CPU])["mine"] == "cpu: runs (by matrices)"
    with pytest.raises(BackendError, match="'mine' cannot run `bias_act` on cpu in float16: it is for 32 bits and"):
        bias_act(torch.zeros(1, 2).half(), None, backend="mine")
    with pytest.raises(BackendError, match="one of auto, reference, torch, triton, stylegan, mine, got 'yours'"):
        resolve_backend("bias_act", torch.zeros(1), "yours")


def test_auto_takes_it_on_the_devices_that_it_names():
    assert resolve_backend("bias_act", torch.zeros(1, device="meta")) == "mine"
    assert resolve_backend("bias_act", torch.zeros(1)) == "torch"


@pytest.mark.parametrize(("name", "kernels"), [("auto", {"upfirdn2d", "bias_act"}), ("half", {"bias_act"})])
def test_what_could_never_run_is_not_registered(name, kernels):
    with pytest.raises(ConfigError, match="another name than auto and kernels for upfirdn2d and bias_act, got"):
        register_backend(name, kernels=dict.fromkeys(kernels, by_maximum))
