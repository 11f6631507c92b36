# SPDX-License-Identifier: Apache-2.0
"""DICOM SEG of single images and single slices."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_seg_check import OPTIONS, asymmetric_label
from dicom_series_builder import (
    IMAGES,
    write_image,
    write_multiframe,
    write_series,
)

from monai_semigan.errors import OutputError, ShapeError
from monai_semigan.writers.dicom_seg import write_dicom_seg_2d


@pytest.mark.parametrize("spacing", [{}, {"PixelSpacing": [0.2, 0.3]}, {"ImagerPixelSpacing": [0.2, 0.3]}], ids=str)
@pytest.mark.parametrize("modality", IMAGES)
def test_single_images(tmp_path, modality, spacing, verify):
    import highdicom as hd

    source = write_image(tmp_path / "image.dcm", modality, **spacing)
    label = asymmetric_label((12, 9, 3))[:, :, 2].T.copy()

    path = write_dicom_seg_2d(tmp_path / "seg.dcm", label, source, **OPTIONS)

    uid = str(pydicom.dcmread(source, stop_before_pixels=True).SOPInstanceUID)
    read = hd.seg.segread(path).get_pixels_by_source_instance([uid], combine_segments=True)
    np.testing.assert_array_equal(read[0], label)
    assert verify(path) == []


def test_a_single_image_with_a_frame_of_reference_keeps_it(tmp_path, verify):
    source = write_image(tmp_path / "image.dcm", "DX", FrameOfReferenceUID="1.2.3.4")

    path = write_dicom_seg_2d(tmp_path / "seg.dcm", np.eye(9, 12, dtype=np.uint8), source, **OPTIONS)

    assert pydicom.dcmread(path).FrameOfReferenceUID == "1.2.3.4"
    assert verify(path) == []


def test_a_single_slice_is_a_single_image_too(tmp_path, verify):
    volume = write_series(tmp_path / "series", without=["SliceThickness"])
    label = np.eye(6, 7, dtype=np.uint8)

    path = write_dicom_seg_2d(tmp_path / "seg.dcm", label, volume.origin.files[2], **OPTIONS)

    made = pydicom.dcmread(path)
    source = pydicom.dcmread(volume.origin.files[2], stop_before_pixels=True)
    position = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    assert position == source.ImagePositionPatient and made.InstanceNumber == 3
    assert verify(path) == []


def test_single_images_that_do_not_fit_are_refused(tmp_path):
    source = write_image(tmp_path / "image.dcm", "CR")
    label = np.zeros((9, 12), dtype=np.uint8)

    assert write_dicom_seg_2d(tmp_path / "seg.dcm", label, source, **OPTIONS) is None
    label[3, 4] = 1
    with pytest.raises(OutputError, match="image's shape"):
        write_dicom_seg_2d(tmp_path / "seg.dcm", label.T.copy(), source, **OPTIONS)
    with pytest.raises(ShapeError):
        write_dicom_seg_2d(tmp_path / "seg.dcm", label[None], source, **OPTIONS)
    multi = write_multiframe(tmp_path).origin.files[0]
    with pytest.raises(OutputError, match="single image"):
        write_dicom_seg_2d(tmp_path / "seg.dcm", label, multi, **OPTIONS)
