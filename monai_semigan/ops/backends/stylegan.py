# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's CUDA ops of StyleGAN2-ADA-PyTorch or StyleGAN3, taken from the user's own checkout.

Their licence allows research and evaluation only and keeps us from shipping them, so nothing here is theirs: these
functions convert arguments to the published interface of ``torch_utils.ops`` and call it. Left alone, that code falls
back to a slow definition with at most a warning where its kernels cannot be built; here that is an error.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from pathlib import Path
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from monai_semigan.errors import BackendError
from monai_semigan.ops.backend import named_checkout, register_backend
from monai_semigan.ops.isolated_import import isolated_import

__all__ = ["Checkout", "open_checkout"]

OPS = Path("torch_utils", "ops")
PRIVATE_NAMES = ("torch_utils", "dnnlib", "upfirdn2d_plugin", "bias_act_plugin")
"""Top-level modules of a checkout, and the extensions that it builds: the same names in every version."""

FILES = ("upfirdn2d.py", "bias_act.py", "conv2d_gradfix.py")
INTERFACE = {
    ("upfirdn2d", "upfirdn2d"): {"x", "f", "up", "down", "padding", "flip_filter", "gain", "impl"},
    ("upfirdn2d", "setup_filter"): {"f", "device", "normalize"},
    ("bias_act", "bias_act"): {"x", "b", "dim", "act", "alpha", "gain", "clamp", "impl"},
    ("conv2d_gradfix", "conv2d"): {"input", "weight", "padding"},
    ("conv2d_gradfix", "conv_transpose2d"): {"input", "weight", "stride"},
}
"""The arguments that are passed from here, per function."""

DTYPES = (torch.float16, torch.float32, torch.float64)
MAX_ELEMENTS = 2**31 - 1
"""Their kernels count elements in 32 bits."""


