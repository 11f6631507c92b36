"""Files and folders are written whole or not at all."""

from __future__ import annotations

import pytest

from monai_semigan.atomic import replacing_folder
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
