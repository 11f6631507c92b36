"""Single-frame DICOM: stored values to grey values, and the files that are refused."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, generate_uid

from monai_semigan.errors import InputError
from monai_semigan.io.image_file import read_image

PIXELS = (np.arange(24 * 32).reshape(24, 32) * 5).astype(np.uint16)


def dicom(pixels: np.ndarray = PIXELS, **changes: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName = "Secret^Name"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.tobytes()
    for name, value in changes.items():
        setattr(dataset, name, value)
    return dataset


def save(tmp_path, dataset: Dataset):
    path = tmp_path / "x.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_plain_file(tmp_path):
    source = read_image(
        save(tmp_path, dicom(WindowCenter=["900", "5"], WindowWidth=["400", "6"], PixelSpacing=[0.2, 0.3]))
    )

    np.testing.assert_array_equal(source.pixels, PIXELS)
    assert source.voi_window == (900.0, 400.0)
    assert source.spacing_mm == (0.2, 0.3)
    assert source.photometric == "MONOCHROME2"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_syntaxes(tmp_path, syntax):
    dataset = dicom()
    try:
        dataset.compress(syntax, generate_instance_uid=False)
    except RuntimeError as error:
        pytest.skip(f"no encoder here: {error}")

    np.testing.assert_array_equal(read_image(save(tmp_path, dataset)).pixels, PIXELS)


def test_rescale_polarity_and_detector_spacing(tmp_path):
    changes = {
        "RescaleSlope": 2,
        "RescaleIntercept": -10,
        "PhotometricInterpretation": "MONOCHROME1",
        "ImagerPixelSpacing": [0.1, 0.1],
    }
    source = read_image(save(tmp_path, dicom(**changes)))

    np.testing.assert_allclose(source.pixels, PIXELS * 2.0 - 10)
    assert source.photometric == "MONOCHROME1"
    assert source.spacing_mm == (0.1, 0.1)
    assert source.warnings == ("Spacing is that of the detector.",)


def test_padding_becomes_the_lowest_real_value(tmp_path):
    pixels = PIXELS.copy() + 100
    pixels[:, :4] = 0
    dataset = dicom(pixels)
    dataset.add_new("PixelPaddingValue", "US", 0)

    source = read_image(save(tmp_path, dataset))

    assert source.pixels[:, :4].max() == source.pixels[:, 4:].min() == pixels[:, 4:].min()


def test_voi_lut_is_applied(tmp_path):
    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 16]
    lut.LUTData = (np.arange(4096)[::-1]).astype(np.uint16).tobytes()
    lut["LUTData"].VR = "OW"
    dataset = dicom(VOILUTSequence=pydicom.Sequence([lut]))

    np.testing.assert_array_equal(read_image(save(tmp_path, dataset)).pixels, 4095 - PIXELS)


def test_unusable_files_say_why_without_the_patient(tmp_path):
    no_pixels = dicom()
    del no_pixels.PixelData
    short = dicom()
    short.PixelData = PIXELS.tobytes()[:100]
    huge = dicom()
    huge.Rows = huge.Columns = 20_000
    cases = {
        "no pixel data": no_pixels,
        "7 are declared, more than its bytes hold": dicom(NumberOfFrames=7),
        "decoded": short,
        "megapixels": huge,
    }
    for reason, dataset in cases.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_image(save(tmp_path, dataset))
        assert "Secret" not in str(caught.value)


def test_truncated_file_is_refused(tmp_path):
    path = save(tmp_path, dicom())
    path.write_bytes(path.read_bytes()[:300])

    with pytest.raises(InputError, match=r"no pixel data|damaged|decoded"):
        read_image(path)
