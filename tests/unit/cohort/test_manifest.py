"""Rows are taken once, whoever takes them; what a crash left is repaired; the file is its owner's alone."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_semigan.cohort.manifest import MORE_LOSSES, Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.cohort.rows import CaseRow, Part, Unit, Where
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.segmentation.record import BundleRecord

BUNDLE = BundleRecord(name="b", version="1", digest="0" * 64)


CLAIM_ALL = """
import sys
from monai_semigan.cohort.manifest import Manifest
with Manifest(sys.argv[1]) as manifest:
    sys.stdin.readline()  # all begin together
    while rows := manifest.claim(int(sys.argv[2])):
        print(*(row.case for row in rows))
"""


def gone_process() -> str:
    """The name of a process of this machine that has ended."""
    code = "from monai_semigan.atomic import owner_name; print(owner_name())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def set_row(folder: Path, case: str, **values: object) -> None:
    with sqlite3.connect(folder / MANIFEST_NAME) as base:
        names = ", ".join(f"{name} = ?" for name in values)
        base.execute(f"UPDATE cases SET {names} WHERE case_name = ?", (*values.values(), case))
    base.close()


def states(manifest: Manifest) -> dict[str, str]:
    return {row.case: row.state for row in manifest.rows()}


def test_several_processes_never_take_the_same_row(filled, tmp_path: Path) -> None:
    filled(200).close()
    words = [sys.executable, "-c", CLAIM_ALL, tmp_path / "out"]
    processes = [
        subprocess.Popen([*words, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for count in (1, 3)
    ]

    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    taken = [process.communicate(timeout=120)[0].split() for process in processes]

    together = [case for part in taken for case in part]
    assert sorted(together) == sorted(f"case{at}" for at in range(200)), "each once"


def test_parts_hold_every_row_once(filled) -> None:
    with filled(100) as manifest:
        found = [[row.case for row in manifest.claim(100, Part(index, 3))] for index in range(3)]

    assert sorted(case for part in found for case in part) == sorted(f"case{at}" for at in range(100))
    assert all(len(part) > 15 for part in found), "evenly"
    assert all(Part(index, 3).holds(case) for index, part in enumerate(found) for case in part)


@pytest.mark.parametrize(("index", "count"), [(3, 3), (-1, 3), (0, 0)])
def test_a_part_that_does_not_exist_is_refused(index, count) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Part(index, count)


def test_nobody_but_the_owner_may_read_it(filled, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with filled(1) as manifest:
            manifest.claim(1)
            files = sorted((tmp_path / "out").glob(f"{MANIFEST_NAME}*"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    finally:
        os.umask(before)

    assert modes[MANIFEST_NAME] == 0o600
    assert set(modes.values()) == {0o600}, "also the journals"
    (tmp_path / "out" / MANIFEST_NAME).chmod(0o644)  # as a copy is
    with Manifest(tmp_path / "out"):
        assert stat.S_IMODE((tmp_path / "out" / MANIFEST_NAME).stat().st_mode) == 0o600


def test_rows_are_given_back_by_who_took_them(filled) -> None:
    with filled(3) as manifest:
        manifest.claim(2)
        manifest.end("case0", "failed", "because")
        manifest.give_back()

        assert states(manifest) == {"case0": "failed", "case1": "waiting", "case2": "waiting"}
        assert [row.attempts for row in manifest.rows()] == [1, 0, 0]


def test_a_row_of_a_lost_process_waits_again_and_is_taken_late_and_alone(filled, tmp_path: Path) -> None:
    with filled(4) as manifest:
        manifest.bind(BUNDLE, {})
        set_row(tmp_path / "out", "case0", state="running", owner=gone_process(), attempts=1)
        set_row(tmp_path / "out", "case1", state="running", owner="1-ffffff", since=10e9, attempts=1)

        manifest.repair()

        assert states(manifest)["case0"] == "waiting"
        assert states(manifest)["case1"] == "running", "of another machine, where it may live"
        assert [[row.case for row in manifest.claim(4)] for _ in range(3)] == [["case2", "case3"], ["case0"], []]


def work_through(manifest: Manifest, is_lost: Callable[[list[CaseRow]], bool]) -> int:
    """Take rows as processes do that are lost at times, and end them otherwise; return how many were lost."""
    losses = 0
    while True:
        manifest.owner = f"process {losses}"
        rows = manifest.claim(4)
        if not rows:
            return losses
        if is_lost(rows):
            losses += 1
            manifest.repair(lost={manifest.owner})
        else:
            for row in rows:
                manifest.end(row.case, "refused", "it came to an end")


@pytest.mark.parametrize("poisonous", [{"case0"}, {"case7"}, {"case0", "case1", "case5", "case9"}])
def test_a_case_that_ends_its_processes_has_failed_in_the_end(filled, poisonous: set[str]) -> None:
    with filled(12) as manifest:
        losses = work_through(manifest, lambda rows: any(row.case in poisonous for row in rows))

        found = {row.case: row for row in manifest.rows()}
        assert {case for case, row in found.items() if row.state == "failed"} == poisonous
        assert {row.state for case, row in found.items() if case not in poisonous} == {"refused"}
        # The others of its first claim were lost with it, once.
        assert {found[case].attempts for case in poisonous} == {MORE_LOSSES + 1}
        assert losses <= len(poisonous) * (MORE_LOSSES + 1)
        assert "ended 6 times while it worked on this case, and at most 1 times" in found[max(poisonous)].reason


@pytest.mark.parametrize("count", [1, 3])
def test_it_has_failed_also_when_nothing_else_is_there(filled, count: int) -> None:
    with filled(count) as manifest:
        losses = work_through(manifest, lambda _: True)

        assert {(row.state, row.attempts) for row in manifest.rows()} == {("failed", MORE_LOSSES)}
        assert losses <= count * MORE_LOSSES


def test_a_case_is_not_blamed_for_what_ends_processes_whatever_they_do(filled) -> None:
    """Kills hit one case once, another ten times: the more often, the fewer cases."""
    with filled(55) as manifest:
        unlucky = {f"case{at}": (at * (at + 1) // 2) % 11 for at in range(55)}
        work_through(manifest, lambda rows: any(row.attempts < unlucky[row.case] for row in rows))

        assert manifest.counts()["refused"] == 55
        assert max(row.attempts - 1 for row in manifest.rows()) > MORE_LOSSES, "some were lost often"


@pytest.mark.parametrize("seed", range(3))
def test_a_case_is_not_blamed_for_random_kills(filled, seed: int) -> None:
    rng = random.Random(seed)
    with filled(100) as manifest:
        losses = work_through(manifest, lambda _: rng.random() < 0.4)

        assert manifest.counts()["refused"] == 100 and losses > 10


def test_a_case_that_ends_its_processes_is_found_also_while_others_are_killed(filled) -> None:
    rng = random.Random(1)
    with filled(100) as manifest:
        work_through(manifest, lambda rows: rng.random() < 0.3 or any(row.case == "case50" for row in rows))

        (failed,) = manifest.names("failed")
        assert failed == "case50"
        assert manifest.rows()[50].attempts <= 2 * MORE_LOSSES


def test_done_without_a_folder_waits_again(filled, tmp_path: Path) -> None:
    with filled(1) as manifest:
        set_row(tmp_path / "out", "case0", state="done")

        manifest.repair()

        assert states(manifest) == {"case0": "waiting"}


def test_the_same_input_again_is_no_new_row(filled, tmp_path: Path) -> None:
    with filled(2) as manifest:
        again = Unit(case="other", path=tmp_path / "0.png", patient="p", groups={"site": "A"})
        new = Unit(case="case1", path=tmp_path / "sub" / "1.png")

        assert manifest.add([again, new], may_rename=True) == 1

        rows = {row.case: row for row in manifest.rows()}
        assert list(rows) == ["case0", "case1", "case1-2"]
        assert (rows["case0"].patient, rows["case0"].groups) == ("p", {"site": "A"})
        with pytest.raises(InputError, match="case1 is there already with another"):
            manifest.add([Unit(case="case1", path=tmp_path / "third.png")])


def test_another_bundle_or_request_is_refused(filled) -> None:
    with filled(1) as manifest:
        manifest.bind(BUNDLE, {"steps": 1, "device": "cpu"})

        manifest.bind(BUNDLE, {"device": "cpu", "steps": 1})
        with pytest.raises(ConfigError, match=r"`bundle` must be the one .* b 1 \(0{12}\), got b 1 \(1{12}\)"):
            manifest.bind(BundleRecord(name="b", version="1", digest="1" * 64), {"steps": 1, "device": "cpu"})
        with pytest.raises(ConfigError, match="but steps differ"):
            manifest.bind(BUNDLE, {"steps": 2, "device": "cpu"})


def test_a_damaged_file_is_said_to_be_one(filled, tmp_path: Path) -> None:
    filled(500).close()
    path = tmp_path / "out" / MANIFEST_NAME
    content = path.read_bytes()

    for broken in (b"no database at all " * 100, content[: len(content) // 2], content[:4096] + bytes(len(content))):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="is damaged"):
            Manifest(tmp_path / "out")


def test_other_databases_and_versions_are_refused(filled, tmp_path: Path) -> None:
    filled(1).close()
    path = tmp_path / "out" / MANIFEST_NAME
    for pragma, error, said in (
        ("user_version = 9", ConfigError, "must be of version 1, got 9"),
        ("application_id = 9", InputError, "another database"),
    ):
        base = sqlite3.connect(path)
        base.execute(f"PRAGMA {pragma}")
        base.commit()
        base.close()
        with pytest.raises(error, match=said):
            Manifest(tmp_path / "out")


def test_without_a_manifest_there_is_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output folder of a cohort"):
        Manifest(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"/data/M\xfcller.png"))
    with Manifest(tmp_path, create=True) as manifest:
        manifest.add([Unit(case="a", path=path)])

        assert manifest.rows()[0].path == path


def test_ten_thousand_rows_need_a_handful_of_statements(tmp_path: Path) -> None:
    """Not one per row: what is asked of SQLite is counted, not timed."""
    units = [Unit(case=f"c{at}", path=tmp_path / f"{at}.png", groups={"site": str(at % 3)}) for at in range(10_000)]
    with Manifest(tmp_path, create=True) as manifest:
        manifest.add(units)
        asked: list[str] = []
        manifest._base.set_trace_callback(asked.append)

        assert manifest.add(units[:5000]) == 0
        planned, asked[:] = [text for text in asked if not text.startswith("UPDATE")], []
        assert manifest.counts()["waiting"] == 10_000 and manifest.mean_seconds() is None and manifest.running() == []
        status, asked[:] = list(asked), []
        assert len(manifest.claim(4)) == 4
        claimed = list(asked)
        manifest._base.set_trace_callback(None)

        plan = manifest._base.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM cases WHERE state = 'waiting' ORDER BY attempts, id LIMIT 4"
        ).fetchall()

    assert len(planned) <= 4 and len(status) == 3 and len(claimed) <= 8
    assert "cases_by_state" in plan[0][3] and len(plan) == 1, "no sorting of all that waits"


def test_where_takes_pairs_alone(filled, tmp_path: Path) -> None:
    with filled(0) as manifest:
        manifest.add(
            [
                Unit(case=name, path=tmp_path / name, patient=f"p{at % 2}", groups={"site": site})
                for at, (name, site) in enumerate([("a", "x"), ("b", "x"), ("c", "y'; DROP TABLE cases; --")])
            ]
        )

        def found(*texts: str) -> list[str]:
            return [row.case for row in manifest.rows(Where.parse(texts))]

        assert found() == ["a", "b", "c"]
        assert found("SITE=x") == ["a", "b"]
        assert found("site=x", "patient=p1") == ["b"]
        assert found("case=a", "case=c") == ["a", "c"]
        assert found("site=y'; DROP TABLE cases; --") == ["c"]
        assert found("status=done") == []
        with pytest.raises(ConfigError, match="column=value"):
            Where.parse(["1 OR 1"])
        with pytest.raises(ConfigError, match="`status` must be one of waiting"):
            Where.parse(["status=lost"])
        with pytest.raises(ConfigError, match="must name columns"):
            found("1=1")


def test_neither_path_nor_patient_is_in_a_repr(tmp_path: Path) -> None:
    unit = Unit(case="a", path=tmp_path / "secret.png", patient="Grete", reference=tmp_path / "secret2.png")

    assert "secret" not in repr(unit) and "Grete" not in repr(unit)
    assert json.dumps(repr(unit)).count("'a'") == 1
