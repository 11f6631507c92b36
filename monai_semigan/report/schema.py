# SPDX-License-Identifier: Apache-2.0
"""What ``case.json`` and ``report.json`` hold, as JSON Schema for whoever reads them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Literal

from monai_semigan.errors import OutputError

__all__ = ["check_json", "load_schema"]

SchemaName = Literal["case", "report"]


def load_schema(name: SchemaName) -> dict[str, Any]:
    """Return the schema of ``case.json`` or ``report.json``.

    The version stands in its ``properties.schema.const``; that of a report refers to that of a case by its ``$id``.
    """
    text = (resources.files("monai_semigan.report") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_json(name: SchemaName, content: Any) -> None:
    """Check that content is what the schema says.

    Raises:
        OutputError: It is not; with the place and the reason.
    """
    from jsonschema import Draft202012Validator  # noqa: PLC0415  (0.2 s to import)
    from referencing import Registry, Resource  # noqa: PLC0415  (a part of jsonschema)

    registry = Registry().with_resources([("case.schema.json", Resource.from_contents(load_schema("case")))])
    errors = Draft202012Validator(load_schema(name), registry=registry).iter_errors(content)
    worst = next(iter(sorted(errors, key=lambda error: list(map(str, error.absolute_path)))), None)
    if worst is not None:
        place = "/".join(str(part) for part in worst.absolute_path) or "the top"
        raise OutputError(f"`{name}.json` must follow its schema, but at {place}: {worst.message:.200}.")
