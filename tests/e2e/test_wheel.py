# SPDX-License-Identifier: Apache-2.0
"""Wheel and sdist hold everything, say what they are, and work outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

import monai_semigan
from monai_semigan.bundles import list_bundles

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
MAX_BYTES = 90e6
"""An index refuses files of 100 MB."""

SOURCES = ("monai_semigan", "cli", "bundles", "tests", "docs", "pyproject.toml", "MANIFEST.in", "LICENSE", "NOTICE")
SOURCES += ("README.md", "CHANGELOG.md", "CITATION.cff", "constraints.txt")


def run(*command: object, cwd: Path) -> str:
    """Run a program that knows nothing of the checkout, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, made of the sdist, and the sdist. Built on a copy, as setuptools leaves folders behind."""
    copy, made = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", made, cwd=copy)
    (wheel,), (sdist,) = made.glob("*.whl"), made.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_says_what_it_is(built: tuple[Path, Path]) -> None:
    wheel, _ = built
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        folder = f"monai_semigan-{monai_semigan.__version__}.dist-info"
        metadata = message_from_string(archive.read(f"{folder}/METADATA").decode())

    assert wheel.stat().st_size < MAX_BYTES
    assert metadata["Name"] == "monai_semigan" and metadata["Version"] == monai_semigan.__version__
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == project["license"]
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    plain = [need for need in metadata.get_all("Requires-Dist") if "extra ==" not in need]
    assert len(plain) == len(project["dependencies"])
    licences = metadata.get_all("License-File")
    assert {f"{folder}/licenses/{name}" for name in licences} <= names
    wanted = {path.relative_to(ROOT).as_posix() for pattern in project["license-files"] for path in ROOT.glob(pattern)}
    assert set(licences) == wanted and {"LICENSE", "NOTICE"} <= wanted
    assert {f"monai_semigan/bundles/{name}/LICENSE" for name in list_bundles()} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]


def test_the_sdist_is_whole_and_no_larger_than_an_index_takes(built: tuple[Path, Path]) -> None:
    _, sdist = built

    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert sdist.stat().st_size < MAX_BYTES
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "docs/index-page.md", "cli/main.py"} <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_the_installed_wheel_segments(built: tuple[Path, Path], tmp_path: Path) -> None:
    """In an environment that takes the dependencies from this one, and this package from the wheel alone."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "bare" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", tmp_path / "bare" / "bin" / "python", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", built[0], cwd=tmp_path)
    semigan = tmp_path / "bare" / "bin" / "semigan"

    told = run(semigan, "info", cwd=tmp_path)
    bundle = Path(run(semigan, "info", "--path", "lung_cxr_segmentation", cwd=tmp_path).strip())
    image = next((bundle / "samples" / "images").iterdir())
    run(semigan, "segment", image, "-b", "lung_cxr_segmentation", "-o", "out", "--steps", "0", cwd=tmp_path)

    assert all(name in told for name in list_bundles())
    assert bundle.is_relative_to(site)
    assert (tmp_path / "out" / image.stem / "label.png").is_file() and (tmp_path / "out" / "report.html").is_file()
