# SPDX-License-Identifier: Apache-2.0
"""One way from JSON to settings and back: frozen dataclasses whose annotations are the only list of what is allowed.

.. code-block:: python

    @dataclass(frozen=True, kw_only=True)
    class Refinement:
        '''How a result is refined.

        Attributes:
            steps: Optimization steps.
        '''

        steps: Annotated[int, Range(0, 10_000)] = 50
        optimizer: Literal["adam", "lbfgs"] = "adam"

        def __post_init__(self) -> None:
            check_settings(self)

    read_settings(Refinement, {"steps": 20}, "inversion")     # from JSON
    json_schema(Refinement)                                   # for whoever writes the JSON

Understood are bool, int, float, str, Literal, ``X | None``, ``tuple[X, ...]`` and ``tuple[X, Y]`` (JSON lists),
mappings of names, other such dataclasses, `Path`, and Any. An object need not be complete: what it leaves out is as in
the default of its field, which may differ from the defaults of its class. A number may carry a `Range`, a text a
`Pattern`. Keys that begin with ``_`` are remarks and are passed over.
"""

from __future__ import annotations

from monai_semigan.settings.hints import Pattern, Range
from monai_semigan.settings.reading import check_settings, read_settings, to_json
from monai_semigan.settings.schema import json_schema

__all__ = ["Pattern", "Range", "check_settings", "json_schema", "read_settings", "to_json"]
