# SPDX-License-Identifier: Apache-2.0
"""`semigan train`: what it refuses before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError


@pytest.mark.parametrize("stage", ["gan", "encoder"])
def test_a_run_that_is_not_there_cannot_be_resumed(stage: str, tmp_path: Path) -> None:
    arguments = ["train", stage, str(tmp_path / "run"), "-b", "lung_cxr_segmentation", "--data", "d.json", "--resume"]

    result = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert isinstance(result.exception, ConfigError), result.exception
    assert "run` must hold a run to resume, but holds none. Leave out --resume" in str(result.exception)
    assert not (tmp_path / "run").exists()
