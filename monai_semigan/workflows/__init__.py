# SPDX-License-Identifier: Apache-2.0
"""The Python API: one function per task.

``segment`` images with a bundle, ``evaluate`` label maps against references, ``train_gan`` and ``train_encoder`` on
your own data, ``convert`` weights trained elsewhere to start from, ``pack`` the result into a bundle, ``tune`` its
steps, ``sample`` a generator, ``list_series`` of DICOM, ``prepare`` a public data set or ``prepare_phantom``s to train
on. Each is imported on first use, so that this package stays quick to import.
(Modules have other names than functions: importing a module would otherwise hide the function of its name.)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_semigan.workflows.converting import convert
    from monai_semigan.workflows.evaluating import evaluate
    from monai_semigan.workflows.packing import pack
    from monai_semigan.workflows.preparing import prepare, prepare_phantom
    from monai_semigan.workflows.sampling import sample
    from monai_semigan.workflows.segmenting import segment
    from monai_semigan.workflows.series_listing import list_series
    from monai_semigan.workflows.train import train_encoder, train_gan
    from monai_semigan.workflows.tuning import tune

__all__ = [
    "convert",
    "evaluate",
    "list_series",
    "pack",
    "prepare",
    "prepare_phantom",
    "sample",
    "segment",
    "train_encoder",
    "train_gan",
    "tune",
]

_MODULES = {
    "convert": "converting",
    "evaluate": "evaluating",
    "list_series": "series_listing",
    "pack": "packing",
    "prepare": "preparing",
    "prepare_phantom": "preparing",
    "sample": "sampling",
    "segment": "segmenting",
    "train_encoder": "train",
    "train_gan": "train",
    "tune": "tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
