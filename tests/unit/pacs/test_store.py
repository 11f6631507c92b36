"""Received instances: whole, once, found again after a crash, and refused when there is no room."""

from __future__ import annotations

from pathlib import Path

import dicom_files
import pytest

from monai_semigan.atomic import owner_name
from monai_semigan.errors import InputError
from monai_semigan.pacs.store import MARK, InstanceStore, StoreFullError


@pytest.fixture
def series(tmp_path: Path) -> list[bytes]:
    return [path.read_bytes() for path in dicom_files.write_series(tmp_path / "series")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_names_tell_nobody(series: list[bytes], tmp_path: Path) -> None:
    kept = InstanceStore(tmp_path / "in").keep(series[0])

    assert kept.path.read_bytes() == series[0]
    assert len(kept.path.stem) == len(kept.series) == 20 and not set(kept.path.stem + kept.series) - set(
        "0123456789abcdef"
    )


def test_the_same_instance_takes_its_own_place(series: list[bytes], tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "in")

    kept = {store.keep(content).path for content in (*series, *series)}

    assert len(kept) == len(series) == 5
    assert store.used == sum(map(len, series)) == store.measure()


def test_a_series_is_complete_after_a_pause_and_again_after_more(series: list[bytes], tmp_path: Path) -> None:
    clock = Clock()
    store = InstanceStore(tmp_path / "in", clock=clock)
    name = store.keep(series[0]).series
    clock.now = 9
    store.keep(series[1])
    clock.now = 18

    assert store.complete(10) == []
    clock.now = 19
    assert store.complete(10) == [name]
    assert store.complete(0) == []
    store.keep(series[2])
    store.settle(name)
    assert (tmp_path / "in" / name / MARK).exists(), "one came before it was in the queue"
    assert store.complete(0) == [name]
    store.settle(name)
    assert not (tmp_path / "in" / name / MARK).exists()


def test_after_a_crash_series_that_were_not_entered_are_known(series: list[bytes], tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "in")
    name = store.keep(series[0]).series
    dead = owner_name().replace(owner_name().split("-")[0], "999999", 1)
    (tmp_path / "in" / name / f".x.dcm.{dead}.tmp").write_bytes(b"half")

    again = InstanceStore(tmp_path / "in")

    assert again.complete(0) == [name]
    assert sorted(path.suffix for path in (tmp_path / "in" / name).iterdir()) == ["", ".dcm"]
    again.settle(name)
    assert InstanceStore(tmp_path / "in").num_arriving == 0


def test_a_series_that_comes_in_is_not_deleted(series: list[bytes], tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "in")
    name = store.keep(series[0]).series

    assert not store.remove(name)
    store.complete(0)
    assert store.remove(name) and list((tmp_path / "in").iterdir()) == []


def test_no_room_is_said_and_other_bytes_count(series: list[bytes], tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "in", max_bytes=5000, measured=tmp_path)  # the series itself has more

    with pytest.raises(StoreFullError, match="`max_disk` must leave room"):
        store.keep(series[0])
    assert store.is_full and list((tmp_path / "in").rglob("*.dcm")) == []


@pytest.mark.parametrize("cut", [0, 100, 140, 700, -1])
def test_what_is_not_whole_is_refused(cut: int, series: list[bytes], tmp_path: Path) -> None:
    store = InstanceStore(tmp_path / "in")

    with pytest.raises(InputError) as refused:
        store.keep(series[0][:cut])
    assert "Secret" not in str(refused.value)
    assert store.num_kept == 0 and not list((tmp_path / "in").iterdir())


def test_announced_and_real_must_agree(series: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="announced"):
        InstanceStore(tmp_path / "in").keep(series[0], sop_class=dicom_files.MR)
