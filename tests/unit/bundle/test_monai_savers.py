# SPDX-License-Identifier: Apache-2.0
"""The end of a MONAI pipeline writes labels on their sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import phantoms
import pytest
import torch
from monai.data.meta_tensor import MetaTensor

from monai_semigan.bundle import monai_savers
from monai_semigan.bundle.monai_savers import SaveImageVolumeLabeld
from monai_semigan.errors import ConfigError, GeometryError


@pytest.fixture
def labelled(tmp_path: Path) -> dict[str, Any]:
    """A label map on an oblique NIfTI file whose qform and sform differ from the usual."""
    drawn = phantoms.phantom("oblique")
    path = phantoms.write_nifti(tmp_path / "in" / "patient.v1.nii.gz", drawn.voxels_ct, drawn.grid)
    image = nibabel.load(path)
    image.set_sform(image.affine, 2)
    image.set_qform(None, 0)
    nibabel.save(image, path)
    label = MetaTensor(
        torch.tensor(drawn.label, dtype=torch.uint8)[None],
        affine=torch.tensor(nibabel.load(path).affine),
        meta={"filename_or_obj": str(path)},
    )
    return {"pred": label, "image": 1}


def test_label_volumes_are_written_on_their_source(labelled: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"

    result = SaveImageVolumeLabeld("pred", str(out))(labelled)
    SaveImageVolumeLabeld("pred", str(out))(labelled | {"case": "sub/../other"})

    assert result["image"] == 1 and result["pred"] is labelled["pred"]
    assert sorted(path.name for path in out.iterdir()) == ["patient.v1.nii.gz", "sub_.._other.nii.gz"]
    written, source = nibabel.load(out / "patient.v1.nii.gz"), nibabel.load(labelled["pred"].meta["filename_or_obj"])
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), labelled["pred"].numpy()[0])
    np.testing.assert_array_equal(written.get_sform(), source.get_sform())
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (2, 0)


def test_label_volumes_that_left_their_grid_are_refused(labelled: dict[str, Any], tmp_path: Path) -> None:
    save, label = SaveImageVolumeLabeld("pred", str(tmp_path / "out")), labelled["pred"]
    moved = label.affine.clone()
    moved[0, 3] += 0.5
    meta = {"filename_or_obj": label.meta["filename_or_obj"]}
    for wrong in (
        MetaTensor(label.as_tensor(), affine=moved, meta=dict(meta)),
        MetaTensor(label.as_tensor()[:, 1:], affine=label.affine, meta=dict(meta)),
    ):
        with pytest.raises(GeometryError, match=r"must lie on the grid of `patient\.v1`"):
            save({"pred": wrong})
    with pytest.raises(ConfigError, match="must name its source"):
        save({"pred": label.as_tensor()})
    assert not (tmp_path / "out").exists()


def test_hosts_that_write_files_themselves_know_the_writers_by_name() -> None:
    """MONAI Label and MONAI Deploy drop transforms whose class is named ``SaveImage...``."""
    names = [name for name in monai_savers.__all__ if name.startswith("Save")]
    assert names and all(name.startswith("SaveImage") for name in names)
