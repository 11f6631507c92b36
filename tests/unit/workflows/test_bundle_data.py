# SPDX-License-Identifier: Apache-2.0
"""Lists of volumes for the bundles' configs."""

from __future__ import annotations

import shutil
from pathlib import Path

import phantoms
import pytest

from monai_semigan.bundle.monai_readers import VolumeReader
from monai_semigan.errors import InputError
from monai_semigan.workflows.bundle_data import volume_datalist


def test_files_and_folders_of_series_are_listed_and_can_be_read(tmp_path: Path) -> None:
    drawn = phantoms.phantom()
    phantoms.write_nifti(tmp_path / "a" / "v.nii.gz", drawn.voxels_ct, drawn.grid)
    phantoms.write_mha(tmp_path / "b" / "v.mha", drawn.voxels_ct, drawn.grid)
    phantoms.write_series(tmp_path / "c", drawn, "CT")

    entries = volume_datalist(str(tmp_path))

    assert sorted((entry["case"], entry["image"]) for entry in entries) == [
        ("a_v", str(tmp_path / "a" / "v.nii.gz")),
        ("b_v", str(tmp_path / "b" / "v.mha")),
        ("c", str(tmp_path / "c")),
    ]
    for entry in entries:
        ((_, volume),) = VolumeReader().read(entry["image"])
        assert sorted(volume.grid.shape) == sorted(drawn.grid.shape)


@pytest.mark.parametrize("other", ["series", "file"])
def test_a_series_that_shares_its_folder_is_refused(other: str, tmp_path: Path) -> None:
    drawn = phantoms.phantom()
    phantoms.write_series(tmp_path / "study", drawn, "CT")
    if other == "series":
        for path in phantoms.write_series(tmp_path / "mr", drawn, "MR"):
            shutil.move(path, tmp_path / "study" / f"mr_{path.name}")
    else:
        phantoms.write_nifti(tmp_path / "study" / "inner" / "v.nii", drawn.voxels_ct, drawn.grid)

    with pytest.raises(InputError, match=r"`study` must hold one DICOM series and nothing else, got 2 volumes"):
        volume_datalist(str(tmp_path))


def test_a_folder_without_volumes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No volume was found"):
        volume_datalist(str(tmp_path))