class Checkout:
    """The ops of one checkout, under our definitions of them.

    Args:
        folder: The root of the checkout, which holds ``torch_utils`` and ``dnnlib``.
        impl: ``cuda`` runs the kernels; ``ref`` runs the checkout's own definition on any device, to compare with.

    Raises:
        BackendError: The folder holds no such ops, those of an unknown version, or they cannot be imported.
    """

    def __init__(self, folder: Path, *, impl: Literal["cuda", "ref"] = "cuda") -> None:
        self.folder, self.impl = folder, impl
        self.version = _detect_version(folder)
        self._modules = _import_ops(folder)
        self._build_obstacle: str | None = None
        self._tried_build = False
        self.convolutions = self._modules["conv2d_gradfix"]
        """Its ``conv2d`` and ``conv_transpose2d`` were made for torch up to 1.10. On later ones they hand over to
        torch's own, whose gradients can be differentiated to any order by now."""

    def describe(self) -> str:
        """Name version and folder, and where convolutions are computed."""
        return f"{self.version} in {self.folder}, convolutions through its conv2d_gradfix"

    def obstacle(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Say what keeps these ops from running; None if nothing does. Builds the kernels on the first call on CUDA."""
        if self.impl == "ref":
            return None
        if device.type != "cuda":
            return "NVIDIA's ops are for CUDA devices alone"
        if dtype not in DTYPES:
            return "NVIDIA's ops are for float16, float32 and float64"
        if not self._tried_build:
            self._tried_build = True
            self._build_obstacle = _build(self.folder, self._modules)
        return self._build_obstacle

    def upfirdn2d(self, x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
        """Resample as `monai_semigan.ops.upfirdn2d.upfirdn2d` does; the taps are rounded to float32."""
        size = [length * up + sum(padding) for length in x.shape[2:]]
        _check_size(max(x.numel(), x.shape[0] * x.shape[1] * size[0] * size[1] // down**2))
        module = self._modules["upfirdn2d"]
        taps_2d = module.setup_filter(taps.float(), device=x.device, normalize=False)
        y: Tensor = module.upfirdn2d(
            _dense(x), taps_2d, up=up, down=down, padding=[*padding, *padding], gain=gain, impl=self.impl
        )
        return y

    def bias_act(self, x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
        """Add a bias, apply leaky ReLU, scale, as `monai_semigan.ops.bias_act.bias_act` does."""
        _check_size(x.numel())
        bias = None if bias is None else bias.to(x.dtype)
        kind = {"act": "linear"} if slope == 1 else {"act": "lrelu", "alpha": slope}
        y: Tensor = self._modules["bias_act"].bias_act(_dense(x), bias, dim=1, gain=gain, impl=self.impl, **kind)
        return y


_opened: dict[Path, Checkout | BackendError] = {}


def open_checkout(folder: Path) -> Checkout:
    """Open a checkout, or return it if it is open. What failed once is not tried again, and says the same.

    Raises:
        BackendError: See `Checkout`.
    """
    folder = folder.resolve()
    if folder not in _opened:
        try:
            _opened[folder] = Checkout(folder)
        except BackendError as error:
            _opened[folder] = error
    found = _opened[folder]
    if isinstance(found, BackendError):
        raise BackendError(*found.args)
    return found


def _detect_version(folder: Path) -> str:
    missing = [name for name in FILES if not (folder / OPS / name).is_file()]
    if missing:
        raise BackendError(
            f"`{folder}` must be a checkout of StyleGAN2-ADA-PyTorch or StyleGAN3, but has no {OPS / missing[0]}. "
            "Name the folder that holds torch_utils."
        )
    if (folder / OPS / "filtered_lrelu.py").is_file():
        return "StyleGAN3"
    if (folder / OPS / "conv2d_resample.py").is_file():
        return "StyleGAN2-ADA"
    raise BackendError(
        f"`{folder}` must be a checkout of StyleGAN2-ADA-PyTorch or StyleGAN3, but its {OPS} has neither "
        "conv2d_resample.py nor filtered_lrelu.py. Take a complete checkout."
    )


def _import_ops(folder: Path) -> dict[str, ModuleType]:
    package = ".".join(OPS.parts)
    try:
        with warnings.catch_warnings(), isolated_import(folder, PRIVATE_NAMES):
            warnings.simplefilter("ignore")  # of code that is older than its dependencies
            modules = {name: importlib.import_module(f"{package}.{name}") for name in ("upfirdn2d", "bias_act")}
            modules["conv2d_gradfix"] = importlib.import_module(f"{package}.conv2d_gradfix")
            custom_ops = importlib.import_module("torch_utils.custom_ops")
    except (Exception, SystemExit) as error:
        raise BackendError(f"`{folder}` could not be imported: {_in_words(error)}.") from error
    custom_ops.verbosity = "none"  # type: ignore[attr-defined]  # it prints while it builds
    for (module, function), arguments in INTERFACE.items():
        _check_function(folder, modules[module], function, arguments)
    return modules


def _check_function(folder: Path, module: ModuleType, name: str, arguments: set[str]) -> None:
    function = getattr(module, name, None)
    missing = arguments if function is None else arguments - set(inspect.signature(function).parameters)
    if missing:
        raise BackendError(
            f"`{folder}` must have `{module.__name__}.{name}` with the arguments of StyleGAN2-ADA-PyTorch and "
            f"StyleGAN3, but {'it is missing' if function is None else f'it lacks {sorted(missing)}'}."
        )


def _build(folder: Path, modules: dict[str, ModuleType]) -> str | None:
    """Build the kernels, and return the reason if that fails: an exception, or a warning and no plugin."""
    for name in ("upfirdn2d", "bias_act"):
        module, reason = modules[name], ""
        with warnings.catch_warnings(record=True) as caught, isolated_import(folder, PRIVATE_NAMES):
            warnings.simplefilter("always")
            try:
                built = module._init() and getattr(module, "_plugin", None) is not None
            except (Exception, SystemExit) as error:
                built, reason = False, _in_words(error)
        if not built:
            reason = reason or (_last_line(str(caught[-1].message)) if caught else "no reason was given")
            return f"the kernels of `{name}` in {folder} could not be built: {reason.rstrip('.')}"
    return None


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {_last_line(str(error))}"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _dense(x: Tensor) -> Tensor:
    """Return ``x`` in one of the two layouts that the kernels know."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _check_size(num_elements: int) -> None:
    if num_elements > MAX_ELEMENTS:
        raise BackendError(
            f"backend='stylegan' must have at most {MAX_ELEMENTS} elements per tensor, got {num_elements}. "
            "Compute fewer images at a time, or choose 'auto' or 'torch'."
        )


def _current() -> Checkout:
    """Open the checkout that was named for the process."""
    folder = named_checkout()
    if folder is None:
        raise BackendError(
            "no checkout of StyleGAN2-ADA-PyTorch or StyleGAN3 is named: pass `checkout` to `set_backend` or "
            "`use_backend`, or --stylegan-ops to semigan."
        )
    return open_checkout(folder)


def _obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    try:
        return _current().obstacle(device, dtype)
    except BackendError as error:
        return str(error).rstrip(".")


def _describe() -> str:
    try:
        return f" ({_current().describe()})"
    except BackendError:
        return ""


def _upfirdn2d(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int], gain: float) -> Tensor:
    return _current().upfirdn2d(x, taps, up, down, padding, gain)


def _bias_act(x: Tensor, bias: Tensor | None, slope: float, gain: float) -> Tensor:
    return _current().bias_act(x, bias, slope, gain)


def _convolve(x: Tensor, weight: Tensor, up: bool) -> Tensor:
    functions = _current().convolutions
    y: Tensor
    if up:
        y = functions.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    else:
        y = functions.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return y


register_backend(
    "stylegan",
    obstacle=_obstacle,
    kernels={"bias_act": _bias_act, "convolve": _convolve, "upfirdn2d": _upfirdn2d},
    prepare=_current,
    describe=_describe,
)
