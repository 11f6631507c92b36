# SPDX-License-Identifier: Apache-2.0
"""A BIDS dataset as input: its anatomical images, found by their names alone (bids-specification.readthedocs.io)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from monai_semigan.cohort.rows import Unit
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import safe_name

__all__ = ["BidsImage", "bids_image", "find_bids", "require_one_dataset"]

NAME = re.compile(
    r"(?P<entities>sub-(?P<subject>[0-9A-Za-z]+)(?:_ses-(?P<session>[0-9A-Za-z]+))?(?:_[a-z0-9]+-[0-9A-Za-z+]+)*)"
    r"_(?P<suffix>T1w|T2w|CT|ct)\.nii(?:\.gz)?"
)
"""CT is not in the specification yet; it is used with either spelling, in a folder ``anat`` or ``ct``."""

LOOKS_LIKE_ONE = re.compile(r".*_(T1w|T2w|CT|ct)\.nii(\.gz)?")

FOLDERS = tuple(f"{session}{kind}" for session in ("", "ses-*/") for kind in ("anat", "ct"))


@dataclass(frozen=True, kw_only=True)
class BidsImage:
    """An image of a dataset. Its path is in no ``repr``.

    Attributes:
        root: Of the dataset.
        path: The file.
        subject: ``sub-LABEL``.
        session: ``ses-LABEL``; empty without sessions.
        entities: The name up to the suffix.
        suffix: ``T1w``, ``T2w``, ``CT`` or ``ct``.
    """

    root: Path = field(repr=False)
    path: Path = field(repr=False)
    subject: str
    session: str
    entities: str
    suffix: str

    @property
    def source(self) -> str:
        """Where it is in the dataset."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def derived(self) -> PurePosixPath:
        """Where its label map is in a derivative, without ending: each image of a session has a name of its own."""
        return PurePosixPath(self.subject, self.session, "anat", f"{self.entities}_desc-{self.suffix}_dseg")


def bids_image(path: Path) -> BidsImage | None:
    """Read an image's name; None if it is not one of BIDS, or its folders say something else."""
    found = NAME.fullmatch(path.name)
    if found is None or "_desc-" in path.name or path.parent.name not in ("anat", "ct"):
        return None
    subject, session = f"sub-{found['subject']}", f"ses-{found['session']}" if found["session"] else ""
    folders = (subject, session) if session else (subject,)
    above = path.parents[1]
    if above.parts[-len(folders) :] != folders or (not session and above.name.startswith("ses-")):
        return None
    return BidsImage(
        root=above.parents[len(folders) - 1],
        path=path,
        subject=subject,
        session=session,
        entities=found["entities"],
        suffix=found["suffix"],
    )


def find_bids(root: Path, *, on_failure: Callable[[str, Exception], None]) -> tuple[Unit, ...]:
    """Find T1w, T2w and CT images of a dataset; each subject is a patient.

    Args:
        root: Of the dataset, absolute.
        on_failure: Told of an image whose name is not one of BIDS.

    Raises:
        InputError: It is no dataset, or has no such image.
    """
    paths = sorted(path for kind in FOLDERS for path in root.glob(f"sub-*/{kind}/*") if path.is_file())
    if not root.is_dir() or not (paths or (root / "dataset_description.json").is_file()):
        raise InputError(
            "`inputs` must be the folder of a BIDS dataset with sub-* in it, but is not. Leave --layout out."
        )
    units: dict[str, Unit] = {}
    for path in paths:
        if not LOOKS_LIKE_ONE.fullmatch(path.name):
            continue
        image = bids_image(path)
        if image is None:
            on_failure(path.name, InputError(_what_is_wrong()))
            continue
        case = safe_name(f"{image.entities}_{image.suffix}")
        if case in units:
            on_failure(path.name, InputError("`name` must be in the dataset once, as .nii or as .nii.gz. Remove one."))
            continue
        units[case] = Unit(case=case, path=path, patient=image.subject)
    if not units:
        raise InputError("`inputs` must be a BIDS dataset with T1w, T2w or CT images, but none was found.")
    return tuple(units.values())


def require_one_dataset(paths: Iterable[Path]) -> None:
    """Refuse images of several datasets, whose subjects may have the same labels.

    Raises:
        ConfigError: There are several.
    """
    roots = {image.root for path in paths if (image := bids_image(path)) is not None}
    if len(roots) > 1:
        raise ConfigError("`inputs` must be of one BIDS dataset in a cohort. Choose another output folder for another.")


def _what_is_wrong() -> str:
    return (
        "`name` must be sub-LABEL[_ses-LABEL][_KEY-LABEL]_SUFFIX.nii.gz in sub-LABEL/[ses-LABEL/]anat, labels of "
        "letters and digits alone, no desc. Rename it."
    )
