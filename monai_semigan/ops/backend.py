# SPDX-License-Identifier: Apache-2.0
"""Which implementation of an op runs, and why not another.

``auto`` takes what runs: `torch` on a CPU, `triton` on a CUDA device if its kernels can run there, else `torch`. A
backend that was named, in a call or for the process, runs or raises; it never changes silently. One exception holds for
all: an empty tensor holds nothing to compute, its shape comes from `torch`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from monai_semigan.errors import BackendError
from monai_semigan.ops.stylegan import Checkout, open_checkout
from monai_semigan.ops.triton.availability import obstacle as triton_obstacle

__all__ = [
    "Backend",
    "Op",
    "backend_obstacle",
    "describe_backends",
    "kernel",
    "resolve_backend",
    "set_backend",
    "use_backend",
]

Backend = Literal["auto", "reference", "torch", "triton", "stylegan"]
"""``reference`` is the definition, slow and easy to check; ``torch`` is fast on any device and can be exported;
``triton`` has our kernels for CUDA devices; ``stylegan`` takes NVIDIA's from the user's own checkout."""

Chosen = Literal["reference", "torch", "triton", "stylegan"]
Op = Literal["bias_act", "modulated_conv2d", "styled_epilogue", "upfirdn2d"]

TRITON = "monai_semigan.ops.triton"
TRITON_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass
class _Process:
    """What holds for the whole process."""

    backend: Backend = "auto"
    checkout: Path | None = None


_process = _Process()


def set_backend(backend: Backend, *, checkout: Path | None = None) -> None:
    """Say what ``auto`` means from now on, in the whole process.

    Args:
        backend: Runs every op that is called without a backend of its own; ``auto`` chooses per device.
        checkout: The user's own checkout of StyleGAN2-ADA-PyTorch or StyleGAN3, for ``stylegan``; None keeps what was
            named before.

    Raises:
        BackendError: The name is unknown, or the checkout of ``stylegan`` is not named or cannot be used.
    """
    _check_name(backend)
    checkout = _process.checkout if checkout is None else checkout
    if backend == "stylegan":
        _open(checkout)
    _process.backend, _process.checkout = backend, checkout


@contextmanager
def use_backend(backend: Backend, *, checkout: Path | None = None) -> Iterator[None]:
    """`set_backend` for the length of a ``with`` block."""
    before = _process.backend, _process.checkout
    set_backend(backend, checkout=checkout)
    try:
        yield
    finally:
        _process.backend, _process.checkout = before


def resolve_backend(op: Op, x: Tensor, backend: Backend = "auto") -> Chosen:
    """Return the backend that runs ``op`` on ``x``.

    Raises:
        BackendError: The name is unknown, or the named backend cannot run here.
    """
    _check_name(backend)
    wanted = _process.backend if backend == "auto" else backend
    if wanted == "auto":
        # Exported programs have to run where this package is not installed.
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        exports = tracing or torch.compiler.is_compiling()
        fits = x.is_cuda and not exports and backend_obstacle("triton", x.device, x.dtype) is None
        wanted = "triton" if fits else "torch"
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
    _check_name(backend)
    if backend == "triton":
        if dtype not in TRITON_DTYPES:
            return "its kernels are for float16, bfloat16, float32 and float64"
        return triton_obstacle(device)
    if backend == "stylegan":
        try:
            return _open(_process.checkout).obstacle(device, dtype)
        except BackendError as error:
            return str(error).rstrip(".")
    return None


def kernel(backend: Chosen, op: Op) -> Callable[..., Tensor]:
    """Return a backend's own function for ``op``, whose arguments are positional and checked by the caller."""
    if backend == "stylegan":
        found: Callable[..., Tensor] = getattr(_open(_process.checkout), op)
    else:
        found = getattr(importlib.import_module(f"{TRITON}.{op}"), op)
    return found


def convolution_functions(backend: Chosen) -> Any:
    """Return the namespace whose ``conv2d`` and ``conv_transpose2d`` a backend uses."""
    return _open(_process.checkout).convolutions if backend == "stylegan" else torch.nn.functional


def describe_backends(devices: Sequence[torch.device] | None = None) -> dict[str, str]:
    """Say for each backend where it runs, and why not elsewhere; for ``auto`` what it comes to.

    Args:
        devices: Where to ask; None for the CPU and the CUDA device, if there is one.
    """
    if devices is None:
        devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    texts = {
        name: "; ".join(_state(name, device) for device in devices) for name in get_args(Backend) if name != "auto"
    }
    texts["stylegan"] += _checkout_state()
    return {"auto": "; ".join(f"{device.type}: {_automatic(device)}" for device in devices), **texts}


def _automatic(device: torch.device) -> str:
    if _process.backend != "auto":
        return f"{_process.backend}, as chosen for this process"
    runs_triton = device.type == "cuda" and backend_obstacle("triton", device) is None
    return "triton" if runs_triton else "torch"


def _state(name: Backend, device: torch.device) -> str:
    obstacle = backend_obstacle(name, device)
    return f"{device.type}: " + ("runs" if obstacle is None else f"does not run: {obstacle}")


def _checkout_state() -> str:
    try:
        checkout = _open(_process.checkout)
    except BackendError:
        return ""
    return f" ({checkout.describe()})"


def _check_name(backend: str) -> None:
    if backend not in get_args(Backend):
        names = ", ".join(get_args(Backend))
        raise BackendError(f"`backend` must be one of {names}, got {backend!r}. Use backend='auto'.")


def _open(folder: Path | None) -> Checkout:
    if folder is None:
        raise BackendError(
            "no checkout of StyleGAN2-ADA-PyTorch or StyleGAN3 is named: pass `checkout` to `set_backend` or "
            "`use_backend`, or --stylegan-ops to semigan."
        )
    return open_checkout(folder)
