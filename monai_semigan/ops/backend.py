# SPDX-License-Identifier: Apache-2.0
"""Which implementation of an op runs, and why not another."""

from __future__ import annotations

from typing import Literal, get_args

from monai_semigan.errors import BackendError

__all__ = ["Backend", "describe_backends", "resolve_backend"]

Backend = Literal["auto", "reference", "torch"]
"""``reference`` is the definition, slow and easy to check; ``torch`` is fast on any device and can be exported."""


def resolve_backend(backend: Backend) -> Literal["reference", "torch"]:
    """Turn ``auto`` into the backend that runs; a named backend never changes silently.

    Raises:
        BackendError: The name is unknown.
    """
    if backend not in get_args(Backend):
        names = ", ".join(get_args(Backend))
        raise BackendError(f"`backend` must be one of {names}, got {backend!r}. Use backend='auto'.")
    return "reference" if backend == "reference" else "torch"


def describe_backends() -> dict[str, str]:
    """Say for each backend whether it can run here, as text for `semigan info`."""
    return {"torch": "available (runs by default)", "reference": "available (the definition, for tests)"}
