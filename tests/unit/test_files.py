"""Results are written whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from monai_semigan.errors import OutputError
from monai_semigan.files import make_folder, write_bytes, write_json, write_text


def test_files_are_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for content in ("first", "sécond"):
        write_text(tmp_path / "a.txt", content)
    write_json(tmp_path / "b.json", {"x": [1, 2.5, None]})

    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "sécond"
    assert json.loads((tmp_path / "b.json").read_text()) == {"x": [1, 2.5, None]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.json"]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(OutputError, match=r"could not be written: No space left on device. Free some space"):
        write_bytes(tmp_path / "a.txt", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert make_folder(tmp_path / "a" / "b").is_dir() and not list((tmp_path / "a" / "b").iterdir())
    with pytest.raises(OutputError, match="must be a folder that can be written"):
        make_folder(tmp_path / "file" / "b")


def test_json_refuses_numbers_that_json_has_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())
