"""Cohorts on Dask: real workers, killed, wrong, interrupted; a scheduler that is not there; jobs of a cluster."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from segment_run import label_digests

from monai_semigan.cli.main import cli
from monai_semigan.cohort.clusters import ClusterOptions, worker_job
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.errors import ConfigError

pytestmark = pytest.mark.e2e

SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
WORKER = "from distributed.cli.dask_worker import main; main()"
SEMIGAN = "from monai_semigan.cli.main import main; main()"

DOCS = Path(__file__).parents[2] / "docs" / "cohort.md"


def run(*arguments: object):
    return CliRunner().invoke(cli, ["cohort", *map(str, arguments)], standalone_mode=False)


@pytest.fixture
def images(tmp_path: Path, make_xray: Callable) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for at in range(6):
        Image.fromarray(make_xray(40 + at, 50, seed=at)[0]).save(folder / f"x{at:02d}.png")
    return folder


def started(code: str, *words: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-c", code, *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        text=True,
        cwd=cwd,
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until_open(port: int) -> None:
    for _ in range(600):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)


@pytest.fixture
def scheduler() -> Iterator[str]:
    port = free_port()
    process = started(SCHEDULER, "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    until_open(port)
    yield f"tcp://127.0.0.1:{port}"
    process.terminate()
    process.communicate()


@pytest.fixture
def worker(scheduler: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start workers as on another machine; ``before`` is run in them first."""
    processes = []

    def start(before: str = "", *words: object) -> subprocess.Popen[str]:
        process = started(f"{before}\n{WORKER}", scheduler, "--nthreads", 1, "--no-dashboard", "--no-nanny", *words)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_workers_behind_an_address(images: Path, tiny_bundle: Path, scheduler, worker, tmp_path, monkeypatch) -> None:
    worker("import os; os.chdir('/')")  # at home elsewhere: relative paths would not be found
    monkeypatch.chdir(tmp_path)
    common = ["run", "images", "-b", tiny_bundle, "--device", "cpu", "--steps", 0]

    result = run(*common, "-o", "out", "--cluster", scheduler, "--json")

    assert result.exception is None, result.output
    events = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert events[-1]["counts"]["done"] == 6 and len(events) == 7
    run(*common, "-o", "single")
    assert label_digests(tmp_path / "out") == label_digests(tmp_path / "single")


def test_a_worker_with_another_bundle_takes_no_part(
    images: Path, tiny_bundle: Path, scheduler, worker, tmp_path, caplog
) -> None:
    other = (
        "import dataclasses, monai_semigan.cohort.working as w\n"
        "real = w.open_bundle\n"
        "w.open_bundle = lambda name: dataclasses.replace(real(name), digest='0' * 64)\n"
    )
    worker(other)
    arguments = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 0]

    result = run(*arguments, "--cluster", scheduler)

    assert isinstance(result.exception, ConfigError)
    assert "must have a worker that can take part. `bundle` must be the one that this cohort" in str(result.exception)
    assert "(000000000000)" in str(result.exception)
    assert "takes no part" in caplog.text and "x00" not in caplog.text
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.counts()["waiting"] == 6


def test_rows_of_a_machine_that_is_lost_are_taken_at_once(
    images: Path, tiny_bundle: Path, scheduler, worker, tmp_path: Path
) -> None:
    lost = worker(
        "import platform, time\nplatform.node = lambda: 'elsewhere'\n"
        "from monai_semigan.cohort.working import CaseWorker\nCaseWorker.work_on = lambda self, rows: time.sleep(600)"
    )
    words = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 0]
    client = started(SEMIGAN, "cohort", *words, "--cluster", scheduler)
    hosts: list[str] = []
    deadline = time.monotonic() + 120
    while not hosts and client.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        if (tmp_path / "out" / "cohort.sqlite").is_file():
            with Manifest(tmp_path / "out") as manifest:
                hosts = [row["host"] for row in manifest.running()]
    lost.kill()
    worker()

    said, _ = client.communicate(timeout=240)

    assert hosts == ["elsewhere"] and client.returncode == 0, said
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.counts()["done"] == 6


