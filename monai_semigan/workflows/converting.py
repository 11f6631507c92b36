# SPDX-License-Identifier: Apache-2.0
"""Turn checkpoints of other code bases into a file that a training here can start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_semigan.errors import CheckpointError, ConfigError, OutputError
from monai_semigan.extras.importers.imports import Imported, import_weights
from monai_semigan.extras.importers.kinds import KINDS
from monai_semigan.files import make_folder
from monai_semigan.networks.checkpoint_file import read_checkpoint
from monai_semigan.training.snapshot import write_tensors
from monai_semigan.types import PathLike

__all__ = ["convert"]


def convert(
    kind: str,
    sources: Sequence[PathLike],
    output: PathLike,
    *,
    num_classes: int | None = None,
    to_grey: bool = False,
    seed: int = 0,
    overwrite: bool = False,
) -> Imported:
    """Write imported networks and their arguments to ``output``; nothing in the sources is executed.

    Args:
        kind: ``semanticgan``, ``rosinality`` or ``stylegan2-ada``.
        sources: Checkpoints that belong together, such as the GAN's and the encoder's.
        output: The file to write.
        num_classes: Label classes, background included; needed where the generator makes images alone.
        to_grey: Turn networks of color images into networks of grey ones.
        seed: Of fresh label heads.
        overwrite: Replace a file that lies there.

    Raises:
        CheckpointError: A source carries code, is damaged, of another kind, or has keys that do not fit.
        ConfigError: ``kind`` is unknown, or another setting is out of range.
        OutputError: ``output`` exists, or cannot be written.
    """
    known = next((name for name in KINDS if name == kind), None)
    if known is None:
        raise ConfigError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}.")
    if not sources:
        raise ConfigError("`sources` must name at least one checkpoint.")
    target = Path(output)
    if target.resolve() in [Path(source).resolve() for source in sources]:
        raise OutputError(f"`{target}` must be another file than the sources. Name the file to write last.")
    if target.is_dir() or (target.exists() and not overwrite):
        raise OutputError(f"`{target}` already exists. Pass --overwrite to replace a file, or choose another name.")
    contents = {str(source): read_checkpoint(source) for source in sources}
    if len(contents) < len(sources):
        raise CheckpointError("`sources` must be different files, but one is named twice.")
    imported = import_weights(known, contents, num_classes=num_classes, to_grey=to_grey, seed=seed)
    make_folder(target.parent)
    write_tensors(target, imported.content())
    return imported
