# SPDX-License-Identifier: Apache-2.0
"""``semigan info``: what it tells people, and what it tells scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from monai_semigan import __version__
from monai_semigan.bundle import bundle as bundle_module
from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.cli.info import command
from monai_semigan.errors import BundleError
from monai_semigan.ops.backend import describe_backends


def test_scripts_get_one_object() -> None:
    result = CliRunner().invoke(command, ["--json"])

    facts = json.loads(result.stdout)
    assert facts["versions"]["monai_semigan"] == __version__
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["devices"]["cpu_threads"] == torch.get_num_threads()
    assert len(facts["devices"]["cuda"]) == torch.cuda.device_count()
    assert facts["op_backends"] == describe_backends()
    assert set(facts["bundles"]) == set(list_bundles())
    for entry in facts["bundles"].values():
        assert set(entry) == {"version", "state", "task", "takes", "terms", "folder", "digest"}
        assert len(entry["digest"]) == 64 and Path(entry["folder"], "configs", "metadata.json").is_file()


def test_the_folder_of_a_bundle_is_all_that_path_prints() -> None:
    result = CliRunner().invoke(command, ["--path", "lung_cxr_segmentation"])

    assert result.stdout == f"{bundle_root('lung_cxr_segmentation')}\n"


def test_people_get_lines() -> None:
    lines = CliRunner().invoke(command).stdout.splitlines()

    assert [line for line in lines if not line.startswith("  ")] == ["versions", "devices", "op backends", "bundles"]
    assert f"  monai_semigan: {__version__}" in lines
    for name in list_bundles():
        assert any(line.startswith(f"  {name}: ") and "digest" in line for line in lines)


def test_people_read_which_backend_runs_and_why_not_another() -> None:
    lines = CliRunner().invoke(command).stdout.splitlines()

    first = lines.index("op backends")
    assert lines[first + 1].startswith("  auto: cpu: torch")
    assert lines[first + 3].startswith("  torch: cpu: runs")
    assert lines[first + 5].startswith("  stylegan: cpu: does not run: no checkout of StyleGAN2-ADA-PyTorch")


def test_a_spoilt_bundle_is_named_and_does_not_hide_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise BundleError("`format` must be 1, got 2.")

    monkeypatch.setattr(bundle_module, "open_bundle", refuse)

    result = CliRunner().invoke(command)

    assert result.exit_code == 0
    assert "unusable: `format` must be 1, got 2." in result.stdout
    assert f"monai_semigan: {__version__}" in result.stdout
