# SPDX-License-Identifier: Apache-2.0
"""Move tensors from one layout of keys to another, and account for every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_semigan.errors import CheckpointError
from monai_semigan.ops.fir import normalized_taps

__all__ = [
    "ForeignState",
    "Rule",
    "Shape",
    "one_number",
    "per_channel_map",
    "raise_problems",
    "same",
    "with_batch",
    "without_batch",
    "without_batch_and_channel",
]

Shape = tuple[int, ...]

NAMED_KEYS = 10
"""Keys named per kind of mismatch; the rest is counted."""

FILTER_TOLERANCE = 1e-3
"""Of a stored filter, to what the networks here compute; float16 rounds by less."""


def same(shape: Shape) -> Shape:
    """The foreign tensor has our shape."""
    return shape


def with_batch(shape: Shape) -> Shape:
    """The foreign tensor has a leading axis of size 1 more than ours."""
    return (1, *shape)


def without_batch(shape: Shape) -> Shape:
    """The foreign tensor lacks our leading axis of size 1."""
    return shape[1:]


def without_batch_and_channel(shape: Shape) -> Shape:
    """The foreign tensor is the bare plane ``(H, W)`` of ours."""
    return shape[2:]


def one_number(shape: Shape) -> Shape:
    """The foreign tensor is ``(1,)`` where ours is a scalar."""
    return (1,)


def per_channel_map(shape: Shape) -> Shape:
    """The foreign tensor is ``(1, C, 1, 1)`` where ours is ``(C,)``."""
    return (1, *shape, 1, 1)


@dataclass(frozen=True)
class Rule:
    """Where a tensor of ours comes from.

    Attributes:
        key: The foreign key.
        shape: From our shape to the foreign one; both have the same numbers in the same order.
    """

    key: str
    shape: Callable[[Shape], Shape] = same


class ForeignState:
    """A state dict in a foreign layout, and what became of each of its keys.

    Args:
        name: What messages call it, such as ``g_ema``.
        tensors: The state dict.
    """

    def __init__(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        self.name = name
        self.ignored: list[str] = []
        self._left = dict(tensors)
        self._problems: dict[str, list[str]] = {"missing": [], "of another shape": [], "not finite numbers": []}

    def has(self, key: str) -> bool:
        """Whether the key is there and was not taken yet."""
        return key in self._left

    def size(self, key: str, axis: int) -> int:
        """Return the length of one axis of a tensor that tells a size of the network.

        Raises:
            CheckpointError: The tensor is missing, or has too few axes.
        """
        tensor = self._left.get(key)
        if tensor is None or tensor.ndim <= axis:
            what = "is missing" if tensor is None else f"has the shape {tuple(tensor.shape)}"
            raise CheckpointError(f"`{self.name}` must hold `{key}`, which tells sizes of the network, but it {what}.")
        return int(tensor.shape[axis])

    def count(self, pattern: str, *, limit: int = 64) -> int:
        """Return one more than the largest number that the pattern's group matches among the keys; 0 for no match.

        Numbers from ``limit`` on are no index of any real network, and must not size one.
        """
        found = [int(match[1]) for key in self._left if (match := re.match(pattern, key)) and len(match[1]) < 9]
        return max((number for number in found if number < limit), default=-1) + 1

    def take(self, rules: Mapping[str, Rule], shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
        """Move tensors to our keys; those that do not fit are remembered as problems and left out.

        Args:
            rules: By our key.
            shapes: Our shapes by our key.
        """
        taken = {}
        for ours, rule in rules.items():
            tensor = self._left.pop(rule.key, None)
            expected = rule.shape(shapes[ours])
            if tensor is None:
                self._problems["missing"].append(rule.key)
            elif tensor.shape != expected:
                self._problems["of another shape"].append(f"{rule.key} {tuple(tensor.shape)} instead of {expected}")
            elif not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
                self._problems["not finite numbers"].append(rule.key)
            else:
                taken[ours] = tensor.detach().reshape(shapes[ours])
        return taken

    def check_filters(self, pattern: str, *, gain: float) -> None:
        """Drop stored filters that are what the networks here compute; another filter is a problem.

        Args:
            pattern: Of the keys, matched as a whole.
            gain: Sum of the filter.
        """
        taps = normalized_taps()
        expected = taps[:, None] * taps[None, :] * gain
        for key in self._matching(pattern):
            tensor = self._left.pop(key)
            if tensor.shape != expected.shape:
                shape = f"{tuple(tensor.shape)} instead of {tuple(expected.shape)}"
                self._problems["of another shape"].append(f"{key} {shape}")
            elif not torch.allclose(tensor.to(expected), expected, rtol=FILTER_TOLERANCE):
                self._problems.setdefault("another filter than [1, 3, 3, 1]", []).append(key)

    def ignore(self, pattern: str) -> None:
        """Leave keys out on purpose; they are listed in `ignored`."""
        for key in self._matching(pattern):
            del self._left[key]
            self.ignored.append(f"{self.name}: {key}")

    def problems(self) -> dict[str, list[str]]:
        """Return keys by kind of mismatch, with what was never taken as unknown."""
        return {**self._problems, "unknown": sorted(self._left)}

    def _matching(self, pattern: str) -> list[str]:
        return [key for key in self._left if re.fullmatch(pattern, key)]


def raise_problems(states: Iterable[ForeignState], *, source: str, kind: str) -> None:
    """Name every key that does not fit, of all networks in one message.

    Raises:
        CheckpointError: There is such a key.
    """
    found = []
    for state in states:
        parts = [f"{kind}: {_shorten(keys)}" for kind, keys in state.problems().items() if keys]
        if parts:
            found.append(f"in `{state.name}` keys are {'; '.join(parts)}")
    if found:
        raise CheckpointError(
            f"`{source}` must hold all of a {kind} network and nothing else, but {'; '.join(found)}. Its training code "
            "may be a changed one; convert what was saved by the original."
        )


def _shorten(keys: list[str]) -> str:
    rest = len(keys) - NAMED_KEYS
    return ", ".join(keys[:NAMED_KEYS]) + (f" and {rest} more" if rest > 0 else "")