def documented(*, language: str, word: str) -> list[str]:
    """Lines of the block in the documentation that holds a word."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL) if word in text]
    return found.splitlines()


@pytest.fixture
def guarded(tmp_path: Path, integration: Callable[[str], str]) -> Iterator[tuple[str, Callable]]:
    """A scheduler and a worker with certificates, by the commands of the documentation; and how to start others."""
    lines = documented(language="console", word="dask scheduler")
    make, _, schedule, work, _ = (shlex.split(line) for line in lines)
    subprocess.run([integration("openssl"), *make[1:]], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "dask.yaml").write_text("\n".join(documented(language="yaml", word="require-encryption")))
    port, processes = free_port(), []
    address = f"tls://127.0.0.1:{port}"
    places = {"node1": "127.0.0.1", "8786": str(port), "tls://node1:8786": address}

    def start(code: str, words: list[object], folder: Path = tmp_path) -> subprocess.Popen[str]:
        process = started(code, *words, cwd=folder, DASK_CONFIG=str(folder / "dask.yaml"))
        processes.append(process)
        return process

    start(SCHEDULER, [places.get(word, word) for word in schedule[2:]])
    until_open(port)
    start(WORKER, [*(places.get(word, word) for word in work[2:]), "--no-nanny"])
    yield address, start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_scheduler_with_certificates_takes_those_alone_that_have_them(
    images: Path, tiny_bundle: Path, guarded: tuple[str, Callable], tmp_path: Path
) -> None:
    address, start = guarded
    words = ["cohort", "run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 0]
    words += ["--cluster", address]
    others = tmp_path / "others"
    shutil.copytree(tmp_path, others, ignore=lambda *_: {"images", "tiny_bundle", "others", "out"})
    request = ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-subj", "/CN=dask"]
    subprocess.run([*request, "-keyout", "dask.key", "-out", "dask.pem"], cwd=others, check=True, capture_output=True)

    stranger = start(SEMIGAN, words, others)
    said, _ = stranger.communicate(timeout=120)
    assert stranger.returncode == 1 and "does not within 15 s" in said, said
    (others / "dask.yaml").write_text("distributed: {}")
    nobody = start(SEMIGAN, words, others)
    said, _ = nobody.communicate(timeout=120)
    assert nobody.returncode == 1 and "must have certificates in Dask's configuration" in said, said
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.counts()["waiting"] == 6

    ours = start(SEMIGAN, words)
    said, _ = ours.communicate(timeout=240)

    assert ours.returncode == 0, said
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.counts()["done"] == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_and_gives_cases_back(number, images: Path, tiny_bundle: Path, tmp_path) -> None:
    words = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 5000]
    code = (  # a job in the background of a script is born deaf to Ctrl-C, and so are its children
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from monai_semigan.cli.main import main\nif __name__ == '__main__': main()"
    )
    process = started(code, "cohort", *words, "--engine", "dask", "--workers", 1)
    pids: list[int] = []
    deadline = time.monotonic() + 300
    while not pids and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        if (tmp_path / "out" / "cohort.sqlite").is_file():
            with Manifest(tmp_path / "out") as manifest:
                pids = [row["pid"] for row in manifest.running()]
    process.send_signal(number)

    said, _ = process.communicate(timeout=120)

    assert pids and process.returncode in (130, 143), (pids, process.returncode, said)
    assert "Traceback" not in said
    with Manifest(tmp_path / "out") as manifest:
        assert [(row.state, row.reason, row.attempts) for row in manifest.rows()] == [("waiting", "", 0)] * 6
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert list((tmp_path / "out").glob(".*.claim")) == []


def test_an_address_that_does_not_answer(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    arguments = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu"]

    result = run(*arguments, "--cluster", f"tcp://127.0.0.1:{free_port()}")

    assert isinstance(result.exception, ConfigError) and "does not within 15 s" in str(result.exception)
    assert time.monotonic() - began < 60
    assert "must be local, slurm, pbs or an address" in str(run(*arguments, "--cluster", "node1").exception)
    assert "are of --engine dask" in str(run(*arguments, "--engine", "serial", "--workers", 2).exception)


def test_without_dask_the_extra_is_named(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['distributed'] = None\nfrom monai_semigan.cli.main import main\n"
        f"main(['cohort', 'run', {str(images)!r}, '-b', {str(tiny_bundle)!r}, '-o', 'out', '--engine', 'dask'])"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert result.returncode == 1 and "pip install 'monai_semigan[cohort]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("cluster", "on_gpu", "lines"),
    [
        ("slurm", False, ["#SBATCH -J semigan-cohort", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=8G"]),
        ("slurm", True, ["#SBATCH --gres=gpu:1", "--resources GPU=1"]),
        ("pbs", False, ["#PBS -N semigan-cohort", "#PBS -l select=1:ncpus=1:mem=7630MB"]),
        ("pbs", True, ["#PBS -l select=1:ncpus=1:mem=8GB:ngpus=1", "--resources GPU=1"]),
    ],
)
def test_the_job_of_a_worker(cluster: str, on_gpu: bool, lines: list[str]) -> None:
    script = worker_job(ClusterOptions(cluster=cluster), on_gpu=on_gpu)

    assert script is not None and script.startswith("#!")
    assert all(line in script for line in [*lines, "distributed.cli.dask_worker", "--nthreads 1", "--no-dashboard"])


def test_a_dry_run_shows_the_job(images: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ["run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--dry-run"]

    shown = run(*arguments, "--cluster", "slurm", "--workers", 3).stdout
    local = json.loads(run(*arguments, "--engine", "dask", "--json").stdout)

    assert "6 cases wait in all; 3 jobs of one worker each are sent" in shown and "#SBATCH -n 1" in shown
    assert local == {"event": "plan", "parts": [6], "job_script": None} and not (tmp_path / "out").exists()


def test_jobs_of_slurm(images: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch) -> None:
    """With programs of SLURM's names that run a job here, at once."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(
        '#!/bin/sh\ncp "$1" "$0.job"\nsh "$0.job" > "$0.log" 2>&1 &\necho $! >> "$0.pids"\n'
        'echo "Submitted batch job $!"\n'
    )
    (tools / "scancel").write_text('#!/bin/sh\nkill "$@" && echo "$@" >> "$0.said"\n')
    for tool in tools.iterdir():
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    result = run(
        "run", images, "-b", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", "--steps", 0, "--cluster", "slurm",
        "--workers", 1,
    )  # fmt: skip

    assert result.exception is None, result.output
    with Manifest(tmp_path / "out") as manifest:
        assert manifest.counts()["done"] == 6
    assert len((tools / "sbatch.pids").read_text().split()) == 1
