"""What paths hold: candidates, their names, and lazy reading."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.files import safe_name
from monai_semigan.io.dicom.repair import RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.volume_input import find_volumes, iter_volumes


def nifti(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.arange(30, dtype=np.int16).reshape(2, 3, 5), np.diag([1, 2, 3, 1])), path)
    return path


def names(*paths, **options) -> list[str]:
    return [candidate.name for candidate in find_volumes(paths, **options)]


def test_files_of_every_kind(tmp_path, dicom_files):
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "b" / "A.NII")
    image = SimpleITK.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(2, 3, 5))
    for name in ("c.mha", "c.nrrd", "d.mhd"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    dicom_files.write_series(tmp_path / "study" / "ct")
    (tmp_path / "notes.txt").write_text("x")

    found = find_volumes([tmp_path])

    assert {(entry.name, entry.kind) for entry in found} == {
        ("a", "nifti"), ("b_A", "nifti"), ("c", "itk"), ("c_2", "itk"), ("d", "itk"), ("study_ct", "dicom"),
    }  # fmt: skip
    for entry in found:
        volume = entry.load()
        assert volume.name == entry.name and volume.voxels.ndim == 3
        assert (entry.series is not None) == (entry.kind == "dicom")


def test_a_folder_with_one_series_gives_it_its_name(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path / "case 7")

    assert names(tmp_path / "case 7") == ["case_7"]


def test_several_series_in_a_folder_are_told_apart_without_the_patient(tmp_path, dicom_files):
    for number in (3, 12):
        dicom_files.write_series(tmp_path / "x" / str(number), SeriesNumber=number, SeriesDescription="Secret")
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted((tmp_path / "x").rglob("image*")):
        path.rename(flat / f"{path.parent.name}_{path.name}")

    found = find_volumes([flat])

    assert [entry.name for entry in found] == [
        f"flat_s{number}_{entry.series.short_hash[:6]}" for number, entry in zip((3, 12), found, strict=True)
    ]


def test_loose_slices_are_one_series(tmp_path, dicom_files):
    paths = dicom_files.write_series(tmp_path / "ct")

    (found,) = find_volumes(paths)

    assert found.load().voxels.shape == (7, 6, 5)


def test_rules_and_repairs_are_honored(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, leave_out=[2])

    with pytest.raises(InputError, match="1 DICOM series were left: modality CT, not MR"):
        find_volumes([tmp_path], rules=SeriesRules(modalities=("MR",)))
    with pytest.raises(GeometryError, match="missing"):
        find_volumes([tmp_path])[0].load()
    assert find_volumes([tmp_path], repairs=RepairOptions(fill_missing=True))[0].load().origin.is_repaired


def test_zips(tmp_path, dicom_files):
    paths = dicom_files.write_series(tmp_path / "ct")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
        archive.write(nifti(tmp_path / "mr.nii"), "deep/mr.nii")
    (tmp_path / "temporary").mkdir()

    found = find_volumes([tmp_path / "study.zip"], unpack_to=tmp_path / "temporary")

    assert [entry.name for entry in found] == ["deep_mr", "study"]
    assert found[1].load().voxels.shape == (7, 6, 5)
    with pytest.raises(InputError, match="no folder for its contents"):
        find_volumes([tmp_path / "study.zip"])


@pytest.mark.parametrize("name", ["no", "no.zip", "no.nii"])
def test_missing_paths_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="does not exist"):
        find_volumes([tmp_path / name], unpack_to=tmp_path)


def test_folders_without_volumes_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"x")

    with pytest.raises(InputError, match="No volume was found"):
        find_volumes([tmp_path])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc/passwd", "etc_passwd"),
        ("a b:c*d", "a_b_c_d"),
        ("Bäuch 腹部", "Bäuch_腹部"),
        ("..", "volume"),
        ("con.1", "con.1_"),
        ("x" * 200, "x" * 80),
        ("a\x00\nb", "a__b"),
        ("report.json", "report.json_"),
        ("\udcff\udcfe7", "7"),
        ("腹" * 240, "腹" * 53),
    ],
)
def test_names_are_safe_for_folders(text, name):
    assert safe_name(text) == name


@pytest.mark.parametrize("name", ["v.mhd", "v.nhdr"])
def test_the_digest_of_a_header_covers_its_data_file(tmp_path, name):
    image = SimpleITK.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(2, 3, 5))
    SimpleITK.WriteImage(image, str(tmp_path / name))
    (data,) = [path for path in tmp_path.iterdir() if path.name != name]
    (before,) = find_volumes([tmp_path / name])
    first = before.digest()

    data.write_bytes(data.read_bytes()[:-1] + b"\x7f")

    assert before.files == (tmp_path / name, data)
    assert first != find_volumes([tmp_path / name])[0].digest()
    assert find_volumes([tmp_path])[0].load().voxels.shape == (5, 3, 2)


def test_stacks_of_one_file_have_different_digests(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path / "ct")
    (found,) = find_volumes([tmp_path / "ct"])
    infos = [replace(found.series, part=part) for part in ((1, 1), (1, 2), (2, 2))]
    parts = [replace(found, dicom=replace(found.dicom, info=info)) for info in infos]

    assert len({part.digest() for part in parts}) == 3
    assert parts[0].digest() == found.digest()


def test_sizes_are_known_from_headers(tmp_path, dicom_files):
    nifti(tmp_path / "a.nii.gz")
    image = SimpleITK.GetImageFromArray(np.arange(30, dtype=np.float64).reshape(2, 3, 5))
    SimpleITK.WriteImage(image, str(tmp_path / "b.mha"))
    dicom_files.write_series(tmp_path / "ct")
    (tmp_path / "damaged.nii").write_bytes(b"x")
    (tmp_path / "damaged.mha").write_bytes(b"x")

    sizes = {entry.name: entry.size() for entry in find_volumes([tmp_path])}

    assert sizes.pop("damaged") is None and sizes.pop("damaged_2") is None
    assert sizes.pop("a") == ((2, 3, 5), 2) and sizes.pop("b") == ((5, 3, 2), 4)
    assert list(sizes.values()) == [((7, 6, 5), 2)]


def test_a_root_that_cannot_be_used_does_not_stop_the_others(tmp_path):
    nifti(tmp_path / "a" / "a.nii")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"x")
    failed: dict[str, str] = {}

    found = iter_volumes(
        [tmp_path / "bad.zip", tmp_path / "empty", tmp_path / "a"],
        on_failure=lambda name, error: failed.update({name: str(error)}),
        unpack_to=tmp_path,
    )

    assert [entry.name for entry in found] == ["a"]
    assert failed.keys() == {"bad.zip", "empty"}
    with pytest.raises(InputError, match="does not exist"):
        list(iter_volumes([tmp_path / "a", tmp_path / "no"], on_failure=print, unpack_to=tmp_path))
