# SPDX-License-Identifier: Apache-2.0
"""Every command line of the documentation runs, on small files and tiny bundles under the names of the shipped ones."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from documented_folder import Workplace, names_in, run

from monai_semigan.baselines.adversarial import AdversarialSettings
from monai_semigan.baselines.frame import FrameSettings
from monai_semigan.baselines.guided import GuidedSettings
from monai_semigan.baselines.methods import BaselineSettings
from monai_semigan.settings import to_json
from monai_semigan.training.teacher import TeacherSettings
from monai_semigan.workflows import fit_stages

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("bundles/*/docs/*.md"))]

NOT_RUN = {
    "semigan dicom": "needs a PACS or its Orthanc: test_dicom.py runs each beside one",
    "semigan view ": "serves until Ctrl-C: test_viewer.py runs it",
    "semigan watch runs/gan": "watches until Ctrl-C: with --once it is run",
    "semigan cohort run cases.csv -b lung_cxr_segmentation -o out --cluster": "needs a cluster",
    "semigan --op-backend stylegan": "needs NVIDIA's checkout and a GPU",
}
"""Beginnings of commands that are not run here, and why."""

FEWER = {
    r"--labels( \d+){2,3}(?= )": "--labels 2",
    r"--labels 35": "--labels 2",
    r"-n (1000|500)": "-n 20",
    r"--only 17": "--only 7",
    r"--kimg 0.6": "--kimg 0.008",
}
"""Numbers that would take minutes, or more images than there are here, and those that are taken instead."""

SHORTER = {
    "adapt": "--max-steps 10",
    "compare": "--seeds 1 --budget 2steps --settings small.json",
    "prepare phantom": "--size 32 --slices 16",
}
"""Options that are put behind a command, so that it takes seconds."""

MAKES_ITS_FOLDER = ("adapt", "data", "fit", "module", "pack")
"""Commands that refuse a target that is there."""


def blocks() -> list[tuple[str, list[str]]]:
    """Return the commands of each block: page, lines."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
            lines = [line.strip() for line in block.splitlines()]
            if commands := [line for line in lines if line.startswith("semigan ")]:
                found.append((page.relative_to(ROOT).as_posix(), commands))
    return found


BLOCKS = blocks()


@pytest.fixture
def place(
    request: pytest.FixtureRequest,
    tiny_bundle: Path,
    edit_bundle: Callable[..., None],
    make_xray: Callable[..., tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """An empty folder to work in, and small networks to compare with."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOLOSCAN_INPUT_PATH", "images")
    monkeypatch.setenv("HOLOSCAN_OUTPUT_PATH", "of_the_platform")
    tiny = (4, 4, 4, 4, 4, 4)
    monkeypatch.setattr(
        fit_stages, "PLAIN_UNET", TeacherSettings(network="basic_unet", features=tiny, steps=3, batch_size=2)
    )
    settings = BaselineSettings(
        frame=FrameSettings(batch_size=2, validations=1),
        unet=tiny,
        adv_ssl=AdversarialSettings(base_channels=4),
        gct=GuidedSettings(base_channels=4),
    )
    Path("small.json").write_text(json.dumps(to_json(settings)))
    made = Workplace(request.node.callspec.params["page"], tiny_bundle, edit_bundle, make_xray, monkeypatch)
    if made.page == "docs/deploy.md":
        made.provide("images")  # as the platform hands them over
    return made


def words_of(line: str) -> list[str]:
    """Return the words of a line, shortened; ``$B`` is the bundle in this folder."""
    for pattern, fewer in FEWER.items():
        line = re.sub(pattern, fewer, line)
    words = shlex.split(line.replace("$B/", "liver_ct_segmentation/"), comments=True)[1:]
    more = [options for command, options in SHORTER.items() if words[: command.count(" ") + 1] == command.split()]
    return [*words, *" ".join(more).split()]


def shell_names(word: str) -> list[str]:
    """Return the files that the shell puts for a pattern."""
    return sorted(map(str, Path().glob(word))) if "?" in word else [word]


@pytest.mark.parametrize(
    ("page", "lines"), BLOCKS, ids=[f"{Path(page).stem}-{at}" for at, (page, _) in enumerate(BLOCKS)]
)
def test_commands_run(page: str, lines: list[str], place: Workplace) -> None:
    for line in lines:
        if line.startswith(tuple(NOT_RUN)):
            continue
        words = words_of(line)
        for name in names_in(words):
            place.provide(name)
        if words[0] in MAKES_ITS_FOLDER:
            for before, word in pairwise(words):
                if before in ("-o", "--output", "pack"):
                    remove(Path(word))

        result = run([found for word in words for found in shell_names(word)])

        assert not result.exit_code and not result.return_value, (line, result.output, result.exception)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


def test_what_is_not_run_is_still_documented() -> None:
    for beginning in NOT_RUN:
        assert any(line.startswith(beginning) for _, lines in BLOCKS for line in lines), beginning
