# SPDX-License-Identifier: Apache-2.0
"""Recognize the networks in a checkpoint by their keys, whatever the names they were saved under."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from monai_semigan.errors import CheckpointError

__all__ = ["KINDS", "FoundNetwork", "Kind", "find_networks"]

Kind = Literal["semanticgan", "rosinality", "stylegan2-ada"]
KINDS: tuple[Kind, ...] = ("semanticgan", "rosinality", "stylegan2-ada")
"""What can be converted."""

SIGNS: tuple[tuple[str, str, str], ...] = (
    (r"to_seg(1|s\.)", "semanticgan", "generator"),
    (r"input\.input$|to_rgb(1|s\.)", "rosinality", "generator"),
    (r"scale\d+_layer\d", "semanticgan", "d_pair"),
    (r"FPN_module\.", "semanticgan", "encoder"),
    (r"final_linear\.weight$", "semanticgan", "residual encoder"),
    (r"convs\.\d+\.(skip|conv2)\.", "rosinality", "d_image"),
    (r"synthesis\.b\d+\.", "stylegan2-ada", "generator"),
    (r"b\d+\.(fromrgb|conv0|conv1|skip|fc|out)\.", "stylegan2-ada", "d_image"),
    (r"synthesis\.(L\d+_|input\.)", "StyleGAN3 (alias-free)", "generator"),
    (r"(generator\.)?synthesis\.(blocks\.|const$)|encoder\.stem\.", "monai_semigan", "generator"),
)
"""Pattern of a key, and what it is a sign of; the first that some key matches decides."""

SHARED_ROLES = ("d_image",)
"""Roles whose keys are the same in rosinality's and in the official SemanticGAN code."""


@dataclass(frozen=True)
class FoundNetwork:
    """A state dict in a checkpoint.

    Attributes:
        name: Its name there; empty for a checkpoint that is a bare state dict.
        role: What it is.
        tensors: Its content.
    """

    name: str
    role: str
    tensors: Mapping[str, Tensor]


def find_networks(content: Mapping[str, Any], *, kind: Kind, source: str) -> list[FoundNetwork]:
    """Return the networks of a checkpoint.

    Args:
        content: The loaded file: a state dict, or a dictionary of state dicts and other things.
        kind: What it should be.
        source: The file, for messages.

    Raises:
        CheckpointError: There is none, or they are of another kind; the message says which.
    """
    states = {"": content} if _is_state(content) else {key: part for key, part in content.items() if _is_state(part)}
    found, kinds = [], []
    for name, tensors in states.items():
        signs = _recognize(tensors)
        if signs is not None:
            found.append(FoundNetwork(str(name), signs[1], tensors))
            kinds.append(signs[0])
    surest = [kind for kind, network in zip(kinds, found, strict=True) if network.role not in SHARED_ROLES] or kinds
    if not found:
        keys = ", ".join(str(key) for key in list(content)[:5])
        raise CheckpointError(f"`{source}` must be a {kind} checkpoint, but no network was found; it holds {keys}.")
    actual = "semanticgan" if "semanticgan" in surest else surest[0]
    only_shared = all(network.role in SHARED_ROLES for network in found)
    if actual != kind and not (only_shared and {actual, kind} == {"semanticgan", "rosinality"}):
        raise CheckpointError(f"`{source}` must be a {kind} checkpoint, but looks like one of {_remedy(actual)}")
    if any(network.role == "residual encoder" for network in found):
        raise CheckpointError(
            f"`{source}` must have the pyramid encoder, but has the residual one, whose answer for an image depends on "
            "the others in its batch. Convert the GAN's file alone, then run `semigan train encoder`."
        )
    return found


def _recognize(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    for pattern, kind, role in SIGNS:
        if any(re.match(pattern, key) for key in tensors):
            return kind, role
    return None


def _remedy(kind: str) -> str:
    if kind in KINDS:
        return f"kind {kind}. Run `semigan convert {kind}`."
    if kind == "monai_semigan":
        return "this package, which needs no conversion."
    return f"kind {kind}, whose generator is another one and cannot be converted."


def _is_state(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and len(part) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in part.items())
    )
