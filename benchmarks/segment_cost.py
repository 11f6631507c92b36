# SPDX-License-Identifier: Apache-2.0
"""CPU seconds and peak memory of ``semigan segment`` from start to report, also against another version of it.

    python -m benchmarks.segment_cost --images FOLDER --against ../older --json out.json

Tasks: X-rays (the bundle's sample, copied, without ``--images``) and a CT volume (drawn without ``--ct``), each
with the encoder alone and with the bundle's steps. Every run is a process of its own, versions take turns, and medians
count. ``--against`` is a checkout with its environment in ``.venv``, or a folder that the package was installed into.
Where strace is installed, it is also counted how often the bundle's description and each DICOM file are opened.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row

__all__ = ["Version", "cost_rows", "opens_line", "program_of", "tasks_of"]

LUNG, LIVER = "lung_cxr_segmentation", "liver_ct_segmentation"
OURS, OTHER = "ours", "other"

# In a process of its own: this one stays small, as a child's peak is never below its parent's.
DRAW = """
import sys
from pathlib import Path
from monai_semigan.extras.phantoms.abdomen import abdomen_grid, draw_abdomen
from monai_semigan.extras.phantoms.series import write_phantom_series
folder, size, slices = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
drawn = draw_abdomen(abdomen_grid((size, size, slices)))
write_phantom_series(folder, drawn.voxels_ct, drawn.grid, modality="CT")
"""

COPY = """
import shutil, sys
from pathlib import Path
from monai_semigan.bundles import bundle_root
sample = sorted((bundle_root("lung_cxr_segmentation") / "samples" / "images").iterdir())[0]
Path(sys.argv[1]).mkdir()
for number in range(int(sys.argv[2])):
    shutil.copy(sample, Path(sys.argv[1]) / f"xray{number:04d}{sample.suffix}")
"""


@dataclass(frozen=True)
class Version:
    """A version of the package: its interpreter, and a folder that it is found in if it is not installed there."""

    python: str
    folder: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The process's variables: one thread."""
        found = {} if self.folder is None else {"PYTHONPATH": str(self.folder)}
        return {**os.environ, **found, "OMP_NUM_THREADS": "1"}

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of ``semigan``."""
        return [self.python, "-P", "-m", "monai_semigan.cli.main", *arguments]


def program_of(folder: Path) -> Version:
    """Find another version in a checkout with ``.venv``, or in a folder with the installed package."""
    folder = folder.resolve()
    python = folder / ".venv" / "bin" / "python"
    if python.exists():
        return Version(str(python))
    if (folder / "monai_semigan" / "cli").is_dir():
        return Version(sys.executable, folder)
    raise SystemExit(f"`{folder}` must hold .venv or an installed monai_semigan, but has neither.")


def tasks_of(images: Sequence[Path], ct: Path) -> dict[str, tuple[str, ...]]:
    """Return the arguments of ``semigan segment`` by task, without the output folder."""
    inputs = {f"{len(images)} X-rays": (LUNG, [*map(str, images)]), "CT volume": (LIVER, [str(ct)])}
    return {
        f"{name}, {said}": ("segment", *paths, "-b", bundle, "--device", "cpu", *steps)
        for name, (bundle, paths) in inputs.items()
        for said, steps in (("encoder alone", ("--steps", "0")), ("the bundle's steps", ()))
    }


def cost_rows(versions: Mapping[str, Version], task: str, arguments: Sequence[str], *, repeats: int) -> list[Row]:
    """Run a task with all versions in turns; return its CPU seconds and its peak of memory."""
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    peaks: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(repeats):
        for name, version in versions.items():
            used, peak = _run(version, arguments)
            seconds[name].append(used)
            peaks[name].append(peak)
    return [
        Row.of(
            f"{task}: {what}", 0, 0, {name: statistics.median(values) for name, values in measured.items()},
            unit=unit, base=OTHER, all=measured,
        )
        for what, unit, measured in (("time", "CPU-s", seconds), ("peak of memory", "GiB", peaks))
    ]  # fmt: skip


def _run(version: Version, arguments: Sequence[str]) -> tuple[float, float]:
    """Return CPU seconds and the peak of memory (GiB) of one process."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = version.command(*arguments, "-o", str(Path(folder) / "out"))
        process = subprocess.Popen(command, env=version.environment, cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command[:6])} ... ended with {process.returncode}:\n{log.read()[-2000:]}")
    scale = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB here
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale


def opens_line(version: Version, arguments: Sequence[str], cases: int) -> str:
    """Say how often a run opens the bundle's description and its DICOM files; by strace, if it is there."""
    strace = shutil.which("strace")
    if strace is None:
        return "opened files: not counted, strace is not installed"
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        watch = [strace, "-f", "-qq", "-e", "trace=open,openat", "-o", str(trace)]
        command = [*watch, *version.command(*arguments, "-o", str(Path(folder) / "out"))]
        result = subprocess.run(command, env=version.environment, cwd=folder, capture_output=True, check=False)
        if result.returncode:
            return f"opened files: not counted, the traced run ended with {result.returncode}"
        opened = Counter(re.findall(r'open(?:at)?\([^"]*"([^"]+)"[^\n]*= \d+$', trace.read_text(), re.MULTILINE))
    metadata = sum(count for path, count in opened.items() if path.endswith("configs/metadata.json"))
    files = [count for path, count in opened.items() if path.endswith(".dcm") and "/out/" not in path]
    line = f"metadata.json opened {metadata} times for {cases} cases"
    if files:
        line += f", each of {len(files)} DICOM files {statistics.mean(files):.2f} times, at most {max(files)}"
    return line


def _encoder_tasks(images: Sequence[Path], ct: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Return the number of cases and the arguments of a quick run over images, and over a volume."""
    of_images, _, of_volume, _ = tasks_of(images, ct).values()
    return [(len(images), of_images), (1, of_volume)]


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of X-rays; the first --count are taken")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--ct", type=Path, help="a CT volume")
    parser.add_argument("--slices", type=int, default=200, help="of the drawn CT")
    parser.add_argument("--size", type=int, default=512, help="of its slices, pixels")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another version of this project")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    versions = {OURS: Version(sys.executable)}
    if options.against is not None:
        versions[OTHER] = program_of(options.against)
    rows: list[Row] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        images, ct = options.images, options.ct
        if images is None:
            images = Path(name) / "images"
            subprocess.run([sys.executable, "-P", "-c", COPY, str(images), str(options.count)], check=True)
        if ct is None:
            ct = Path(name) / "ct"
            drawing = [sys.executable, "-P", "-c", DRAW, str(ct), str(options.size), str(options.slices)]
            subprocess.run(drawing, check=True)
        chosen = sorted(path.resolve() for path in images.iterdir() if path.is_file())[: options.count]
        for task, given in tasks_of(chosen, ct.resolve()).items():
            rows += cost_rows(versions, task, given, repeats=options.repeats)
            for row in rows[-2:]:
                values = ", ".join(f"{key} {value:.3g}" for key, value in row.values.items())
                ratio = f"  [{row.ratios[OURS]:.2f}x]" if OURS in row.ratios else ""
                print(f"{row.task:50} {row.unit}: {values}{ratio}", flush=True)
        for version_name, version in versions.items():
            for cases, given in _encoder_tasks(chosen[:4], ct.resolve()):
                lines.append(f"{version_name}: {opens_line(version, given, cases)}")
                print(lines[-1], flush=True)
    if options.json:
        content = {"rows": [vars(row) for row in rows], "opens": lines}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
