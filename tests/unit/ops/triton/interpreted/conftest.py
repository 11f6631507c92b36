"""Small tiles, so that small maps need several."""

from __future__ import annotations

import pytest

from monai_semigan.ops.backends.triton import launch


@pytest.fixture
def many_tiles(monkeypatch):
    for name, value in (("TILE", 8), ("TILE_ROWS", 2), ("TILE_PLANES", 2)):
        monkeypatch.setattr(launch, name, value)
