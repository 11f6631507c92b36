"""In a container as the recipes describe it: the root read-only, no network, and a user whose number has no name."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import phantoms
import pytest
from deploy_recipes import DEPLOY, pairs, read_dockerfile

pytestmark = pytest.mark.e2e

UID = 54321

SETUP = """\
set -eu
mount --make-rprivate /
for folder in {writable}; do mount --bind "$folder" "$folder"; done
mount -o remount,ro,bind /
if touch {probe} 2>/dev/null; then echo "the root can be written" >&2; exit 90; fi
exec unshare --user --map-user={uid} --map-group={uid} {command}
"""


def contained(*words: object, writable: list[Path], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run ``semigan`` where only some folders can be written."""
    command = shlex.join([sys.executable, "-m", "monai_semigan.cli.main", *map(str, words)])
    folders = " ".join(shlex.quote(str(folder)) for folder in writable)
    probe = shlex.quote(str(writable[0].parent / "probe"))
    script = SETUP.format(writable=folders, probe=probe, uid=UID, command=command)
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(
        ["unshare", *as_root, "--mount", "--net", "bash", "-c", script],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of the image, with a folder of the test for /tmp."""
    (tmp_path / "tmp").mkdir()
    _, stages = read_dockerfile((DEPLOY / "Dockerfile").read_text())
    known = pairs(" ".join(stages[-1].all("ENV")))
    del known["PATH"]
    return {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"} | {
        name: value.replace("/tmp", str(tmp_path / "tmp"), 1) for name, value in known.items()
    }


@pytest.fixture(autouse=True)
def _can_be_contained(integration, tmp_path: Path) -> None:
    integration("unshare")
    (tmp_path / "check").mkdir()
    tried = contained("--version", writable=[tmp_path / "check"], environment=dict(os.environ))
    if tried.returncode:
        pytest.skip(f"no namespaces here: {tried.stderr.strip()}")


def test_a_study_is_segmented_and_nothing_else_is_written(volume_bundle, tmp_path, environment):
    phantoms.write_series(tmp_path / "in", phantoms.phantom(), "CT")
    (tmp_path / "out").mkdir()
    environment |= {"MONAI_INPUTPATH": str(tmp_path / "in"), "MONAI_OUTPUTPATH": str(tmp_path / "out")}

    result = contained(
        "module", "-b", volume_bundle, "--steps", 0, writable=[tmp_path / "out"], environment=environment
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("done: 1 segmented") and result.stderr == ""
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "dicom",
        "report.html",
        "report.json",
        "result.json",
    }
    assert list((tmp_path / "tmp").iterdir()) == []


def test_plots_need_the_folder_for_temporary_files_alone(xray_files, tiny_bundle, tmp_path, environment):
    (tmp_path / "out").mkdir()
    writable = [tmp_path / "out", tmp_path / "tmp"]
    words = ("-b", tiny_bundle, "-o", tmp_path / "out" / "cohort", "--steps", 0)
    first = contained("cohort", "run", xray_files / "images", *words, writable=writable, environment=environment)
    predictions = ("--predictions", tmp_path / "out" / "cohort", "--references", xray_files / "masks")
    second = contained(
        "evaluate",
        *predictions,
        "--binary",
        "-o",
        tmp_path / "out" / "scores",
        writable=writable,
        environment=environment,
    )

    for result in (first, second):
        assert result.returncode == 0 and result.stderr == "", result.stderr
    assert (tmp_path / "out" / "scores" / "report.html").exists()


def test_files_that_the_user_may_not_read_are_no_empty_study(tiny_bundle, tmp_path, environment):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("the owner can be another one only for root")
    phantoms.write_series(tmp_path / "in", phantoms.phantom(), "CT")
    for path in (tmp_path / "in").iterdir():
        path.chmod(0o000)
        os.chown(path, UID, UID)
    (tmp_path / "out").mkdir()
    # Inside, root's number is another one's: it owns nothing and may read nothing of what others own.
    words = ("module", "--input", tmp_path / "in", "--output", tmp_path / "out", "-b", tiny_bundle)
    result = contained(*words, writable=[tmp_path / "out"], environment=environment)

    assert result.returncode == 1 and "Run the container as their owner" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []
