# SPDX-License-Identifier: Apache-2.0
"""How long the package takes to import, the command to say what it does, and one image to be segmented."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row
from monai_semigan.bundles import bundle_root
from monai_semigan.io.image_file import find_images

__all__ = ["start_up_rows"]

BUNDLE = "lung_cxr_segmentation"


def start_up_rows(*, repeats: int) -> Iterator[Row]:
    """Measure CPU seconds, the smallest of some runs: what a machine does beside only adds."""
    imports = "import time; t = time.process_time(); import monai_semigan; print(time.process_time() - t)"
    yield _row("import monai_semigan", min(float(_run("-c", imports)) for _ in range(repeats)))
    yield _row("semigan --help", min(_cpu_seconds("-m", "monai_semigan.cli.main", "--help") for _ in range(repeats)))
    image = find_images([bundle_root(BUNDLE) / "samples" / "images"])[0]
    with tempfile.TemporaryDirectory() as folder:
        command = ("-m", "monai_semigan.cli.main", "segment", str(image), "-b", BUNDLE, "-o", f"{folder}/out")
        yield _row("semigan segment, one image", _cpu_seconds(*command))


def _row(task: str, seconds: float) -> Row:
    return Row.of(task, 0, 0, {"ours": seconds}, unit="CPU-s", base="")


def _cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(*arguments: str) -> str:
    # Elsewhere than in the checkout, whose folders would hide the installed package.
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(folder)).stdout
