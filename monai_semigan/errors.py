# SPDX-License-Identifier: Apache-2.0
"""Every exception this package raises on purpose, and the shape check behind most of them.

SemiGanError
├── ShapeError (also ValueError)      a tensor does not have the documented shape
├── ConfigError (also ValueError)     a setting is unknown, missing or contradictory
├── InputError (also ValueError)      an image, label or data list cannot be used as it is
│   └── OutOfDistributionError        it is unlike what the bundle was made for, and was to be refused
├── GeometryError (also ValueError)   slices or affines that do not form one volume
├── CheckpointError                   weights that do not fit the network they are loaded into
├── BundleError                       a bundle folder is incomplete, altered or not to be trusted
├── TrainingError (also RuntimeError) a training run cannot go on, for example after NaN
├── OutputError (also OSError)        a result cannot be written where it was asked for
├── PeerError (also OSError)          another system, such as a PACS, cannot be reached or refuses
└── BackendError (also RuntimeError)  a compute backend was asked for and cannot run here
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BackendError",
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "GeometryError",
    "InputError",
    "OutOfDistributionError",
    "OutputError",
    "PeerError",
    "SemiGanError",
    "ShapeError",
    "TrainingError",
    "check_shape",
]


class SemiGanError(Exception):
    """Base of all errors that this package raises on purpose."""


class ShapeError(SemiGanError, ValueError):
    """A tensor does not have the documented shape."""


class ConfigError(SemiGanError, ValueError):
    """A setting is unknown, missing or contradictory."""


class InputError(SemiGanError, ValueError):
    """An image, label or data list cannot be used as it is."""


class OutOfDistributionError(InputError):
    """An image is unlike those that the bundle was made for, and such are to be refused."""


class GeometryError(SemiGanError, ValueError):
    """Slices or affines do not form one volume."""


class CheckpointError(SemiGanError):
    """Weights do not fit the network that they are loaded into."""


class BundleError(SemiGanError):
    """A bundle folder is incomplete, altered or not to be trusted."""


class TrainingError(SemiGanError, RuntimeError):
    """A training run cannot go on."""


class OutputError(SemiGanError, OSError):
    """A result cannot be written where it was asked for."""


class PeerError(SemiGanError, OSError):
    """Another system, such as a PACS, cannot be reached or refuses.

    Args:
        text: What happened.
        is_final: It refuses for good: the same again will not help.
    """

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


class BackendError(SemiGanError, RuntimeError):
    """A compute backend was asked for and cannot run here."""


def check_shape(name: str, shape: Sequence[int], expected: str) -> dict[str, int]:
    """Match a shape against a pattern such as ``"N C H W"``.

    Args:
        name: What the tensor is called in the error message.
        shape: The shape that came.
        expected: One word per axis: a number fixes the size, a letter binds it (the same letter, the same size).

    Returns:
        The size bound to each letter.

    Raises:
        ShapeError: The number of axes or one of the sizes differs.
    """
    axes = expected.split()
    bound: dict[str, int] = {}
    fits = len(axes) == len(shape) and all(
        size == (int(axis) if axis.isdigit() else bound.setdefault(axis, size))
        for axis, size in zip(axes, shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"`{name}` must have shape ({', '.join(axes)}), got {tuple(shape)}.")
    return bound
