# SPDX-License-Identifier: Apache-2.0
"""The registry of backends: which implementation of an op runs, and why not another.

``auto`` takes what runs: on a CUDA device `triton` if its kernels can run there, else `torch`; never in a program that
is traced or compiled, which has to run where this package is not installed. A backend that was named, in a call or for
the process, runs or raises; it never changes silently. One exception holds for all: an empty tensor holds nothing to
compute, its shape comes from `torch`.

A backend of your own is one call of `register_backend`, in any module; then its name works as the shipped ones do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from monai_semigan.errors import BackendError, ConfigError
from monai_semigan.ops.backends import SHIPPED
from monai_semigan.ops.backends.composed import convolve, epilogue_of, scaled_activations_of

__all__ = [
    "Backend",
    "Op",
    "backend_obstacle",
    "describe_backends",
    "kernel",
    "named_checkout",
    "register_backend",
    "resolve_backend",
    "set_backend",
    "use_backend",
]

Backend: TypeAlias = str
"""``auto``, or a registered name. Shipped are ``reference``, the definition, slow and easy to check; ``torch``, fast on
any device and can be exported; ``triton``, our kernels for CUDA devices; ``stylegan``, NVIDIA's from the user's own
checkout."""

Op = Literal["bias_act", "convolve", "modulated_conv2d", "styled_epilogue", "upfirdn2d"]
Kernel: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class _Registered:
    kernels: Mapping[Op, Kernel]
    obstacle: Callable[[torch.device, torch.dtype], str | None]
    auto_devices: tuple[str, ...]
    prepare: Callable[[], object]
    describe: Callable[[], str]


@dataclass
class _Process:
    """What holds for the whole process."""

    backend: Backend = "auto"
    checkout: Path | None = None


_process = _Process()
_registered: dict[str, _Registered] = {}


def register_backend(
    name: str,
    *,
    kernels: Mapping[Op, Kernel],
    obstacle: Callable[[torch.device, torch.dtype], str | None] = lambda device, dtype: None,
    auto_devices: Sequence[str] = (),
    prepare: Callable[[], object] = lambda: None,
    describe: Callable[[], str] = lambda: "",
) -> None:
    """Add a backend, or replace the one of that name.

    Args:
        name: What it is called from now on.
        kernels: Its function for each op; arguments are positional and were checked by the public op:
            ``upfirdn2d(x, taps, up, down, padding, gain)`` and ``bias_act(x, bias, slope, gain)`` are needed;
            ``styled_epilogue(x, demodulation, noise, bias, up_taps, slope, gain)``, ``convolve(x, weight, up)`` and
            ``modulated_conv2d(x, weight, style, demodulate, up) -> (y, demodulation or None)`` are made of the others
            where they are not given, and of PyTorch's convolution.
        obstacle: Says what keeps it from running on a device in a dtype; None if nothing does.
        auto_devices: Types of devices, such as ``cuda``, on which ``auto`` takes it where it can run.
        prepare: Called by `set_backend`; raises `BackendError` where the backend can never run.
        describe: A remark for `describe_backends`.

    Raises:
        ConfigError: The name is ``auto``, or one of the two needed kernels is missing.
    """
    if name == "auto" or not {"upfirdn2d", "bias_act"} <= kernels.keys():
        raise ConfigError(
            "A backend must have another name than auto and kernels for upfirdn2d and bias_act, "
            f"got {name!r} with {', '.join(sorted(kernels)) or 'none'}."
        )
    made: dict[Op, Kernel] = {
        "convolve": convolve,
        "styled_epilogue": epilogue_of(kernels["upfirdn2d"], kernels["bias_act"]),
        "modulated_conv2d": scaled_activations_of(kernels.get("convolve", convolve)),
    }
    _registered[name] = _Registered(
        kernels={**made, **kernels},
        obstacle=obstacle,
        auto_devices=tuple(auto_devices),
        prepare=prepare,
        describe=describe,
    )


def set_backend(backend: Backend, *, checkout: Path | None = None) -> None:
    """Say what ``auto`` means from now on, in the whole process.

    Args:
        backend: Runs every op that is called without a backend of its own; ``auto`` chooses per device.
        checkout: The user's own checkout of StyleGAN2-ADA-PyTorch or StyleGAN3, for ``stylegan``; None keeps what was
            named before.

    Raises:
        BackendError: The name is unknown, or the checkout of ``stylegan`` is not named or cannot be used.
    """
    before = _process.checkout
    _process.checkout = before if checkout is None else checkout
    try:
        if backend != "auto":
            _find(backend).prepare()
    except BackendError:
        _process.checkout = before
        raise
    _process.backend = backend


@contextmanager
def use_backend(backend: Backend, *, checkout: Path | None = None) -> Iterator[None]:
    """`set_backend` for the length of a ``with`` block."""
    before = _process.backend, _process.checkout
    set_backend(backend, checkout=checkout)
    try:
        yield
    finally:
        _process.backend, _process.checkout = before


def named_checkout() -> Path | None:
    """Return the checkout that was named for the process."""
    return _process.checkout


def resolve_backend(op: Op, x: Tensor, backend: Backend = "auto") -> str:
    """Return the name of the backend that runs ``op`` on ``x``.

    Raises:
        BackendError: The name is unknown, or the named backend cannot run here.
    """
    wanted = _process.backend if backend == "auto" else backend
    if wanted == "auto":
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        exports = tracing or torch.compiler.is_compiling()
        wanted = "torch" if exports else _automatic(x.device, x.dtype)
    elif (reason := backend_obstacle(wanted, x.device, x.dtype)) is not None:
        dtype = str(x.dtype).removeprefix("torch.")
        raise BackendError(
            f"backend='{wanted}' cannot run `{op}` on {x.device} in {dtype}: {reason}. Choose 'auto' or 'torch'."
        )
    return wanted if x.numel() else "torch"


def backend_obstacle(backend: Backend, device: torch.device, dtype: torch.dtype = torch.float32) -> str | None:
    """Say what keeps a backend from running on a device in a dtype; None if nothing does.

    For ``stylegan`` on a CUDA device this builds NVIDIA's kernels, once; that takes about a minute the first time.
    """
    return None if backend == "auto" else _find(backend).obstacle(device, dtype)


def kernel(backend: Backend, op: Op) -> Kernel:
    """Return a backend's own function for ``op``; see `register_backend`."""
    return _find(backend).kernels[op]


