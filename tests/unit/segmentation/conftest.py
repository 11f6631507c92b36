# SPDX-License-Identifier: Apache-2.0
"""A network that copies, for what lies around networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from copy_model import CopyNetwork
from torch import nn


@pytest.fixture
def copy_network() -> Callable[[int], nn.Module]:
    """Build a copying network for squares of a size."""
    return CopyNetwork
