# SPDX-License-Identifier: Apache-2.0
"""How good label maps are: overlap, surface distances, and their summary per patient.

`score_label` scores two arrays; it is loaded on first use, so that this package stays quick to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_semigan.evaluation.case import LabelScore, score_label

__all__ = ["LabelScore", "score_label"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from monai_semigan.evaluation import case  # noqa: PLC0415  (scipy)

    return getattr(case, name)
