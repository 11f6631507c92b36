# SPDX-License-Identifier: Apache-2.0
"""Modules of a folder work, and nothing of them stays behind."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from monai_semigan.ops.isolated_import import isolated_import


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__init__.py").touch()
    (tmp_path / "tool" / "inner.py").write_text("import tool.other\ndef value(): return tool.other.VALUE")
    (tmp_path / "tool" / "other.py").write_text("VALUE = 7")
    return tmp_path


def test_a_module_works_after_it_left(folder):
    path, modules = list(sys.path), set(sys.modules)

    with isolated_import(folder, ["tool"]):
        inner = importlib.import_module("tool.inner")

    assert inner.value() == 7
    assert sys.path == path
    assert set(sys.modules) == modules


def test_another_module_of_the_same_name_is_hidden_and_comes_back(folder, monkeypatch):
    mine, submodule = ModuleType("tool"), ModuleType("tool.inner")
    monkeypatch.setitem(sys.modules, "tool", mine)
    monkeypatch.setitem(sys.modules, "tool.inner", submodule)

    with isolated_import(folder, ["tool"]):
        assert importlib.import_module("tool.inner") is not submodule

    assert sys.modules["tool"] is mine and sys.modules["tool.inner"] is submodule
    assert "tool.other" not in sys.modules


def test_a_failure_leaves_nothing_either(folder):
    (folder / "tool" / "inner.py").write_text("import sys, tool.other\nsys.path.append('x')\nraise ValueError")
    path = list(sys.path)

    with pytest.raises(ValueError), isolated_import(folder, ["tool"]):  # noqa: PT011  (no text to match)
        importlib.import_module("tool.inner")

    assert sys.path == path
    assert not [name for name in sys.modules if name.split(".")[0] == "tool"]


def test_a_name_that_only_begins_alike_is_left_alone(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "toolbox", ModuleType("toolbox"))

    with isolated_import(folder, ["tool"]):
        assert "toolbox" in sys.modules
