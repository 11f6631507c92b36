"""Zips from anywhere: unpacked whole into their folder, or refused with nothing left."""

from __future__ import annotations

import stat
import zipfile
from contextlib import suppress

import pytest

from monai_semigan.errors import InputError, OutputError
from monai_semigan.io import zip_input
from monai_semigan.io.zip_input import unpack_zip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def pack(tmp_path, files: dict[str, bytes], **options):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(path, folder, match: str, kind=InputError) -> None:
    with pytest.raises(kind, match=match) as caught:
        unpack_zip(path, folder)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["target", "x.zip"]


def test_files_and_folders_come_out(tmp_path, folder):
    target = unpack_zip(pack(tmp_path, {"a/b/ü 腹.dcm": b"1", "c": b"22", "leer/": b""}), folder)

    assert target.parent == folder
    assert (target / "a" / "b" / "ü 腹.dcm").read_bytes() == b"1" and (target / "c").read_bytes() == b"22"


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "..\\x", "C:/x", "\\\\host\\x", "a" * 300, "a/NUL", "com1.nii"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, folder, name):
    refused(pack(tmp_path, {"first": b"1", name: b"2"}), folder, "names inside its own folder")


def test_links_are_refused(tmp_path, folder):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first", b"1")
        archive.writestr(link, "/etc/passwd")

    refused(path, folder, "link or device")


def test_doubles_are_refused(tmp_path, folder):
    refused(pack(tmp_path, {"a/X": b"1", "A/x": b"2"}), folder, "comes twice")


def test_too_many_files_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(zip_input, "MAX_FILES", 2)

    refused(pack(tmp_path, dict.fromkeys("abc", b"")), folder, "at most 2 files, got 3")


def test_too_many_bytes_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(zip_input, "MAX_TOTAL_BYTES", 1000)

    refused(pack(tmp_path, {"a": b"x" * 600, "b": b"x" * 600}), folder, "unpack to at most")


def test_bombs_are_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(zip_input, "RATIO_MATTERS_BYTES", 1000)

    refused(pack(tmp_path, {"a": bytes(2_000_000)}), folder, "zip bombs")


def test_more_bytes_than_declared_are_refused(tmp_path, folder):
    path = pack(tmp_path, {"first": b"1", "second": b"x" * 5000})
    content = path.read_bytes()
    at = content.rindex((5000).to_bytes(4, "little"))  # in the central directory
    path.write_bytes(content[:at] + (10).to_bytes(4, "little") + content[at + 4 :])

    refused(path, folder, "is larger|damaged")


def test_encrypted_zips_are_refused(tmp_path, folder):
    path = pack(tmp_path, {"a": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)

    refused(path, folder, "must not be encrypted")


@pytest.mark.parametrize("keep", [10, -30])
def test_damaged_zips_are_refused(tmp_path, folder, keep):
    path = pack(tmp_path, {"a": b"1" * 100})
    path.write_bytes(path.read_bytes()[:keep])

    refused(path, folder, "damaged")


def test_altered_content_is_refused(tmp_path, folder):
    path = pack(tmp_path, {"a": b"1", "b": bytes(range(256))})
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(40, 60)))] ^= 1
    path.write_bytes(content)

    refused(path, folder, "damaged")


def test_a_full_disk_is_said_before(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(zip_input.shutil, "disk_usage", lambda _: type("usage", (), {"free": 10}))

    refused(pack(tmp_path, {"a": b"x" * 100}), folder, "are free", OutputError)


def test_a_file_that_is_a_folder_too_is_refused(tmp_path, folder):
    refused(pack(tmp_path, {"a": b"1", "a/b": b"2"}), folder, "damaged")


@pytest.mark.parametrize("seed", range(8))
def test_an_altered_directory_is_refused_in_one_line(tmp_path, folder, seed):
    path = pack(tmp_path, {"a": b"1" * 50, "b": bytes(range(200))})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 6 + 5 * seed
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)

    with suppress(InputError, OutputError):
        unpack_zip(path, folder)
        return  # a field that nothing is lost by
    assert list(folder.iterdir()) == []


def test_a_member_without_a_name_is_refused(tmp_path, folder):
    path = pack(tmp_path, {"first": b"1", "x": b"2"})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 28
    content[at : at + 4] = b"\0\0\1\0"  # the name becomes an extra field of one byte
    path.write_bytes(content)

    refused(path, folder, "damaged|names inside its own folder")
