# SPDX-License-Identifier: Apache-2.0
"""Descend many losses at once, each sample alone: Adam, and L-BFGS.

Both see a batch ``(N, 1, M)``, as `Embedding.packed` makes it, with one loss and one gradient per sample, and say where
to look next. Nothing is shared between samples: a sample's path does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

__all__ = ["Adam", "Descent", "Lbfgs", "Optimizer"]

Optimizer = Literal["adam", "lbfgs"]


class Descent(Protocol):
    """One rule of descent with its state."""

    def step(self, at: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
        """Return the next place to evaluate, ``(N, 1, M)``.

        Args:
            at: The place evaluated last, the one that the last call returned.
            loss: ``(N,)`` there.
            grad: ``(N, 1, M)`` there.
        """


class Adam:
    """Kingma and Ba 2015, algorithm 1, with a rate per step.

    Args:
        rate: Learning rate of a step, counted from 0.
    """

    def __init__(self, rate: Callable[[int], float]) -> None:
        self.rate = rate
        self.count = 0
        self.moments: tuple[Tensor, Tensor] | None = None

    def step(self, at: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
        beta1, beta2 = 0.9, 0.999
        first, second = self.moments or (torch.zeros_like(at), torch.zeros_like(at))
        first, second = first.lerp(grad, 1 - beta1), second.lerp(grad.square(), 1 - beta2)
        self.moments = first, second
        rate = self.rate(self.count)
        self.count += 1
        update = (first / (1 - beta1**self.count)) / ((second / (1 - beta2**self.count)).sqrt() + 1e-8)
        return at - rate * update


MEMORY = 8
"""Pairs of moves and gradient changes that describe the curvature; ours, of the usual size."""

FIRST_MOVE = 0.02
"""Root mean square of the first move, before any curvature is known; styles have about unit variance."""

LARGEST_MOVE = 0.25
"""Root mean square of any move: further away the curvature tells nothing."""

SHRINK = 0.4
"""Factor of the move after each try in a row that was not lower; ours."""

LEAST_CURVATURE = 1e-8
"""Least cosine between move and gradient change of a pair that is used: L-BFGS needs it positive."""


class Lbfgs:
    """Limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4), one evaluation per step and no line search.

    A try that is lower is taken, whatever its slope; after one that is not, the next goes the same way less far. Either
    way the pair that it gives is kept, as it tells the curvature. Longer moves than `LARGEST_MOVE` are cut.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # moves, changes of the gradient, 1 / their product
        self.x: Tensor | None = None

    def step(self, at: Tensor, loss: Tensor, grad: Tensor) -> Tensor:
        if self.x is None:
            self.x, self.loss, self.grad = at, loss, grad
            self.reach = torch.ones_like(loss)
            self.scale = FIRST_MOVE / _rms(grad).clamp_min(torch.finfo(grad.dtype).tiny)
        else:
            self._remember(at - self.x, grad - self.grad)
            lower = loss < self.loss  # False for NaN
            self.reach = torch.where(lower, 1.0, self.reach * SHRINK)
            self.loss = torch.where(lower, loss, self.loss)
            taken = lower[:, None, None]
            self.x, self.grad = torch.where(taken, at, self.x), torch.where(taken, grad, self.grad)
        move = self._direction()
        cut = (LARGEST_MOVE / _rms(move)).clamp_max(1.0)
        return self.x - move * (cut * self.reach)[:, None, None]

    def _remember(self, s: Tensor, y: Tensor) -> None:
        product, square = _dot(s, y), _dot(y, y)
        usable = product > LEAST_CURVATURE * (_dot(s, s) * square).sqrt()  # False for NaN
        # A pair that cannot be used becomes zero, which leaves the direction as it is.
        s, y = (torch.where(usable[:, None, None], value, 0.0) for value in (s, y))
        inverse = torch.where(usable, 1 / product, 0.0)
        self.scale = torch.where(usable, product / square, self.scale)
        self.pairs = [*self.pairs[1 - MEMORY :], (s, y, inverse)]

    def _direction(self) -> Tensor:
        """Return the inverse Hessian's product with the gradient, from the pairs alone."""
        direction, weights = self.grad, []
        for s, y, inverse in reversed(self.pairs):
            weights.append(inverse * _dot(s, direction))
            direction = direction - weights[-1][:, None, None] * y
        direction = direction * self.scale[:, None, None]
        for (s, y, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            direction = direction + (weight - inverse * _dot(y, direction))[:, None, None] * s
        return direction


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(dim=1)


def _rms(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(dim=1).sqrt()
