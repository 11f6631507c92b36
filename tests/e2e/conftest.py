"""A bundle whose labels are known, and one browser for all tests that look at pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from copy_model import CopyNetwork

from monai_semigan.bundle import serving
from monai_semigan.domains.abdomen import CtSlicePreset

SIZE = 32

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
"""The rules of accessibility of axe-core."""


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program is not None
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def browser(integration: Callable[[str], str], request: pytest.FixtureRequest) -> Browser:
    """A browser at the size of a desktop, in light colors; the test is skipped where there is none."""
    integration("chromium")
    found: Browser = request.getfixturevalue("shared_browser")
    found.resize(1200, 900)
    found.prefer("light")
    return found


@pytest.fixture
def axe() -> Callable[[Browser], list[dict[str, Any]]]:
    """Find what a page breaks of the rules of axe-core."""

    def check(page: Browser) -> list[dict[str, Any]]:
        page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        page.run(AXE.read_text() + "; 0")
        found: list[dict[str, Any]] = json.loads(page.run("axe.run().then((made) => JSON.stringify(made.violations))"))
        return found

    return check


@pytest.fixture
def copying(monkeypatch, volume_bundle: Path) -> Path:
    """A bundle whose network copies whole slices: what is above the middle of the window is liver."""
    monkeypatch.setattr(serving, "load_network", lambda *_, **__: CopyNetwork(SIZE))
    monkeypatch.setattr(
        CtSlicePreset, "frames", lambda self, slices, **_: [(0, SIZE, 0, SIZE)] * len(slices), raising=True
    )
    return volume_bundle
