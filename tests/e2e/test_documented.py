# SPDX-License-Identifier: Apache-2.0
"""Notebooks and MONAI's command lines run as they stand, from an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
MONAI_PAGE = (ROOT / "docs" / "monai-bundle.md").read_text()
RUNNABLE = [block for block in re.findall(r"```sh\n(.*?)```", MONAI_PAGE, re.DOTALL) if "train" not in block]

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]

    names: dict[str, object] = {}
    for code in cells:
        exec(compile(code, str(path), "exec"), names)

    assert len(cells) > 4
    assert list((tmp_path / "out").rglob("case.json"))


@pytest.mark.parametrize("block", RUNNABLE, ids=range(len(RUNNABLE)))
def test_monai_commands_run_from_an_empty_folder(block: str, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    done = subprocess.run(
        ["bash", "-euc", block.replace("python ", "python -W ignore ")],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_there_are_commands() -> None:
    assert len(RUNNABLE) >= 3
    assert len(NOTEBOOKS) == 2
