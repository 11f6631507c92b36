"""Results are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monai_semigan.errors import BundleError, InputError, OutputError, TrainingError
from monai_semigan.files import (
    RunLock,
    escaped,
    make_folder,
    read_json,
    read_regular,
    replacing_results,
    write_bytes,
    write_json,
    write_text,
)


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


def test_regular_files_are_read_up_to_their_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)

    assert read_regular(tmp_path / "a", 5) == read_regular(tmp_path / "link", 5) == b"12345"
    for name in ("a", "sparse"):
        with pytest.raises(InputError, match="must be at most 4 bytes"):
            read_regular(tmp_path / name, 4)


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "lost").symlink_to("nowhere")

    for name in ("pipe", "socket", "zeros", "."):
        with pytest.raises(BundleError, match="must be a regular file"):
            read_regular(tmp_path / name, 10, error=BundleError)
    with pytest.raises(InputError, match="must be a regular file"):  # which is a ValueError too
        read_regular(tmp_path / "pipe", 10)
    for name in ("lost", "lost/inner", "odd\0name", "x" * 300):
        with pytest.raises(InputError, match="must be a file that can be read"):
            read_regular(tmp_path / name, 10)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": NaN}', "1" * 5000, b"\xff"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(InputError, match="must be JSON, but is not"):
        read_json(tmp_path / "a.json", 1 << 20)


def test_names_cannot_steer_a_terminal() -> None:
    assert escaped("ü a\n\x1b[2J\u202e\udc80") == r"ü a\n\x1b[2J\u202e\udc80"
    assert len(escaped("x" * 1000)) == 203


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        with pytest.raises(TrainingError, match=rf"but process {os.getpid()} on .* works in it"), RunLock(tmp_path):
            pass
        (tmp_path / "other").mkdir()
        with RunLock(tmp_path / "other"):
            pass
    with RunLock(tmp_path):
        pass


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys; from monai_semigan.files import RunLock\n"
        "with RunLock(sys.argv[1]):\n    print('locked', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"locked\n"
        with pytest.raises(TrainingError, match=f"process {process.pid} on"), RunLock(tmp_path):
            pass
        process.kill()
        process.wait()

        with RunLock(tmp_path):
            pass


def test_a_lock_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".run.lock").symlink_to(tmp_path / "elsewhere")

    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(OutputError, match="must be a folder that can be written"), RunLock(folder):
            pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_of_results_is_replaced_and_any_other_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for content in ("first", "second"):
        with replacing_results(folder, "a.json") as hidden:
            write_text(hidden / "a.json", content)
            write_text(hidden / f"{content}.txt", "")
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "second.txt"]

    with contextlib.suppress(ValueError), replacing_results(folder, "a.json") as hidden:
        write_text(hidden / "a.json", "third")
        raise ValueError
    assert (folder / "a.json").read_text() == "second" and [path.name for path in tmp_path.iterdir()] == ["out"]

    write_text(tmp_path / "file", "precious")
    (tmp_path / "mine").mkdir()
    write_text(tmp_path / "mine" / "b.txt", "precious")
    for name in ("file", "mine"):
        with pytest.raises(OutputError, match="must be new, empty"), replacing_results(tmp_path / name, "a.json"):
            pass
    assert (tmp_path / "file").read_text() == (tmp_path / "mine" / "b.txt").read_text() == "precious"
