"""Folders, patterns and tables become units of work; every case has a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_semigan.cohort.inputs import find_units, read_table
from monai_semigan.cohort.journal import journal_mode
from monai_semigan.cohort.naming import named_apart
from monai_semigan.cohort.rows import Unit
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.dicom.repair import NO_REPAIRS
from monai_semigan.io.dicom.rules import SeriesRules


def found(*paths: Path, skip: Path):
    return find_units(
        paths,
        takes_volumes=False,
        skip=skip,
        rules=SeriesRules(),
        repairs=NO_REPAIRS,
        unpack_to=skip,
        on_failure=lambda *_: None,
    )


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cases.csv"
    path.write_text(text)
    return path


def test_folders_and_patterns(make_images, tmp_path) -> None:
    images = make_images(3)

    whole, pattern = found(images, skip=tmp_path / "out"), found(images / "x0[12].*", skip=tmp_path / "out")

    assert [unit.case for unit in whole.units] == ["x00", "x01", "x02"] and not whole.is_table
    assert [unit.path for unit in pattern.units] == [images / "x01.png", images / "x02.png"]
    with pytest.raises(InputError, match="fits none"):
        found(tmp_path / "nothing*.png", skip=tmp_path / "out")


def test_a_table_in_any_spelling(tmp_path) -> None:
    path = table(
        tmp_path, "Reference;CASE;Path;patient;Scanner;age\nr/a.png;A 1;in/a.png;p1;X;34\n;b;/abs/b.png;;;\n\n"
    )

    first, second = read_table(path)

    assert first == Unit(
        case="A_1",
        path=tmp_path / "in" / "a.png",
        patient="p1",
        reference=tmp_path / "r" / "a.png",
        groups={"scanner": "X", "age": "34"},
    )
    assert (second.case, second.path, second.reference) == ("b", Path("/abs/b.png"), None)
    assert second.groups == {"scanner": "", "age": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case,patient\na,b\n", "columns case and path"),
        ("", "no header"),
        ("case,path,Case\na,b,c\n", "every column once, got case"),
        ("case,path\n", "at least one case"),
        ("case,path\na,x.png\nA,y.png\n", r"every case once, got A twice \(row 3\)"),
        ("case,path\na b,x.png\na_b,y.png\n", "every case once"),
        ("case,path\na,x.png\nb,./x.png\n", "every path once, but that of row 3"),
        ("case,path\na,\n", "row 2 has not both"),
        ("case,path\nEvaluation,x.png\n", "name of results"),
        ("case,path,status\na,x.png,done\n", "no column status"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, said) -> None:
    with pytest.raises(InputError, match=said):
        read_table(table(tmp_path, text))


def test_a_table_stands_alone(make_images, tmp_path) -> None:
    with pytest.raises(ConfigError, match="one table or folders"):
        found(table(tmp_path, "case,path\na,b\n"), make_images(1), skip=tmp_path / "out")


def test_names_that_are_taken_get_a_number() -> None:
    units = [Unit(case=case, path=Path(f"/{at}")) for at, case in enumerate(["a", "A", "b", "a", "evaluation"])]

    named = named_apart(units, {(Path("/x"), ""): "b", (Path("/3"), ""): "a-7"}, may_rename=True)

    assert [unit.case for unit in named] == ["a", "A-2", "b-2", "a-7", "evaluation-2"]


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ("/dev/sda / ext4 rw 0 0\n", "wal"),
        ("/dev/sda / ext4 rw 0 0\nserver:/x {folder} nfs4 rw 0 0\n", "delete"),
        ("server:/ / nfs rw 0 0\n/dev/sdb {folder} xfs rw 0 0\n", "wal"),
        ("ssh {folder} fuse.sshfs rw 0 0\n", "delete"),
    ],
)
def test_no_shared_memory_is_asked_of_a_network(tmp_path, mounts, expected) -> None:
    listing = tmp_path / "mounts"
    listing.write_text(mounts.format(folder=tmp_path.resolve()))

    assert journal_mode(tmp_path / "out", mounts=listing) == expected
    assert journal_mode(tmp_path, mounts=tmp_path / "none") == "wal"
