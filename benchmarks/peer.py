# SPDX-License-Identifier: Apache-2.0
"""The official SemanticGAN generator from the user's own checkout, with our weights in it.

That code is not part of this project and its licence forbids most uses but research; it is read from where the user
put it. It builds CUDA code when it is imported, so that step is replaced by a stand-in that refuses to be used, and its
own branches for the CPU do the work. Nothing of it stays behind: neither modules nor search paths.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from torch import Tensor, nn

from monai_semigan.errors import CheckpointError, InputError
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.synthesis import OutputHead, StyledConv

__all__ = ["official_generator", "official_state"]

MODULE = "models.stylegan2_seg"
CLASS = "GeneratorSeg"


def official_generator(checkout: Path, generator: Generator) -> nn.Module:
    """Build the official network as large as ours, and give it our weights.

    Raises:
        InputError: The folder is no checkout, or cannot be imported.
        CheckpointError: The checkout's network has other weights than ours.
    """
    if not (checkout / Path(*MODULE.split("."))).with_suffix(".py").is_file():
        raise InputError(f"`{checkout}` must be a checkout of semanticGAN_code with models/stylegan2_seg.py.")
    synthesis = generator.synthesis
    with _isolated(checkout) as module:
        wanted = {
            "size": synthesis.image_size,
            "style_dim": synthesis.w_dim,
            "n_mlp": len(generator.mapping.layers),
            "seg_dim": synthesis.num_classes,
            "image_mode": "L" if synthesis.image_channels == 1 else "RGB",
        }
        network: nn.Module = getattr(module, CLASS)(**_known(getattr(module, CLASS), wanted))
    state = official_state(generator)
    expected = network.state_dict()
    # Filters are constants of the program, not weights.
    wrong = {key for key in expected.keys() - state.keys() if not key.endswith(".kernel")} | state.keys() - expected
    wrong |= {key for key in state.keys() & expected if state[key].shape != expected[key].shape}
    if wrong:
        raise CheckpointError(f"`{checkout}` must have the published network, but differs in {sorted(wrong)[:5]}.")
    network.load_state_dict(state, strict=False)
    return network


def official_state(generator: Generator) -> dict[str, Tensor]:
    """Return our weights under the official names and shapes."""
    state: dict[str, Tensor] = {}
    for index, layer in enumerate(generator.mapping.layers):
        state |= {f"style.{index + 1}.{name}": value for name, value in layer.state_dict().items()}
    state["input.input"] = generator.synthesis.const
    noise = 0
    for index, block in enumerate(generator.synthesis.blocks):
        convs = [("conv1", block.conv)] if index == 0 else []
        if block.conv_up is not None:
            convs = [(f"convs.{2 * index - 2}", block.conv_up), (f"convs.{2 * index - 1}", block.conv)]
        for name, conv in convs:
            state |= _conv(name, conv)
            state[f"noises.noise_{noise}"] = conv.noise_const
            noise += 1
        for kind, head in (("rgb", block.to_image), ("seg", block.to_label)):
            state |= _head(f"to_{kind}1" if index == 0 else f"to_{kind}s.{index - 1}", head)
    return {key: value.detach() for key, value in state.items()}


def _conv(name: str, conv: StyledConv) -> dict[str, Tensor]:
    return {
        f"{name}.conv.weight": conv.weight[None],
        f"{name}.conv.modulation.weight": conv.affine.weight,
        f"{name}.conv.modulation.bias": conv.affine.bias,
        f"{name}.noise.weight": conv.noise_strength[None],
        f"{name}.activate.bias": conv.bias,
    }


def _head(name: str, head: OutputHead) -> dict[str, Tensor]:
    return {
        f"{name}.bias": head.bias[None, :, None, None],
        f"{name}.conv.weight": head.weight[None],
        f"{name}.conv.modulation.weight": head.affine.weight,
        f"{name}.conv.modulation.bias": head.affine.bias,
    }


def _known(kind: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(kind).parameters
    return {name: value for name, value in wanted.items() if name in known}


@contextmanager
def _isolated(checkout: Path) -> Iterator[ModuleType]:
    """Import the module; then forget it and its neighbours, and restore what they had replaced."""
    top = MODULE.partition(".")[0]
    mine = [name for name in sys.modules if name.partition(".")[0] == top]
    hidden = {name: sys.modules.pop(name) for name in mine}
    path = list(sys.path)
    sys.path.insert(0, str(checkout))
    try:
        import torch.utils.cpp_extension  # noqa: PLC0415  (slow, and only needed here)

        with mock.patch.object(torch.utils.cpp_extension, "load", lambda name, *_, **__: _Refusing(name)):
            try:
                module = importlib.import_module(MODULE)
            except Exception as error:  # running foreign code may raise anything
                raise InputError(f"`{checkout}` could not be imported: {type(error).__name__}: {error}.") from error
        yield module
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == top]:
            del sys.modules[name]
        sys.modules |= hidden


class _Refusing:
    """Stands for a CUDA extension that was not built."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        raise InputError(f"The CUDA extension `{self.name}` was asked for `{attribute}` on the CPU.")
