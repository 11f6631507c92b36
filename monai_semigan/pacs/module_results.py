# SPDX-License-Identifier: Apache-2.0
"""Move finished results into a container's output: all of them, or after a fault none.

The names are written down in a hidden file first. What a killed task had moved is found by it and removed by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from monai_semigan.atomic import is_elsewhere, remove_stale
from monai_semigan.errors import InputError, OutputError, SemiGanError
from monai_semigan.files import read_json, write_json
from monai_semigan.io.dicom.file import open_dicom

__all__ = ["RESULT_NAME", "SCRATCH_NAME", "moves_of_dicom", "moves_of_folder", "publish", "require_free"]

RESULT_NAME = "result.json"

SCRATCH_NAME = "module"
"""Of the hidden folder in the output in which results are made."""

MOVED_NAME = ".semigan-moved.json"
"""Names that a task is moving into the output."""

MAX_MOVED_BYTES = 2**24


def require_free(output: Path) -> None:
    """Remove what killed tasks left in the output, and refuse one that holds anything else; hidden files aside.

    Raises:
        OutputError: There is something, another task works there, or what was left cannot be removed.
    """
    remove_stale(output)
    for path in output.glob(f".{SCRATCH_NAME}.*.tmp"):
        if not is_elsewhere(path.suffixes[-2].lstrip(".")):
            raise OutputError(f"`{output}` must be of one task, but another one works there. Give each its own.")
        _remove(path)  # a container that is started again is another machine, and the output is of one task alone
    noted = output / MOVED_NAME
    if noted.exists():
        for name in _noted_names(noted):
            _remove(output / name)
        _remove(noted)
    if any(not path.name.startswith(".") for path in output.iterdir()):
        raise OutputError(f"`{output}` must be empty, but is not. Give every task an output folder of its own.")


def moves_of_dicom(made: Path) -> dict[str, Path]:
    """Name the DICOM objects of all cases ``SERIES#INSTANCE.dcm``.

    Raises:
        OutputError: One cannot be read back.
    """
    moves: dict[str, Path] = {}
    for path in sorted(made.glob("*/*.dcm")):
        try:
            file = open_dicom(path)
        except InputError as error:
            raise OutputError("A result must be DICOM, but cannot be read back. Is the disk full?") from error
        if file is None:
            raise OutputError("A result must be DICOM, but is none. Choose formats that are.")
        moves[f"{file.header.SeriesInstanceUID}#{file.header.SOPInstanceUID}.dcm"] = path
    return moves


def moves_of_folder(made: Path) -> dict[str, Path]:
    """Name the cases' folders and the report as they are."""
    return {path.name: path for path in sorted(made.iterdir()) if not path.name.startswith(".")}


def publish(moves: Mapping[str, Path], result: Path, output: Path) -> None:
    """Move everything into the output by renaming, ``result.json`` last.

    Args:
        moves: What is moved, by its new name.
        result: The finished ``result.json``, on the same file system.
        output: The folder.

    Raises:
        OutputError: It cannot be done, and nothing is left there.
    """
    noted = output / MOVED_NAME
    write_json(noted, [*moves, RESULT_NAME])
    try:
        for name, path in moves.items():
            path.rename(output / name)
        result.rename(output / RESULT_NAME)
        noted.unlink()
    except BaseException as error:
        for name in (*moves, RESULT_NAME, MOVED_NAME):
            with suppress(OutputError):
                _remove(output / name)
        if isinstance(error, OSError):
            raise OutputError(f"The results could not be moved into `{output}`: {error.strerror}.") from error
        raise


def _noted_names(noted: Path) -> list[str]:
    try:
        names: Any = read_json(noted, MAX_MOVED_BYTES)
    except SemiGanError as error:
        raise OutputError(f"`{noted.parent}` must be empty, but an earlier task ended in it. Empty it.") from error
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [name for name in known if name == Path(name).name and name not in ("", ".", "..")]


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"`{path.parent}` must be a folder that can be written: {error.strerror}.") from error
