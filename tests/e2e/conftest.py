"""A bundle whose labels are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from copy_model import CopyNetwork

from monai_semigan.bundle import serving
from monai_semigan.domains.abdomen import CtSlicePreset

SIZE = 32


@pytest.fixture
def copying(monkeypatch, volume_bundle: Path) -> Path:
    """A bundle whose network copies whole slices: what is above the middle of the window is liver."""
    monkeypatch.setattr(serving, "load_network", lambda *_, **__: CopyNetwork(SIZE))
    monkeypatch.setattr(
        CtSlicePreset, "frames", lambda self, slices, **_: [(0, SIZE, 0, SIZE)] * len(slices), raising=True
    )
    return volume_bundle
