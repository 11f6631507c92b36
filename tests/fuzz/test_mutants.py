# SPDX-License-Identifier: Apache-2.0
"""A sample of damaged files: each is read or refused in one line, within its time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_thousand_damaged_files_are_read_or_refused():
    script = Path(__file__).with_name("mutate.py")
    command = [sys.executable, "-P", str(script), "--count", "1000"]

    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"read"' in done.stdout and '"refused"' in done.stdout
