# SPDX-License-Identifier: Apache-2.0
"""The choice of a backend."""

from __future__ import annotations

import pytest

from monai_semigan.errors import BackendError
from monai_semigan.ops.backend import describe_backends, resolve_backend


def test_auto_chooses_and_a_name_stays():
    assert resolve_backend("auto") == "torch"
    assert resolve_backend("torch") == "torch"
    assert resolve_backend("reference") == "reference"


def test_an_unknown_backend_names_the_known_ones():
    with pytest.raises(BackendError, match="`backend` must be one of auto, reference, torch, got 'fast'"):
        resolve_backend("fast")


def test_every_backend_is_described():
    assert set(describe_backends()) == {"reference", "torch"}
