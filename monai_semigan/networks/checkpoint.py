# SPDX-License-Identifier: Apache-2.0
"""Named weights in and out of networks: what fits, what does not, and networks built no larger than their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from monai_semigan.errors import CheckpointError
from monai_semigan.files import escaped
from monai_semigan.networks.checkpoint_file import listed, read_state_dict
from monai_semigan.types import PathLike

__all__ = [
    "build_with_weights",
    "load_fitting",
    "load_weight_file",
    "load_weights",
    "part_of",
    "to_half",
]

T = TypeVar("T", bound=nn.Module)

MAX_PARAMETERS = 500_000_000
"""Of a network: the largest official one, for faces of 1024 px with its encoder, has 330 million."""

FACTORIES = (torch.empty, torch.full, torch.ones, torch.rand, torch.randn, torch.zeros)
"""What makes new tensors of a given size; networks start from these."""

BUILDING_FACTOR = 3
"""New numbers per weight while a network is built: initial values are drawn and scaled, then cast or laid out."""

BUILDING_MARGIN = 1 << 20
"""Further new numbers, for what is no weight."""


def build_with_weights(build: Callable[[], T], state: Mapping[str, Tensor], *, source: PathLike) -> T:
    """Build a network and load its weights; one that is much larger than them is refused before it takes memory.

    Args:
        build: Builds it on the current device. Called a second time, without memory (on the meta device), only for a
            network that is too large: to say what does not fit.
        state: Its weights by name.
        source: Names them in errors.

    Raises:
        CheckpointError: The network has more than `MAX_PARAMETERS`, or as `load_weights`.
    """
    budget = BUILDING_FACTOR * sum(value.numel() for value in state.values()) + BUILDING_MARGIN
    try:
        with _Budget(budget):
            network = build()
    except _BeyondBudgetError:
        _check_planned(build, state, source)
        network = build()  # its temporary tensors alone were beyond
    _check_fit(network.state_dict(), state, source)
    network.load_state_dict(state)
    return network


class _BeyondBudgetError(Exception):
    pass


class _Budget(TorchFunctionMode):
    """Count the numbers of new tensors, and end what would make too many before it does.

    To plan on the meta device would cost each start 1.5 s and 140 MB: arithmetic there imports torch's compiler.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in FACTORIES:
            sizes = args[0] if args and isinstance(args[0], (tuple, list)) else args
            self.left -= math.prod(size for size in sizes if isinstance(size, int))
            if self.left < 0:
                raise _BeyondBudgetError
        return func(*args, **(kwargs or {}))


def _check_planned(build: Callable[[], nn.Module], state: Mapping[str, Tensor], source: PathLike) -> None:
    """Build without memory, and say what does not fit."""
    with torch.device("meta"):
        planned = build().state_dict()
    size = sum(value.numel() for value in planned.values())
    if size > MAX_PARAMETERS:
        raise CheckpointError(
            f"`{escaped(source)}` must belong to a network of at most {MAX_PARAMETERS:,} numbers, but its settings ask "
            f"for {size:,}."
        )
    _check_fit(planned, state, source)


def load_weights(network: nn.Module, state: Mapping[str, Tensor], *, source: PathLike = "the state dict") -> None:
    """Load named tensors strictly; half-precision files are widened to the network's dtype.

    Raises:
        CheckpointError: A key is missing or unknown, or a shape differs; the message names them.
    """
    _check_fit(network.state_dict(), state, source)
    network.load_state_dict(state)


def load_fitting(network: nn.Module, state: Mapping[str, Tensor], *, source: PathLike) -> frozenset[str]:
    """Load the named tensors that a network has in the same shape, leave the rest of it; return their names.

    Raises:
        CheckpointError: None of the network's parameters is among them, or one is not finite.
    """
    wanted = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    if not any(name in fitting for name, _ in network.named_parameters()):
        raise CheckpointError(f"`{escaped(source)}` must have weights of the network, but none of them fits.")
    _check_finite(fitting, source)
    network.load_state_dict(fitting, strict=False)
    return frozenset(fitting)


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the weights of one network of several, such as ``generator``, by their names in it."""
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def load_weight_file(network: nn.Module, path: PathLike) -> None:
    """Read a weight file and load it strictly, for the bundles' configs.

    Raises:
        CheckpointError: As `read_state_dict` and `load_weights`.
    """
    load_weights(network, read_state_dict(path), source=path)


def to_half(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict in float16, contiguous and on the CPU: half the file, rounding below 0.05 %.

    Raises:
        CheckpointError: A value exceeds the range of float16.
    """
    state = {key: value.detach().cpu().to(torch.float16).contiguous() for key, value in network.state_dict().items()}
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(f"The weights must fit float16 (65504), but not so: {listed(broken)}.")
    return state


def _check_fit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], source: PathLike) -> None:
    problems = {
        "missing": [key for key in wanted if key not in state],
        "unknown": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ],
    }
    found = "; ".join(f"{kind}: {listed(keys)}" for kind, keys in problems.items() if keys)
    name = escaped(source)
    if found:
        raise CheckpointError(f"`{name}` must fit the network, but keys are {found}. Check the bundle's settings.")
    _check_finite(state, source)


def _check_finite(state: Mapping[str, Tensor], source: PathLike) -> None:
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(f"`{escaped(source)}` must hold finite numbers, but not so: {listed(broken)}.")
