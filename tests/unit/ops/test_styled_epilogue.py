# SPDX-License-Identifier: Apache-2.0
"""What follows a convolution: hand numbers, the definition, derivatives, layouts, errors."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import BackendError, ConfigError, ShapeError
from monai_semigan.ops.backends.composed import epilogue_padding
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.styled_epilogue import styled_epilogue

BACKENDS = ("reference", "torch")
TAPS = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
"""Asymmetric: a flip shows."""


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def operands(up: bool) -> dict[str, torch.Tensor]:
    size = (4, 2) if up else (5, 3)
    return {"demodulation": draw(2, 3, seed=1), "noise": draw(2, 1, *size, seed=2), "bias": draw(3, seed=3)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_hand_numbers(backend):
    x = torch.tensor([[[[2.0]], [[-3.0]]]])

    y = styled_epilogue(
        x,
        demodulation=torch.tensor([[0.5, 2.0]]),
        noise=torch.tensor([[[[0.25]]]]),
        bias=torch.tensor([1.0, -1.0]),
        slope=0.5,
        gain=4.0,
        backend=backend,
    )

    torch.testing.assert_close(y, torch.tensor([[[[9.0]], [[-13.5]]]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_filter_keeps_the_mean_of_an_upsampled_constant(backend):
    x = torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 6, 7), torch.full((1, 1, 3, 3), 1 / 9), stride=2)

    y = styled_epilogue(x, up_taps=normalized_taps(), slope=1.0, gain=1.0, backend=backend)

    assert y.shape == (1, 1, 12, 14)
    torch.testing.assert_close(y[:, :, 3:-3, 3:-3].mean(), torch.tensor(1.0), rtol=1e-2, atol=0)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("given", list(itertools.product([False, True], repeat=3)))
def test_torch_equals_the_definition(up, given):
    x = draw(2, 3, 5, 3)
    chosen = dict(itertools.compress(operands(up).items(), given))

    actual, expected = (
        styled_epilogue(x, **chosen, up_taps=TAPS if up else None, gain=1.5, backend=backend)
        for backend in ("torch", "reference")
    )

    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("up", [False, True])
def test_it_can_be_differentiated_twice(backend, up):
    inputs = [t.requires_grad_() for t in (draw(2, 3, 5, 3), *operands(up).values())]

    def run(x, demodulation, noise, bias):
        y = styled_epilogue(
            x, demodulation=demodulation, noise=noise, bias=bias, up_taps=TAPS if up else None, backend=backend
        )
        return y.square()

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("num_taps", [2, 3, 4, 6])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_taps_gives_one_pixel_less(num_taps, backend):
    y = styled_epilogue(draw(1, 2, 9, 7), up_taps=torch.ones(num_taps) / num_taps, backend=backend)

    assert y.shape == (1, 2, 8, 6)
    assert sum(epilogue_padding(num_taps)) == num_taps - 2


def test_one_noise_map_serves_all_samples():
    x, noise = draw(2, 3, 4, 5), draw(1, 1, 4, 5, seed=1)

    y = styled_epilogue(x, noise=noise)

    torch.testing.assert_close(y, styled_epilogue(x, noise=noise.expand(2, -1, -1, -1)))


@pytest.mark.parametrize("up", [False, True])
def test_the_input_is_left_alone(up):
    x = draw(2, 3, 5, 3)
    before = x.clone()

    for operand in ({}, *({name: value} for name, value in operands(up).items())):
        styled_epilogue(x, **operand, up_taps=TAPS if up else None)

    assert torch.equal(x, before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("up", [False, True])
def test_any_layout_is_taken(backend, up):
    x = draw(2, 3, 6, 5).transpose(2, 3)[:, :, :, ::2]
    assert not x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last)

    y = styled_epilogue(x, **operands(up), up_taps=TAPS if up else None, backend=backend)

    expected = styled_epilogue(x.contiguous(), **operands(up), up_taps=TAPS if up else None, backend="reference")
    torch.testing.assert_close(y, expected)


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 3, 5, 3).contiguous(memory_format=torch.channels_last)
    given = {name: value.float() for name, value in operands(up=True).items()}

    y = styled_epilogue(x, **given, up_taps=normalized_taps())

    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("up", [False, True])
def test_wider_operands_are_taken_and_the_dtype_is_that_of_x(dtype, backend, up):
    x, given, taps = draw(2, 3, 5, 3).float(), operands(up), TAPS if up else None
    given["bias"] = given["bias"].float()

    narrow = styled_epilogue(x.to(dtype), **given, up_taps=taps, backend=backend)

    assert narrow.dtype == dtype
    wide = styled_epilogue(x, **given, up_taps=taps, backend=backend)
    torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=0.1)


def test_a_linear_epilogue_without_bias_costs_no_pass_over_memory():
    x = draw(2, 3, 5, 3)

    assert styled_epilogue(x, slope=1.0, gain=1.0) is x


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("demodulation", (1, 3), r"\(2, 3\), got \(1, 3\)"),
        ("noise", (2, 3, 5, 3), r"\(2, 1, 5, 3\), got \(2, 3, 5, 3\)"),
        ("noise", (1, 1, 4, 2), r"\(1, 1, 5, 3\), got \(1, 1, 4, 2\)"),
        ("bias", (2,), r"\(3\), got \(2,\)"),
        ("up_taps", (4, 4), r"\(T\), got \(4, 4\)"),
    ],
)
def test_shapes_that_do_not_agree_are_refused(name, shape, expected):
    with pytest.raises(ShapeError, match=f"`{name}` must have shape {expected}"):
        styled_epilogue(draw(2, 3, 5, 3), **{name: torch.zeros(shape)})


def test_noise_has_the_size_of_the_filtered_map():
    with pytest.raises(ShapeError, match=r"`noise` must have shape \(2, 1, 4, 2\), got \(2, 1, 5, 3\)"):
        styled_epilogue(draw(2, 3, 5, 3), noise=draw(2, 1, 5, 3), up_taps=TAPS)


@pytest.mark.parametrize("name", ["demodulation", "noise", "bias"])
def test_operands_on_two_devices_are_refused(name):
    given = {name: operands(up=False)[name].to("meta")}

    with pytest.raises(ConfigError, match=rf"`{name}` must be on cpu like `x`, got meta\. Move it"):
        styled_epilogue(draw(2, 3, 5, 3), **given)


def test_whole_numbers_are_refused():
    with pytest.raises(ConfigError, match=r"`x` must be of a floating dtype, got int64\. Convert it"):
        styled_epilogue(torch.zeros(1, 2, 3, 3, dtype=torch.int64))
    with pytest.raises(ConfigError, match="`bias` must be of a floating dtype, got int64"):
        styled_epilogue(draw(1, 2, 3, 3), bias=torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(("slope", "gain"), [(-0.1, 1.0), (0.2, 0.0), (0.2, -1.0)])
def test_an_activation_that_loses_signs_is_refused(slope, gain):
    with pytest.raises(ConfigError, match=f"`slope` must be >= 0 and `gain` > 0, got slope={slope} and gain={gain}"):
        styled_epilogue(draw(1, 2, 3, 3), slope=slope, gain=gain)


@pytest.mark.parametrize(("num_taps", "size"), [(1, 3), (4, 1)])
def test_too_few_taps_or_pixels_are_refused(num_taps, size):
    with pytest.raises(ConfigError, match=f"got {num_taps} and {size} x 3"):
        styled_epilogue(draw(1, 2, size, 3), up_taps=torch.ones(num_taps))


def test_an_unknown_backend_is_refused():
    with pytest.raises(BackendError, match="`backend`"):
        styled_epilogue(draw(1, 2, 3, 3), backend="cuda")
