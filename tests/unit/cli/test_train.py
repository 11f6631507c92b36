# SPDX-License-Identifier: Apache-2.0
"""`semigan train`: what it refuses before any work."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from monai_semigan.cli.main import cli, module_of
from monai_semigan.errors import ConfigError


@pytest.mark.parametrize("stage", ["gan", "encoder"])
def test_a_run_that_is_not_there_cannot_be_resumed(stage: str, tmp_path: Path) -> None:
    arguments = ["train", stage, str(tmp_path / "run"), "-b", "lung_cxr_segmentation", "--data", "d.json", "--resume"]

    result = CliRunner().invoke(cli, arguments, standalone_mode=False)

    assert isinstance(result.exception, ConfigError), result.exception
    assert "run` must hold a run to resume, but holds none. Leave out --resume" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "largest"),
    [("fit", 2**31), ("adapt", 2**31), ("synthesize", 2**62), ("audit-memory", 2**62), ("site-report", 2**62)],
)
def test_a_command_takes_the_seeds_of_its_settings(name: str, largest: int) -> None:
    command: click.Command = import_module(module_of(name)).command
    (seed,) = (option for option in command.params if option.name == "seed")

    assert seed.type.convert(str(largest), seed, None) == largest
    for wrong in (-1, largest + 1):
        with pytest.raises(click.BadParameter):
            seed.type.convert(str(wrong), seed, None)
