"""The SLURM scripts, run as a cluster does with programs that stand in for sbatch, srun and apptainer."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from deploy_recipes import DEPLOY, require_command
from PIL import Image

pytestmark = pytest.mark.e2e

SCRIPTS = sorted((DEPLOY / "slurm").glob("*.sbatch"))

SBATCH = """\
#!/bin/bash
# Runs the jobs of an array one after the other, as SLURM would with one node.
set -u
for last; do :; done
array=$(sed -n 's/^#SBATCH --array=//p' "$last")
for word; do case $word in --array=*) array=${word#--array=};; esac; done
first=${array%%-*} final=${array##*-}
export SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_MIN=$first SLURM_ARRAY_TASK_MAX=$final
export SLURM_ARRAY_TASK_COUNT=$((final - first + 1)) SLURM_CPUS_PER_TASK=1
status=0
for ((id = first; id <= final; id++)); do
    SLURM_ARRAY_TASK_ID=$id bash "$last" || status=$?
done
exit $status
"""

APPTAINER = """\
#!/bin/bash
# Checks what the container would get, then runs the command on the host.
set -eu
printf '%s\\n' "$*" >>"$SEEN"
[ "$1" = exec ] && shift
while [ "${1#--}" != "$1" ]; do
    case $1 in
        --bind) IFS=: read -r from to mode <<<"$2"; [ -e "$from" ]; [ "$from" = "$to" ]; [ -n "$mode" ]; shift 2;;
        --env) export "${2?}"; shift 2;;
        --nv | --containall) shift;;
        *) echo "unknown option $1" >&2; exit 2;;
    esac
done
[ -f "$1" ]
shift
exec "$@"
"""


@pytest.fixture
def cluster(tmp_path: Path, tiny_bundle: Path, make_xray) -> dict[str, str]:
    """The environment of a login node: the programs on PATH, seven cases, an image."""
    programs, images = tmp_path / "bin", tmp_path / "images"
    programs.mkdir()
    images.mkdir()
    semigan = f'#!/bin/bash\nexec {shlex.quote(sys.executable)} -m monai_semigan.cli.main "$@"\n'
    contents = {"sbatch": SBATCH, "srun": '#!/bin/bash\nexec "$@"\n', "apptainer": APPTAINER, "semigan": semigan}
    for name, content in contents.items():
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    for at in range(7):
        Image.fromarray(make_xray(40 + at, 50, seed=at)[0]).save(images / f"x{at}.png")
    (tmp_path / "semigan.sif").write_text("")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return clean | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "CASES": str(images),
        "OUT": str(tmp_path / "out"),
        "BUNDLE": str(tiny_bundle),
        "IMAGE": str(tmp_path / "semigan.sif"),
        "SEEN": str(tmp_path / "seen"),
        "OPTIONS": "--steps 0 --device cpu",
    }


def run(cluster: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    # Not in the checkout: its folder `cli` is none of Python's.
    place = Path(cluster["SEEN"]).parent
    return subprocess.run([*map(str, words)], env=cluster, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_array_segments_every_case_once(script, cluster):
    result = run(cluster, "sbatch", "--array=3-5", script)

    assert result.returncode == 0, result.stderr
    output = Path(cluster["OUT"])
    report = json.loads((output / "report.json").read_text())
    assert sorted(case["case"] for case in report["cases"]) == [f"x{at}" for at in range(7)]
    state = run(cluster, "semigan", "cohort", "status", output, "--json")
    assert json.loads(state.stdout)["counts"] == {"waiting": 0, "running": 0, "done": 7, "refused": 0, "failed": 0}
    if "apptainer" in script.stem:
        seen = Path(cluster["SEEN"]).read_text().splitlines()
        assert len(seen) == 3 and all("--nv --containall" in line for line in seen)
        assert all(f"{Path(cluster['CASES']).parent}:ro" in line and f"{output}:rw" in line for line in seen)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_is_not_set_is_named(script, cluster):
    for name in ("CASES", "OUT", "BUNDLE", *(["IMAGE"] if "apptainer" in script.stem else [])):
        left = {key: value for key, value in cluster.items() if key != name}
        result = run(left, "sbatch", "--array=0-0", script)
        assert result.returncode != 0 and f"{name}: must name" in result.stderr
    result = run(cluster, "bash", script)
    assert result.returncode != 0 and "must be an array job" in result.stderr
    assert not (Path(cluster["OUT"]) / "cohort.sqlite").exists()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_parse_and_run_a_command_that_exists(script):
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    assert text.startswith("#!/bin/bash\n") and "set -euo pipefail" in text
    found = re.search(r"^    semigan (.*?)\n\Z|^srun semigan (.*?)\n\Z", text, re.MULTILINE | re.DOTALL)
    words = shlex.split(re.sub(r"\\\n|\$\{OPTIONS:-\}", " ", found[1] or found[2]))
    require_command(["semigan", *words])
    directives = re.findall(r"^#SBATCH (--[a-z-]+)=?(.*)$", text, re.MULTILINE)
    known = {
        "job-name",
        "array",
        "ntasks",
        "cpus-per-task",
        "mem",
        "gres",
        "time",
        "requeue",
        "open-mode",
        "output",
        "signal",
    }
    assert {name[2:] for name, _ in directives} <= known
    # After the first command SLURM reads no more.
    assert text.rindex("#SBATCH") < text.index("\nset -euo")
