"""The package's list of parts and data is complete."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

import monai_semigan

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed(project: dict[str, object]) -> None:
    tree = {"monai_semigan", "monai_semigan.cli", "monai_semigan.bundles"}
    for path in (ROOT / "monai_semigan").glob("*/**/__init__.py"):
        tree.add(".".join(path.parent.relative_to(ROOT).parts))

    assert set(project["tool"]["setuptools"]["packages"]) == tree


def test_every_folder_with_modules_is_a_package() -> None:
    for path in (ROOT / "monai_semigan").rglob("*.py"):
        assert (path.parent / "__init__.py").exists(), path


def test_package_data_match_files(project: dict[str, object]) -> None:
    folders = {
        "monai_semigan": "monai_semigan",
        "monai_semigan.report": "monai_semigan/report",
        "monai_semigan.bundles": "bundles",
    }
    for package, patterns in project["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list((ROOT / folders[package]).glob(pattern)), f"{package}: {pattern}"


def test_the_version_has_one_source() -> None:
    assert version("monai_semigan") == monai_semigan.__version__


def test_modules_start_with_licence_and_purpose() -> None:
    for folder in ("monai_semigan", "cli", "bundles", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            lines = path.read_text().splitlines()
            if lines:
                assert lines[0] == "# SPDX-License-Identifier: Apache-2.0", path
                assert lines[1].startswith(('"""', 'r"""')), path


def test_programs_of_others_are_as_they_were_released() -> None:
    folder = ROOT / "monai_semigan" / "report" / "vendor"
    for description in folder.glob("*.json"):
        facts = json.loads(description.read_text())
        program = folder / facts["file"]

        assert sha256(program.read_bytes()).hexdigest() == facts["sha256"]
        assert facts["version"] in (folder / f"{program.stem}.LICENSE.txt").read_text().splitlines()[0]
        assert f"{facts['name']} {facts['version']}" in (ROOT / "NOTICE").read_text()
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {"niivue"}
