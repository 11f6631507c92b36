"""Adapters of volumes: slices lie as radiologists see them, masks belong to their slices."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from dataset_trees import TREES
from phantoms import ORIENTATIONS, oriented_grid, phantom, write_nifti, write_series
from PIL import Image

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.extras.datasets import chaos, lits
from monai_semigan.extras.datasets.slices import ct_to_grey, mr_to_grey, write_slices
from monai_semigan.extras.datasets.volume_file import read_nifti_volume, read_slice_files
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.workflows.preparing import prepare

AXIAL = tuple(name for name in ORIENTATIONS if name not in ("coronal", "sagittal"))


@pytest.fixture
def build(tmp_path, monkeypatch):
    def make(name):
        TREES[name](tmp_path / "source", monkeypatch)
        return tmp_path / "source"

    return make


def labels_of(folder, name):
    """Stack the label slices of a case, (rows, columns, K)."""
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "labels").glob(f"{name}_*.png"))], -1)


@pytest.mark.parametrize("orientation", [name for name in AXIAL if name != "oblique"])
def test_slices_are_in_radiological_view_whatever_the_source(tmp_path, orientation):
    drawn, expected = phantom(orientation), phantom("axial")

    entries = write_slices(tmp_path, "case", drawn.voxels_ct, drawn.label, drawn.grid, is_ct=True)

    np.testing.assert_array_equal(labels_of(tmp_path, "case"), expected.label.transpose(1, 0, 2))  # L, P, S
    rows, columns = np.nonzero((labels_of(tmp_path, "case") == 1).any(axis=2))
    assert columns.mean() < 45 / 2  # the liver is on the left of the picture
    assert rows.mean() < np.nonzero((labels_of(tmp_path, "case") > 2).any(axis=2))[0].mean()  # kidneys below it
    assert entries[0]["spacing_mm"] == pytest.approx([10.0, 9.0])
    image = np.asarray(Image.open(tmp_path / entries[7]["image"]))
    label = np.asarray(Image.open(tmp_path / entries[7]["label"]))
    assert 80 < np.median(image[label == 1]) < 135 and np.median(image[0]) == 0


@pytest.mark.parametrize("orientation", ["coronal", "sagittal"])
def test_other_planes_are_refused(tmp_path, orientation):
    drawn = phantom(orientation)

    with pytest.raises(GeometryError, match=f"axial slices, got {orientation}"):
        write_slices(tmp_path, "case", drawn.voxels_ct, drawn.label, drawn.grid, is_ct=True)
    assert not list(tmp_path.iterdir())


def test_thin_slices_are_thinned_out_around_the_organ(tmp_path):
    label = np.zeros((20, 20, 100), np.uint8)
    label[5:9, 5:9, 50:60] = 1
    grid = VoxelGrid(label.shape, np.diag([-2.0, -2.0, 2.5, 1]))

    entries = write_slices(tmp_path, "case", label * 100, label, grid, is_ct=True)

    numbers = [int(entry["image"][-8:-4]) for entry in entries]
    assert numbers == list(range(38, 72, 2))
    assert [entry["has_organ"] for entry in entries] == [50 <= number < 60 for number in numbers]


def test_a_volume_whose_label_is_empty_is_spread_out(tmp_path):
    grid = VoxelGrid((20, 20, 6), np.diag([-2.0, -2.0, 2.5, 1]))

    entries = write_slices(tmp_path, "case", np.ones(grid.shape), np.zeros(grid.shape, np.uint8), grid, is_ct=False)

    assert len(entries) == 3 and not any(entry["has_organ"] for entry in entries)


def test_grey_values():
    assert ct_to_grey(np.array([-1000, 0, 100, 255, 900])).tolist() == [0, 0, 100, 255, 255]
    assert mr_to_grey(np.linspace(0, 1000, 1001))[[0, 500, 1000]].tolist() == [0, 128, 255]
    assert mr_to_grey(np.zeros((3, 3))).max() == 0


@pytest.mark.parametrize("name", ["chaos-ct", "chaos-t1-in", "chaos-t1-out", "chaos-t2spir"])
def test_chaos_masks_belong_to_their_slices(tmp_path, build, name):
    prepare(name, build(name), tmp_path / "out")

    series = name.removeprefix("chaos-").replace("-", "_")
    for patient in range(1, 5):
        expected = phantom("axial", seed=patient).label == 1
        np.testing.assert_array_equal(
            labels_of(tmp_path / "out", f"chaos_{series}_{patient:02d}"), expected.transpose(1, 0, 2)
        )


def test_chaos_organs_have_ids_and_volumes_are_kept(tmp_path, build):
    prepared = prepare("chaos-t2spir", build("chaos-t2spir"), tmp_path / "out", organs="all")

    content = json.loads(prepared.datalist.read_text())
    assert content["class_names"] == ["background", "liver", "right_kidney", "left_kidney", "spleen"]
    drawn = phantom("reversed_order", seed=1)
    label = nibabel.load(tmp_path / "out/volumes/chaos_t2spir_01_label.nii.gz")
    chaos_ids = np.array([0, 1, 4, 2, 3])[drawn.label]
    np.testing.assert_array_equal(np.asarray(label.dataobj), chaos_ids)
    np.testing.assert_allclose(label.affine, drawn.grid.affine, atol=1e-4)
    volume = np.asarray(nibabel.load(tmp_path / "out/volumes/chaos_t2spir_01.nii.gz").dataobj)
    np.testing.assert_array_equal(volume, drawn.voxels_mr)
    assert {entry["patient_id"] for entry in content["volumes"]["test"]["chaos-t2spir"]} == {
        entry["patient_id"] for entry in content["test"]["chaos-t2spir"]
    }


def test_both_phases_of_chaos_are_the_same_patients(tmp_path, build, monkeypatch):
    TREES["chaos-t1-out"](tmp_path / "out_of_phase", monkeypatch)

    first = chaos.collect(build("chaos-t1-in"), "t1-in")
    second = chaos.collect(tmp_path / "out_of_phase", "t1-out")

    assert [s.patient_id for s in first.subjects] == [s.patient_id for s in second.subjects]


def test_chaos_with_another_number_of_masks_is_refused(build):
    source = build("chaos-ct")
    sorted((source / "Train_Sets/CT/2/Ground").iterdir())[0].unlink()

    with pytest.raises(InputError, match=r"CT/2/Ground/\* \(1 files\)"):
        chaos.collect(source, "ct")


def test_a_missing_slice_of_chaos_is_refused_even_with_its_mask(tmp_path, build):
    source = build("chaos-ct")
    patient = source / "Train_Sets/CT/2"
    for folder in ("DICOM_anon", "Ground"):
        sorted((patient / folder).iterdir())[5].unlink()

    with pytest.raises(GeometryError, match="slices 5 and 6"):
        prepare("chaos-ct", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_strange_grey_values_of_chaos_are_refused(tmp_path, build):
    source = build("chaos-t2spir")
    path = sorted((source / "Train_Sets/MR/3/T2SPIR/Ground").iterdir())[0]
    pixels = np.array(Image.open(path))
    pixels[0, 0] = 95
    Image.fromarray(pixels).save(path)

    with pytest.raises(InputError, match="multiples of 63"):
        prepare("chaos-t2spir", source, tmp_path / "out")


def test_lits_slices_and_labels_follow_the_header(tmp_path, build):
    prepared = prepare("lits", build("lits"), tmp_path / "out")

    for at in range(5):
        expected = phantom("axial", seed=at).label == 1  # tumors count as liver
        np.testing.assert_array_equal(labels_of(tmp_path / "out", f"lits_{at:03d}"), expected.transpose(1, 0, 2))
    assert prepared.warnings == ()
    label, grid = read_nifti_volume(tmp_path / "out/volumes/lits_001_label.nii.gz")
    assert label.max() == 1 and grid.is_same_place(oriented_grid("reversed_order"))


def test_a_mirrored_header_of_lits_is_reported(tmp_path, build):
    source = build("lits")
    drawn = phantom(seed=0)
    mirrored = VoxelGrid(drawn.grid.shape, np.diag([-1.0, 1, 1, 1]) @ drawn.grid.affine)
    write_nifti(source / "Training Batch 1/volume-0.nii", drawn.voxels_ct, mirrored)

    prepared = prepare("lits", source, tmp_path / "out")

    assert len(prepared.warnings) == 1 and "volume-0.nii" in prepared.warnings[0]


def test_lits_of_two_shapes_is_refused(build):
    source = build("lits")
    write_nifti(
        source / "Training Batch 1/segmentation-0.nii", np.zeros((4, 4, 4), np.uint8), VoxelGrid((4, 4, 4), np.eye(4))
    )

    with pytest.raises(GeometryError, match=r"segmentation-0\.nii"):
        lits.collect(source).subjects[0].write(source)


def test_damaged_and_strange_volumes_are_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no volume")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "b.nii")
    (tmp_path / "c.dcm").write_bytes(b"no slice")

    with pytest.raises(InputError, match="NIfTI"):
        read_nifti_volume(tmp_path / "a.nii")
    with pytest.raises(InputError, match="three axes"):
        read_nifti_volume(tmp_path / "b.nii")
    with pytest.raises(InputError, match="DICOM slice"):
        read_slice_files([tmp_path / "c.dcm"])


def test_slices_of_two_series_are_refused(tmp_path):
    first = write_series(tmp_path / "a", phantom())
    second = write_series(tmp_path / "b", phantom("coronal"))

    with pytest.raises(GeometryError, match="one size, orientation"):
        read_slice_files([*first, second[0]])
    with pytest.raises(GeometryError, match="at least two"):
        read_slice_files(first[:1])
    with pytest.raises(GeometryError, match="slices 2 and 3"):
        read_slice_files([first[0], first[1], first[1], first[2]])
