# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a forward pass and of an inversion step, counted without computing anything.

Networks live on PyTorch's ``meta`` device: shapes alone. A batch of one, as PyTorch's counter is exact for grouped
convolutions' weight gradients only there. Element-wise work is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.programs import OURS, OurProgram, build_programs, full_generator, styles_and_target
from monai_semigan.networks.generator import Generator

__all__ = ["forward_gflop", "inversion_step_gflop"]


def forward_gflop(size: int, names: Sequence[str], *, peer: Path | None = None) -> dict[str, float]:
    """Count a rendering of image and label by program."""
    generator, w_plus, _ = _on_meta(size)
    programs = build_programs(generator, names, peer)
    return {name: _count(lambda program=program: program.render(w_plus)) for name, program in programs.items()}


def inversion_step_gflop(size: int, names: Sequence[str], *, peer: Path | None = None) -> dict[str, float]:
    """Count an inversion step by program, the perceptual network included."""
    generator, w_plus, target = _on_meta(size)
    programs = build_programs(generator, names, peer)
    if OURS in programs:
        assert isinstance(programs[OURS], OurProgram)
        programs[OURS].prepare(w_plus, target)
    return {name: _count(lambda program=program: program.step(w_plus, target)) for name, program in programs.items()}


def _on_meta(size: int) -> tuple[Generator, Tensor, Tensor]:
    generator = full_generator(size)
    w_plus, target = styles_and_target(generator, 1)
    return generator.to("meta"), w_plus.to("meta"), target.to("meta")


def _count(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9
