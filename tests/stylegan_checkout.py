# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a checkout of NVIDIA's StyleGAN2-ADA-PyTorch or StyleGAN3: the published interface over our own ops.

Its `cuda` path is a plugin that fails to build in the way that the version fails: the older one warns and goes on with
its definition, the newer one raises. ``builds`` makes it succeed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

__all__ = ["write_checkout"]

CUSTOM_OPS = """
verbosity = "brief"
attempts = []

def get_plugin(module_name):
    attempts.append(module_name)
    if verbosity != "none":
        print("Setting up PyTorch plugin", module_name)
    if not {builds}:
        raise RuntimeError("Could not find nvcc\\nInstall the CUDA toolkit.")
    return object()
"""

INIT_ADA = """
import warnings
_inited = False
_plugin = None

def _init():
    global _inited, _plugin
    if not _inited:
        _inited = True
        try:
            _plugin = custom_ops.get_plugin("{op}_plugin")
        except Exception as error:
            warnings.warn("Failed to build CUDA kernels. Details:\\n\\nRuntimeError: " + str(error))
    return _plugin is not None
"""

INIT_3 = """
_plugin = None

def _init():
    global _plugin
    if _plugin is None:
        _plugin = custom_ops.get_plugin("{op}_plugin")
    return True
"""

UPFIRDN2D = """
import torch
from monai_semigan.ops.upfirdn2d import upfirdn2d as ours
from .. import custom_ops
from .. import misc
from . import conv2d_gradfix
calls = []

def setup_filter(f, device=torch.device("cpu"), normalize=True, flip_filter=False, gain=1, separable=None):
    f = torch.as_tensor(f, dtype=torch.float32)
    assert f.ndim == 1
    f = f.ger(f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip([0, 1])
    return (f * gain).to(device=device)

def upfirdn2d(x, f, up=1, down=1, padding=0, flip_filter=False, gain=1, impl="cuda"):
    assert x.ndim == 4 and f.dtype == torch.float32 and f.ndim == 2 and impl in ("ref", "cuda")
    calls.append(impl)
    x0, x1, y0, y1 = padding
    assert (x0, x1) == (y0, y1)
    taps = f.sum(0) / f.sum().sqrt()
    return ours(x, taps.flip(0) if flip_filter else taps, up=up, down=down, padding=(x0, x1), gain=gain,
                backend="reference")
"""

BIAS_ACT = """
import torch
from .. import custom_ops
from .. import misc
calls = []

def bias_act(x, b=None, dim=1, act="linear", alpha=None, gain=None, clamp=None, impl="cuda"):
    assert clamp is None and impl in ("ref", "cuda")
    calls.append(impl)
    if b is not None:
        assert b.dtype == x.dtype and b.ndim == 1
        x = x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    if act == "lrelu":
        x = torch.nn.functional.leaky_relu(x, 0.2 if alpha is None else alpha)
        gain = 2**0.5 if gain is None else gain
    else:
        assert act == "linear" and alpha is None
    return x if gain is None else x * gain
"""

CONV2D_GRADFIX = """
import torch
enabled = False
calls = []

def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    calls.append("conv2d")
    return torch.nn.functional.conv2d(input, weight, bias, stride, padding, dilation, groups)

def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    calls.append("conv_transpose2d")
    return torch.nn.functional.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
"""


def write_checkout(folder: Path, version: Literal["StyleGAN2-ADA", "StyleGAN3"], *, builds: bool = False) -> Path:
    """Write the files into ``folder``, which is returned."""
    init = INIT_ADA if version == "StyleGAN2-ADA" else INIT_3
    files = {
        "dnnlib/__init__.py": "from .util import EasyDict",
        "dnnlib/util.py": "class EasyDict(dict): ...",
        "torch_utils/__init__.py": "",
        "torch_utils/custom_ops.py": CUSTOM_OPS.format(builds=builds),
        "torch_utils/misc.py": f"import dnnlib\nVERSION = '{version}'",
        "torch_utils/ops/__init__.py": "",
        "torch_utils/ops/conv2d_gradfix.py": CONV2D_GRADFIX,
        "torch_utils/ops/conv2d_resample.py": "",
        "torch_utils/ops/upfirdn2d.py": UPFIRDN2D + init.format(op="upfirdn2d"),
        "torch_utils/ops/bias_act.py": BIAS_ACT + init.format(op="bias_act"),
    }
    if version == "StyleGAN3":
        files["torch_utils/ops/filtered_lrelu.py"] = ""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
