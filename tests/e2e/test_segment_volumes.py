"""``semigan segment`` on volumes: masks lie on the source in every orientation and format."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import phantoms
import pydicom
import pytest
import SimpleITK
from click.testing import CliRunner

from monai_semigan.cli.main import cli
from monai_semigan.extras.phantoms.series import write_phantom_series
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.report.schema import check_json
from monai_semigan.segmentation import outputs

pytestmark = pytest.mark.e2e

SIZE = 32
SPACING_MM = (1.5, 1.2, 3.0)


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def cube(orientation: str) -> tuple[np.ndarray, np.ndarray, VoxelGrid]:
    """A cube of voxels with a mask that no flip and no swap of axes leaves alike; HU, mask, grid."""
    coarse = phantoms.oriented_grid(orientation)
    affine = np.eye(4)
    affine[:3, :3] = coarse.directions * np.array(SPACING_MM)[np.abs(coarse.directions).argmax(axis=0)]
    affine[:3, 3] = (12.5, -31.0, 7.0)
    grid = VoxelGrid((SIZE, SIZE, SIZE), affine)
    mask = np.zeros(grid.shape, dtype=np.uint8)
    mask[4:15, 6:9, 5:12] = 1
    mask[4:7, 6:20, 8:10] = 1
    mask[12:15, 8, 11:25] = 1  # three pixels of a slice: just enough to count
    hu = np.full(grid.shape, -1000, dtype=np.int16)
    hu[2:-2, 2:-2, :] = 40
    hu[mask == 1] = 200
    return hu, mask, grid


@pytest.mark.parametrize("source_format", ["nifti", "mha", "dicom"])
@pytest.mark.parametrize("orientation", phantoms.ORIENTATIONS)
def test_the_mask_lies_on_the_source(orientation: str, source_format: str, copying: Path, tmp_path: Path) -> None:
    hu, mask, grid = cube(orientation)
    source = tmp_path / "source"
    if source_format == "dicom":
        write_phantom_series(source, hu, grid, modality="CT")
    else:
        write, name = (phantoms.write_nifti, "v.nii.gz") if source_format == "nifti" else (phantoms.write_mha, "v.mha")
        write(source / name, hu, grid)
    result = run("segment", source, "-b", copying, "-o", tmp_path / "out", "--steps", 0, "--json", "--modality", "CT")
    assert result.exception is None, result.output
    assert result.return_value == 0
    (case,) = json.loads(result.stdout)["cases"]
    folder = tmp_path / "out" / case["case"]

    read = nibabel.load(folder / "label.nii.gz")
    wanted = _rounded(grid.to_mm(np.argwhere(mask == 1)))
    label = np.asanyarray(read.dataobj)
    assert label.dtype == np.uint8
    assert _rounded(nibabel.affines.apply_affine(read.affine, np.argwhere(label))) == wanted
    if source_format != "dicom":  # a series is read with its own order of axes
        np.testing.assert_allclose(read.affine, grid.affine, atol=1e-4)
        np.testing.assert_array_equal(label, mask)
    itk = SimpleITK.ReadImage(folder / "label.nii.gz")
    points = [itk.TransformIndexToPhysicalPoint([int(i) for i in index]) for index in np.argwhere(label)[:20]]
    ras = np.array(points) * (-1, -1, 1)
    assert _rounded(ras) <= wanted
    (liver,) = case["classes"]
    assert liver["volume_ml"] == pytest.approx(mask.sum() * grid.voxel_volume_ml)
    assert 0 < liver["expected_dice"] <= 1
    if source_format == "dicom":
        _check_seg(folder / "seg.dcm", wanted)
    else:
        assert not (folder / "seg.dcm").exists()


def _check_seg(path: Path, wanted: set[tuple[float, ...]]) -> None:
    import highdicom

    volume = highdicom.seg.segread(path).get_volume(combine_segments=True, rescale_fractional=False)
    affine = lps_from_ras(volume.get_affine("LPS"))
    places = nibabel.affines.apply_affine(affine, np.argwhere(volume.array))
    assert _rounded(places) == wanted


def _rounded(places: np.ndarray) -> set[tuple[float, ...]]:
    return {tuple(place) for place in np.round(places, 2) + 0.0}  # no -0.0


def test_a_zip_with_two_series_a_skip_and_a_bad_file(volume_bundle: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    for modality in ("CT", "MR"):
        drawn = phantoms.phantom()
        phantoms.write_series(study / modality, drawn, modality)
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in sorted(study.rglob("*")):
            archive.write(path, path.relative_to(study))
    (tmp_path / "broken.nii.gz").write_bytes(b"no gzip")
    out = tmp_path / "out"

    inputs = tmp_path / "study.zip", tmp_path / "broken.nii.gz"
    arguments = ("segment", *inputs, "-b", volume_bundle, "-o", out, "--json")
    result = run(*arguments, "--probability", "--preview")
    assert result.exception is None, result.output
    assert result.return_value == 3
    report = json.loads(result.stdout)
    assert sorted(case["modality"] for case in report["cases"]) == ["CT", "MR"]
    assert [failure["source"] for failure in report["failures"]] == ["broken"]
    for case in report["cases"]:
        names = sorted(path.name for path in (out / case["case"]).iterdir())
        assert {"case.json", "label.nii.gz", "montage.png", "probability.nii.gz", "preview.dcm"} <= set(names)
        probability = nibabel.load(out / case["case"] / "probability.nii.gz").get_fdata()
        assert 0 <= probability.min() <= probability.max() <= 1
    assert not list(out.glob(".*")), "nothing is left of the unpacked zip"
    assert (out / "report.html").read_text().count("data:image/jpeg") == 2
    check_json("report", report)

    again = json.loads(run(*arguments, "--probability", "--preview").stdout)
    assert len(again["skipped"]) == 2 and not again["redone"]
    other = json.loads(run(*arguments, "--preview").stdout)
    assert not other["skipped"]
    assert {item["reason"] for item in other["redone"]} == {"other settings (probability)"}
    assert not list(out.rglob("probability.nii.gz"))


def test_what_cannot_be_segmented_says_why(volume_bundle: Path, tmp_path: Path) -> None:
    drawn = phantoms.phantom()
    stored = (phantoms.voxels(drawn, "CT").astype(np.int32) + 1024).clip(0).astype(np.int16)
    phantoms.write_nifti(tmp_path / "lost.nii.gz", stored, drawn.grid)
    phantoms.write_nifti(tmp_path / "flat.nii.gz", np.zeros_like(stored), drawn.grid)
    phantoms.write_nifti(tmp_path / "good.nii.gz", phantoms.voxels(drawn, "CT"), drawn.grid)
    files = [tmp_path / f"{name}.nii.gz" for name in ("lost", "flat", "good")]
    result = run("segment", *files, "-b", volume_bundle, "-o", tmp_path / "out", "--json", "--steps", 0)
    assert result.return_value == 3
    report = json.loads(result.stdout)
    assert [case["case"] for case in report["cases"]] == ["good"]
    reasons = {failure["source"]: failure["reason"] for failure in report["failures"]}
    assert "rescale" in reasons["lost"].lower()
    assert "every voxel is 0" in reasons["flat"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good", "report.html", "report.json"]


def test_too_little_memory_is_refused_before_the_work(volume_bundle: Path, tmp_path: Path) -> None:
    drawn = phantoms.phantom()
    phantoms.write_nifti(tmp_path / "v.nii.gz", phantoms.voxels(drawn, "CT"), drawn.grid)
    result = run("segment", tmp_path / "v.nii.gz", "-b", volume_bundle, "-o", tmp_path / "out", "--max-memory", 0.1)
    assert result.return_value == 3
    assert "GiB" in result.output


def test_a_volume_for_an_image_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    drawn = phantoms.phantom()
    phantoms.write_nifti(tmp_path / "v.nii.gz", phantoms.voxels(drawn, "CT"), drawn.grid)
    result = run("segment", tmp_path / "v.nii.gz", "-b", tiny_bundle, "-o", tmp_path / "out")
    assert result.return_value == 3
    assert not (tmp_path / "out" / "v").exists()


def test_a_full_disk_leaves_no_half_case(volume_bundle: Path, tmp_path: Path, monkeypatch) -> None:
    drawn = phantoms.phantom()
    phantoms.write_nifti(tmp_path / "v.nii.gz", phantoms.voxels(drawn, "CT"), drawn.grid)

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(outputs.OUTPUTS, "full", outputs.Output("full", "full.bin", full))
    arguments = ("segment", tmp_path / "v.nii.gz", "-b", volume_bundle, "-o", tmp_path / "out", "--steps", 0)
    result = run(*arguments, "--format", "nifti", "--format", "full")
    assert result.return_value == 3 and "No space left" in result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize(("fault", "option"), [("gap", "--fill-missing"), ("tilt", "--tilt=resample")])
def test_a_repaired_series_is_segmented_and_says_so(
    fault: str, option: str, volume_bundle: Path, tmp_path: Path
) -> None:
    """Refused as it is; with the repair there is a label, and a SEG only where its slices are the series' frames."""
    drawn = phantoms.phantom()
    files = phantoms.write_series(tmp_path / "ct", drawn, "CT")
    if fault == "gap":
        files[5].unlink()
    else:
        for number, file in enumerate(files):
            dataset = pydicom.dcmread(file)
            dataset.ImagePositionPatient[1] += 2.0 * number
            dataset.save_as(file)
    arguments = ("segment", tmp_path / "ct", "-b", volume_bundle, "-o", tmp_path / "out", "--steps", 0, "--json")
    refused = run(*arguments)
    assert refused.return_value == 3, refused.output
    repaired = run(*arguments, option)
    assert repaired.exception is None, repaired.output
    assert repaired.return_value == 0
    (case,) = json.loads(repaired.stdout)["cases"]
    folder = tmp_path / "out" / case["case"]
    assert (folder / "label.nii.gz").exists()
    assert (folder / "seg.dcm").exists() == (fault == "gap")
    assert any("No seg.dcm" in warning for warning in case["warnings"]) == (fault == "tilt")
