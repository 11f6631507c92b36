"""The kernels' results and gradients on a CPU, in processes of their own where Triton interprets instead of compiles.

By hand: ``TRITON_INTERPRET=1 pytest tests/unit/ops/triton/interpreted``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

FOLDER = Path(__file__).with_name("interpreted")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="these tests run beside this one")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("test_*.py")), ids=lambda path: path.stem)
def test_interpreted(path):
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    result = subprocess.run(
        command,
        env=environment | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0 and " passed" in result.stdout, result.stdout + result.stderr
