# SPDX-License-Identifier: Apache-2.0
"""The fast path of every op equals its definition, and the linear ones are linear."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from monai_semigan.ops.affine_warp import affine_warp
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.modulated_conv2d import modulated_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d

pytestmark = pytest.mark.property

reproducible = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.filter_too_much]
)
seeds = st.integers(0, 2**16)
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
"""For float64: the two paths may differ by rounding only."""


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@reproducible
@given(
    up=st.integers(1, 4),
    down=st.integers(1, 3),
    num_taps=st.integers(1, 6),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.tuples(st.integers(-2, 5), st.integers(-2, 5)),
    gain=st.floats(-4, 4),
    seed=seeds,
)
def test_fast_resampling_equals_the_definition(up, down, num_taps, height, width, padding, gain, seed):
    assume(min(height, width) * up + sum(padding) >= num_taps)
    x, taps = draw(seed, 2, 3, height, width), draw(seed + 1, num_taps)

    actual, expected = (
        upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=gain, backend=b) for b in ("torch", "reference")
    )

    assert actual.shape[2] == (height * up + sum(padding) - num_taps) // down + 1
    torch.testing.assert_close(actual, expected, **TOLERANCE)


@reproducible
@given(
    up=st.integers(1, 3), down=st.integers(1, 3), num_taps=st.integers(1, 5), a=st.floats(-3, 3), b=st.floats(-3, 3),
    seed=seeds,
)  # fmt: skip
def test_resampling_is_linear(up, down, num_taps, a, b, seed):
    x, y, taps = draw(seed, 1, 2, 5, 6), draw(seed + 1, 1, 2, 5, 6), draw(seed + 2, num_taps)

    def run(x):
        return upfirdn2d(x, taps, up=up, down=down, padding=(2, 1))

    torch.testing.assert_close(run(a * x + b * y), a * run(x) + b * run(y), rtol=1e-10, atol=1e-10)


@reproducible
@given(
    n=st.integers(1, 3),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.sampled_from([1, 3, 5]),
    demodulate=st.booleans(),
    num_taps=st.sampled_from([None, 2, 3, 4, 5]),
    seed=seeds,
)
def test_scaled_activations_equal_scaled_weights(n, inputs, outputs, size, kernel, demodulate, num_taps, seed):
    taps = None if num_taps is None else draw(seed, num_taps).abs() + 0.1
    kernel = kernel if taps is None else 3
    x, weight, style = (
        draw(seed, n, inputs, *size),
        draw(seed + 1, outputs, inputs, kernel, kernel),
        draw(seed + 2, n, inputs),
    )

    actual, expected = (
        modulated_conv2d(
            x, weight, style, demodulate=demodulate, up_taps=None if taps is None else taps / taps.sum(), backend=b
        )
        for b in ("torch", "reference")
    )

    factor = 1 if taps is None else 2
    assert actual.shape == (n, outputs, size[0] * factor, size[1] * factor)
    torch.testing.assert_close(actual, expected, **TOLERANCE)


@reproducible
@given(
    slope=st.sampled_from([0.0, 0.2, 1.0, 1.5]),
    gain=st.floats(0.01, 5),
    has_bias=st.booleans(),
    is_flat=st.booleans(),
    seed=seeds,
)
def test_fast_activation_equals_the_definition(slope, gain, has_bias, is_flat, seed):
    x = draw(seed, 3, 4) if is_flat else draw(seed, 2, 4, 3, 5)
    bias = draw(seed + 1, 4) if has_bias else None

    actual, expected = (bias_act(x, bias, slope=slope, gain=gain, backend=b) for b in ("torch", "reference"))

    torch.testing.assert_close(actual, expected, **TOLERANCE)


@reproducible
@given(entries=st.lists(st.floats(-1.2, 1.2), min_size=6, max_size=6), value=st.floats(-1, 1))
def test_a_constant_image_survives_any_warp(entries, value):
    x = torch.full((1, 2, 5, 4), value, dtype=torch.float64)

    y = affine_warp(x, torch.tensor(entries, dtype=torch.float64).reshape(1, 2, 3))

    torch.testing.assert_close(y, x, **TOLERANCE)
