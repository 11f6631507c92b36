# SPDX-License-Identifier: Apache-2.0
"""An independent judge of DICOM files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KINDS = (
    "Segmentation",
    "SCImage",
    "Comprehensive3DSR",
    "ParametricMap",
    "GrayscaleSoftcopyPresentationState",
    "ColorSoftcopyPresentationState",
)
"""How dciodvfy calls what it took a file for."""


@pytest.fixture
def verify(integration: Any) -> Callable[[Path], list[str]]:
    """Let dciodvfy look at a file, as a kind of object that it knows; return its error lines."""

    def run(path: Path) -> list[str]:
        found = subprocess.run([integration("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        lines = (found.stdout + found.stderr).splitlines()
        assert any(line.strip() in KINDS for line in lines), lines
        return [line for line in lines if line.startswith("Error")]

    return run