def describe_backends(devices: Sequence[torch.device] | None = None) -> dict[str, str]:
    """Say for each backend where it runs, and why not elsewhere; for ``auto`` what it comes to.

    Args:
        devices: Where to ask; None for the CPU and the CUDA device, if there is one.
    """
    if devices is None:
        devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    chosen = None if _process.backend == "auto" else f"{_process.backend}, as chosen for this process"
    texts = {"auto": "; ".join(f"{device.type}: {chosen or _automatic(device)}" for device in devices)}
    for name in _names():
        places = "; ".join(_state(name, device) for device in devices)
        texts[name] = places + _find(name).describe()
    return texts


def _names() -> list[str]:
    return list(SHIPPED) + [name for name in _registered if name not in SHIPPED]


def _find(name: str) -> _Registered:
    if name not in _registered:
        if name not in SHIPPED:
            raise BackendError(
                f"`backend` must be one of {', '.join(['auto', *_names()])}, got {name!r}. Use backend='auto'."
            )
        importlib.import_module(SHIPPED[name])  # registers itself
    return _registered[name]


def _automatic(device: torch.device, dtype: torch.dtype = torch.float32) -> str:
    if device.type != "cpu":  # there nothing is faster than torch, and Triton need not be imported
        for name in _names():
            found = _find(name)
            if device.type in found.auto_devices and found.obstacle(device, dtype) is None:
                return name
    return "torch"


def _state(name: str, device: torch.device) -> str:
    obstacle = backend_obstacle(name, device)
    return f"{device.type}: " + ("runs" if obstacle is None else f"does not run: {obstacle}")
