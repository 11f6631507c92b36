"""``semigan segment --also``: the DICOM objects of a case agree with its record and its label."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import phantoms
import pydicom
import pytest
from click.testing import CliRunner
from dicom_objects import measured
from dicom_series_builder import write_xray

from monai_semigan.cli.main import cli
from monai_semigan.extras.phantoms.series import write_phantom_series

pytestmark = pytest.mark.e2e

OBJECTS = {
    "dicom-sr": "sr.dcm",
    "dicom-probability": "probability.dcm",
    "dicom-contours": "contours.dcm",
    "dicom-preview": "preview.dcm",
}
ALL = [part for name in OBJECTS for part in ("--also", name)]


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def segmented(source: Path, bundle: Path, out: Path, *options: object) -> tuple[Path, dict]:
    result = run("segment", source, "-b", bundle, "-o", out, "--steps", 0, "--json", *options)
    assert result.exception is None, result.output
    assert result.return_value == 0, result.output
    (case,) = json.loads(result.stdout)["cases"]
    assert case == json.loads((out / "report.json").read_text())["cases"][0]
    return out / case["case"], case


def bright(folder: Path, orientation: str = "oblique", hu: int = 200) -> Path:
    """A CT with a block of "liver" that touches no face, tilted against the patient."""
    grid = phantoms.oriented_grid(orientation)
    values = np.full(grid.shape, -1000, dtype=np.int16)
    values[2:-2, 2:-2, :] = 40
    values[8:20, 9:17, 4:9] = hu
    write_phantom_series(folder, values, grid, modality="CT")
    return folder


def xray(path: Path, make_xray, **values: object) -> Path:
    return write_xray(path, make_xray(90, 110)[0], **values)


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_a_series_gets_all_and_they_agree(copying, tmp_path, orientation) -> None:
    folder, case = segmented(bright(tmp_path / "ct", orientation), copying, tmp_path / "out", *ALL)

    (liver,) = case["classes"]
    assert liver["volume_ml"] > 0 and {*OBJECTS.values(), "seg.dcm"} <= case["files"].keys()
    numbers = measured(folder / "sr.dcm")
    assert numbers["liver"] == {"Volume": liver["volume_ml"], "Expected Dice": liver["expected_dice"]}
    reconstruction = case["reconstruction"]
    assert numbers["Whole source"] == {
        "Lowest expected Dice": liver["expected_dice"],
        "Reconstruction error": reconstruction["encoder"],
        "Reconstruction error, refined": reconstruction["refined"],
        "Usual reconstruction error, at most": reconstruction["limit"],
    }
    seg, sr = pydicom.dcmread(folder / "seg.dcm"), hd.sr.srread(folder / "sr.dcm")
    (group,) = sr.content.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID
    label = np.asanyarray(nibabel.load(folder / "label.nii.gz").dataobj)
    assert liver["volume_ml"] == pytest.approx(label.sum() * 9 * 10 * 15 / 1000)
    probability = np.asanyarray(nibabel.load(folder / "probability.nii.gz").dataobj)
    mapped = hd.imread(folder / "probability.dcm").get_volume(apply_real_world_transform=True, dtype=np.float64)
    assert mapped.array.sum() == pytest.approx(probability.astype(float).sum(), rel=1e-5)
    states = pydicom.dcmread(folder / "contours.dcm").GraphicAnnotationSequence
    assert len(states) == label.any(axis=(0, 1)).sum()
    studies = {pydicom.dcmread(path).StudyInstanceUID for path in [*folder.glob("*.dcm"), *(tmp_path / "ct").iterdir()]}
    assert len(studies) == 1


def test_an_image_gets_all_too(tiny_bundle, edit_bundle, tmp_path, make_xray, verify) -> None:
    edit_bundle(tiny_bundle, max_image_error=10.0)  # of unlike images no Dice is expected
    source = xray(tmp_path / "in" / "a.dcm", make_xray, PixelSpacing=[0.5, 0.7])

    folder, case = segmented(source, tiny_bundle, tmp_path / "out", *ALL)

    (lung,) = case["classes"]
    numbers = measured(folder / "sr.dcm")
    assert numbers["lung"] == {"Area": lung["area_mm2"], "Expected Dice": lung["expected_dice"]}
    assert numbers["Whole source"]["Reconstruction error"] == case["reconstruction"]["encoder"]
    assert hd.seg.segread(folder / "probability.dcm").SegmentationFractionalType == "PROBABILITY"
    assert all(verify(path) == [] for path in folder.glob("*.dcm")) and len([*folder.glob("*.dcm")]) == 5


def test_an_image_without_spacing_is_measured_in_pixels(tiny_bundle, tmp_path, make_xray) -> None:
    folder, _ = segmented(xray(tmp_path / "a.dcm", make_xray), tiny_bundle, tmp_path / "out", "--also", "dicom-sr")

    from PIL import Image

    label = np.asarray(Image.open(folder / "label.png"))
    assert measured(folder / "sr.dcm")["lung"]["Number of pixels"] == (label > 0).sum()


def test_an_empty_label_has_measurements_alone(copying, tmp_path, verify) -> None:
    folder, case = segmented(bright(tmp_path / "ct", hu=40), copying, tmp_path / "out", *ALL)

    assert case["classes"][0]["volume_ml"] == 0
    assert {*OBJECTS.values()} - case["files"].keys() == {"contours.dcm"} and "seg.dcm" not in case["files"]
    assert measured(folder / "sr.dcm")["liver"] == {"Volume": 0}
    assert verify(folder / "sr.dcm") == []


def test_measurements_refer_to_no_seg_that_is_not_there(copying, tmp_path) -> None:
    source = bright(tmp_path / "ct")
    folder, case = segmented(source, copying, tmp_path / "out", "--no-dicom-seg", "--also", "dicom-sr")
    assert "seg.dcm" not in case["files"]
    assert not hd.sr.srread(folder / "sr.dcm").content.get_volumetric_roi_measurement_groups()

    formats = ("--format", "dicom-sr", "--format", "dicom-seg")  # whatever the order
    folder, case = segmented(source, copying, tmp_path / "both", *formats)
    assert {*case["files"]} == {"seg.dcm", "sr.dcm"}
    assert len(hd.sr.srread(folder / "sr.dcm").content.get_volumetric_roi_measurement_groups()) == 1


def test_another_setting_has_other_identifiers_and_the_same_none(copying, tmp_path) -> None:
    source = bright(tmp_path / "ct")

    def uids(out: str, *options: object) -> set[str]:
        folder, _ = segmented(source, copying, tmp_path / out, *ALL, *options)
        return {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.glob("*.dcm")}

    first = uids("a")
    assert uids("b") == first and len(first) == 5
    assert uids("c", "--steps", 1).isdisjoint(first)


def test_the_probability_is_computed_when_its_file_is_asked_for(copying, tmp_path) -> None:
    source = bright(tmp_path / "ct")

    _, case = segmented(source, copying, tmp_path / "out", "--format", "dicom-probability")
    assert {*case["files"]} == {"probability.dcm"} and case["request"]["probability"] is True


def test_sources_that_are_no_dicom_have_none(copying, tmp_path) -> None:
    drawn = phantoms.phantom()
    source = phantoms.write_nifti(tmp_path / "v.nii.gz", phantoms.voxels(drawn, "CT"), drawn.grid)

    folder, case = segmented(source, copying, tmp_path / "out", *ALL)

    assert not [*folder.glob("*.dcm")] and "dcm" not in "".join(case["warnings"])
