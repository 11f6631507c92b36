# SPDX-License-Identifier: Apache-2.0
"""What all ops ask of their operands: floating, on one device; an activation that keeps signs."""

from __future__ import annotations

from torch import Tensor

from monai_semigan.errors import ConfigError

__all__ = ["check_activation", "check_operands"]


def check_operands(x: Tensor, **others: Tensor | None) -> None:
    """Check what would otherwise fail deep inside a kernel, or be computed with rounded numbers.

    Dtypes may differ as long as all are floating: the operands then take the dtype of ``x``.

    Raises:
        ConfigError: An operand is not floating, or lies on another device than ``x``.
    """
    for name, operand in {"x": x, **others}.items():
        if operand is None:
            continue
        if not operand.is_floating_point():
            dtype = str(operand.dtype).removeprefix("torch.")
            raise ConfigError(f"`{name}` must be of a floating dtype, got {dtype}. Convert it with .float().")
        if operand.device != x.device:
            raise ConfigError(f"`{name}` must be on {x.device} like `x`, got {operand.device}. Move it with .to().")


def check_activation(slope: float, gain: float) -> None:
    """Check that the activation keeps signs: gradients are read off the sign of its result, which is kept alone.

    Raises:
        ConfigError: It does not.
    """
    if slope < 0 or gain <= 0:
        raise ConfigError(f"`slope` must be >= 0 and `gain` > 0, got slope={slope} and gain={gain}.")
