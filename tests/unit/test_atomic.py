"""Files and folders are written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from monai_semigan import atomic
from monai_semigan.atomic import remove_stale, replacing_folder, scratch_folder
from monai_semigan.errors import OutputError


def test_a_folder_takes_the_place_of_another(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    with replacing_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
        assert (tmp_path / "out" / "old").exists()

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def fail() -> None:
        with replacing_folder(tmp_path / "out") as folder:
            (folder / "half").touch()
            raise error

    with pytest.raises(error):
        fail()

    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_refusals_of_the_system_are_told(tmp_path):
    with pytest.raises(OutputError, match="Free some space"), replacing_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")

    assert not list(tmp_path.iterdir())


def test_parents_are_made(tmp_path):
    with replacing_folder(tmp_path / "a" / "b"):
        pass

    assert (tmp_path / "a" / "b").is_dir()


def gone_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path):
    host, gone, alive = atomic._host(), gone_pid(), os.getpid()
    stale = (f".case.{gone}-{host}.tmp", f".unpacked.abc.{gone}-{host}.tmp")
    kept = (f".a.{alive}-{host}.tmp", f".a.{gone}-ffffff.tmp", ".hidden", f"case.{gone}-{host}.tmp", ".unpacked-mine")
    for name in (*stale, *kept):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / f".report.json.{gone}-{host}.tmp").write_text("half")

    remove_stale(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_result_that_was_being_replaced_comes_back(tmp_path):
    mark = f"{gone_pid()}-{atomic._host()}"
    (tmp_path / f".a.{mark}.old" / "whole").mkdir(parents=True)
    (tmp_path / f".b.{mark}.old" / "before").mkdir(parents=True)
    (tmp_path / "b" / "new").mkdir(parents=True)

    remove_stale(tmp_path)

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/whole", "b", "b/new"]


def test_scratch_folders_go_and_say_whose_they_are(tmp_path):
    with scratch_folder(tmp_path, "unpacked") as folder:
        (folder / "inner").mkdir()
        remove_stale(tmp_path)
        assert (folder / "inner").exists()
        assert atomic.STALE_NAME.fullmatch(folder.name)["pid"] == str(os.getpid())

    assert not list(tmp_path.iterdir())


def test_a_number_that_another_process_has_now_does_not_keep_what_was_left(tmp_path):
    """In a container the numbers begin anew: the first process of the next run has that of the killed one."""
    if not atomic._began(os.getpid()):
        pytest.skip("this system does not tell when a process began")
    mine = atomic.owner_name()
    other = f"{os.getpid()}-{atomic._host()}{'0' * 3}1"

    assert not atomic.is_abandoned(mine)
    assert atomic.is_abandoned(other)
    assert not atomic.is_abandoned(f"{os.getpid()}-{atomic._host()}")
    assert atomic.STALE_NAME.fullmatch(f".case.{mine}.tmp")["pid"] == str(os.getpid())
