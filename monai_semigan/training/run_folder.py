# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves behind: its configuration, versions, statistics, TensorBoard scalars and sample sheets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing
from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.files import RunLock, make_folder
from monai_semigan.types import PathLike
from monai_semigan.versions import environment

__all__ = ["CONFIG_NAME", "STATS_NAME", "RunFolder", "read_length", "read_stats"]

CONFIG_NAME = "resolved_config.json"
STATS_NAME = "stats.jsonl"
LENGTH_NAME = "length.json"


class RunFolder:
    """A training run's folder.

    Args:
        path: The folder; created with its parents.
        config: Everything that the run was asked for, as JSON types.
        resume: Continue a run that lies there; without it the folder must hold none.

    Raises:
        ConfigError: A run lies there and ``resume`` is off, or it was made with another configuration.
        TrainingError: Another process works there.
        OutputError: The folder cannot be written.
    """

    def __init__(self, path: PathLike, config: dict[str, Any], *, resume: bool) -> None:
        self.path = Path(path)
        self._writer: Any = None
        self._lock = RunLock(make_folder(self.path)).take()
        try:
            self._open(config, resume)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, config: dict[str, Any], resume: bool) -> None:
        config_file = self.path / CONFIG_NAME
        if config_file.exists():
            if not resume:
                raise ConfigError(
                    f"`{self.path}` already holds a run. Pass --resume to continue it, or another folder."
                )
            _check_same(_read_config(config_file), config, self.path)
        try:
            record = {"config": config, "versions": environment(), "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
            if not config_file.exists():
                _replace(config_file, json.dumps(record, indent=2) + "\n")
            for leftover in self.path.glob(".*.tmp"):  # of a write that was killed
                leftover.unlink()
        except OSError as error:
            raise OutputError(f"`{self.path}` must be a folder that can be written: {error}.") from error

    def drop_stats_after(self, images_seen: int) -> None:
        """Forget statistics that are newer than the snapshot that a run resumes from."""
        stats_file = self.path / STATS_NAME
        if stats_file.exists():
            lines = stats_file.read_text().splitlines(keepends=True)
            _replace(stats_file, "".join(line for line in lines if _images_of(line) <= images_seen))

    def note_length(self, total_kimg: float) -> None:
        """Write how many thousand images the run will see, for who watches it: a resumed run may be made longer."""
        _replace(self.path / LENGTH_NAME, json.dumps({"total_kimg": total_kimg}) + "\n")

    def log(self, images_seen: int, stats: dict[str, float]) -> None:
        """Append one line to ``stats.jsonl`` and the same scalars to TensorBoard (x axis: images)."""
        line = {"kimg": images_seen / 1000, **stats}
        with (self.path / STATS_NAME).open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (1 s to import, needed by runs only)

            self._writer = SummaryWriter(str(self.path / "tensorboard"))
        for name, value in stats.items():
            self._writer.add_scalar(name, value, global_step=images_seen)
        self._writer.flush()

    def close(self) -> None:
        """Close the TensorBoard file and leave the folder to others."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._lock.release()


def read_stats(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's ``stats.jsonl``; one that is cut short, or being written, is left out."""
    path = folder / STATS_NAME
    lines = path.read_text().splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines if _images_of(line) != float("inf")]


def read_length(folder: Path) -> float | None:
    """Return how many thousand images a run will see; None if it does not say, as those of older versions."""
    try:
        found = float(json.loads((folder / LENGTH_NAME).read_text())["total_kimg"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found > 0 else None


def _replace(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text())["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"`{path}` must be a run's configuration, but is damaged. Start anew in another folder."
        ) from error
    return config


def _images_of(line: str) -> float:
    try:
        return round(float(json.loads(line)["kimg"]) * 1000)  # 2.007 * 1000 is above 2007
    except (ValueError, KeyError, OverflowError):  # a line cut short by a kill
        return float("inf")


def _check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    new = json.loads(json.dumps(new))
    changed = sorted(key for key in old.keys() | new.keys() if not _agree(old.get(key), new.get(key)))
    if changed:
        raise ConfigError(
            f"`{path}` was started with another {', '.join(changed)}. Resume with the same settings, "
            "or start anew in another folder."
        )


def _agree(old: Any, new: Any) -> bool:
    """Compare by digest alone where there is one; runs of earlier versions hold one of both alone."""
    if isinstance(new, dict) and new.keys() == {"file", "sha256"}:
        return old in new.values() or (isinstance(old, dict) and old.get("sha256") == new["sha256"])
    return bool(old == new)
