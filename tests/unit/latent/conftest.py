# SPDX-License-Identifier: Apache-2.0
"""A tiny network, images for it, and a processor that may be said to be old."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def network(make_segmenter):
    return make_segmenter()


@pytest.fixture
def images():
    return torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.fixture
def bfloat16_hardware(monkeypatch):
    def pretend(obstacle: str | None) -> None:
        monkeypatch.setattr("monai_semigan.ops.precision.bfloat16_obstacle", lambda *_, **__: obstacle)

    return pretend
