# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a forward pass and of an inversion step.

Our networks and the grouped formulation are counted without computing anything: on PyTorch's ``meta`` device, shapes
alone. The official program chooses its code by device and knows no such one, so it runs on real tensors. A batch of
one, as PyTorch's counter is exact for grouped convolutions' weight gradients only there. Element-wise work is not
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.programs import OFFICIAL, OurProgram, Runner, build_programs, full_generator, styles_and_target

__all__ = ["forward_gflop", "inversion_step_gflop"]


def forward_gflop(size: int, names: Sequence[str], *, peer: Path | None = None) -> dict[str, float]:
    """Count a rendering of image and label by program."""
    return {name: _forward(size, name, peer) for name in names}


def inversion_step_gflop(size: int, names: Sequence[str], *, peer: Path | None = None) -> dict[str, float]:
    """Count an inversion step by program, the perceptual network included."""
    return {name: _inversion_step(size, name, peer) for name in names}


def _forward(size: int, name: str, peer: Path | None) -> float:
    program, w_plus, _ = _program(size, name, peer)
    return _count(lambda: program.render(w_plus))


def _inversion_step(size: int, name: str, peer: Path | None) -> float:
    program, w_plus, target = _program(size, name, peer)
    if isinstance(program, OurProgram):
        program.prepare(w_plus, target)
    return _count(lambda: program.step(w_plus, target))


def _program(size: int, name: str, peer: Path | None) -> tuple[Runner, Tensor, Tensor]:
    generator = full_generator(size)
    device = torch.device("cpu" if name == OFFICIAL else "meta")
    w_plus, target = (tensor.to(device) for tensor in styles_and_target(generator, 1))
    return build_programs(generator.to(device), [name], peer)[name], w_plus, target


def _count(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9
