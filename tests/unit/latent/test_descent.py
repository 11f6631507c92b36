# SPDX-License-Identifier: Apache-2.0
"""Adam against torch's, L-BFGS on functions whose minimum is known; every sample alone."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.latent.descent import LARGEST_MOVE, Adam, Lbfgs


def quadratic(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A bowl per sample, with curvatures from 1 to 100 and its minimum at 0.1."""
    curvature = torch.logspace(0, 2, x[0].numel(), dtype=x.dtype).reshape(x.shape[1:])
    away = x - 0.1
    return (curvature * away.square()).flatten(1).sum(dim=1) / 2, curvature * away


def descend(descent, x: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    for _ in range(steps):
        x = descent.step(x, *quadratic(x))
    return x, quadratic(x)[0]


def test_adam_moves_as_torchs_does() -> None:
    start = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameter = torch.nn.Parameter(start.clone())
    theirs = torch.optim.Adam([parameter], lr=0.05)
    for _ in range(7):
        parameter.grad = quadratic(parameter.detach())[1]
        theirs.step()

    torch.testing.assert_close(descend(Adam(lambda _: 0.05), start, 7)[0], parameter.detach())


def test_lbfgs_finds_the_minimum_of_a_bowl_that_gradient_descent_does_not() -> None:
    start = torch.zeros(2, 3, 4, dtype=torch.float64)

    x, loss = descend(Lbfgs(), start, 40)

    torch.testing.assert_close(x, torch.full_like(x, 0.1), atol=1e-4, rtol=0)
    assert bool((loss < 1e-6 * quadratic(start)[0]).all())


def test_lbfgs_never_moves_further_than_allowed_from_its_best() -> None:
    descent, x = Lbfgs(), torch.full((1, 2, 3), 5.0)
    for _ in range(6):
        following = descent.step(x, *quadratic(x))
        assert float((following - descent.x).square().mean().sqrt()) <= LARGEST_MOVE * 1.001
        x = following


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_lbfgs_goes_back_from_where_there_is_no_loss(bad: float) -> None:
    descent, start = Lbfgs(), torch.zeros(2, 3, 4)
    x = descent.step(start, *quadratic(start))
    loss, grad = quadratic(x)
    loss[0], grad[0] = bad, bad
    following = descent.step(x, loss, grad)

    assert bool(following.isfinite().all())
    assert float((following[0] - start[0]).norm()) < float((x[0] - start[0]).norm())
    torch.testing.assert_close(descent.x[0], start[0])
    torch.testing.assert_close(descent.x[1], x[1])


@pytest.mark.parametrize("make", [lambda: Adam(lambda step: 0.1 / (step + 1)), Lbfgs], ids=["adam", "lbfgs"])
def test_every_sample_goes_alone(make) -> None:
    start = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.3

    together = descend(make(), start, 8)[0]

    for at in range(3):
        torch.testing.assert_close(together[at : at + 1], descend(make(), start[at : at + 1], 8)[0])


def test_a_gradient_of_zero_stays_where_it_is() -> None:
    start = torch.full((1, 2, 3), 0.1)

    torch.testing.assert_close(descend(Lbfgs(), start, 3)[0], start)
