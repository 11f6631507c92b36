"""Series among files: how they are grouped, and which rules take them."""

from __future__ import annotations

import pytest

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.dicom.series import find_series
from monai_semigan.io.folder import files_in


def found_in(folder, rules: SeriesRules | None = None):
    return [series.info for series in find_series(files_in(folder), rules)]


def test_series_are_found_whatever_the_names(tmp_path, dicom_files):
    paths = dicom_files.write_series(tmp_path / "deep" / "er")
    paths[0].rename(paths[0].with_suffix(".jpg"))
    (tmp_path / "DICOMDIR").write_bytes(paths[1].read_bytes())
    (tmp_path / ".hidden").write_bytes(paths[1].read_bytes())
    (tmp_path / "notes.dcm").write_text("no DICOM")
    (tmp_path / "short").write_bytes(b"x")
    (tmp_path / "broken").write_bytes(paths[1].read_bytes()[:150] + b"\xff" * 50)

    (info,) = found_in(tmp_path)

    assert (info.num_slices, info.plane, info.shape, info.modality) == (5, "axial", (7, 6), "CT")
    assert info.spacing_mm == pytest.approx((0.8, 0.6, 2.5))
    assert info.is_taken and info.fault is None and info.reason == "fits"
    assert len(info.short_hash) == 8 and info.short_hash not in info.series_uid


@pytest.mark.parametrize(
    ("name", "plane"), [("axial", "axial"), ("coronal", "coronal"), ("sagittal", "sagittal"), ("oblique", "axial")]
)
def test_plane_of_the_slices(tmp_path, dicom_files, name, plane):
    dicom_files.write_series(tmp_path, orientation=dicom_files.ORIENTATIONS[name])

    assert found_in(tmp_path)[0].plane == plane


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCOUT"]}, "a localizer"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1"}, "no CT, MR or PET slices"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MPR", "MIP"]}, "a projection"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "tiled into one picture"),
        ({"ImageType": ["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]}, "a computed map"),
        ({"SamplesPerPixel": 3}, "a color picture"),
    ],
)
def test_what_is_no_stack_of_slices_is_left(tmp_path, dicom_files, tags, reason):
    dicom_files.write_series(tmp_path, **tags)

    (info,) = found_in(tmp_path)

    assert not info.is_taken and reason in info.reason and info.fault is None


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"modalities": ("mr", "PT")}, "modality CT, not MR or PT"),
        ({"description": "^arterial"}, "description does not match"),
        ({"min_slices": 6}, "5 slices, fewer than 6"),
        ({"plane": "sagittal"}, "axial slices, not sagittal"),
    ],
)
def test_rules_leave_with_a_reason(tmp_path, dicom_files, rules, reason):
    dicom_files.write_series(tmp_path, SeriesDescription="Portal Venous")

    (info,) = found_in(tmp_path, SeriesRules(**rules))

    assert not info.is_taken and reason in info.reason


def test_rules_take_what_fits_all_of_them(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, SeriesDescription="Portal Venous")

    rules = SeriesRules(modalities=("ct",), description="portal|arterial", min_slices=5, plane="axial")

    assert found_in(tmp_path, rules)[0].is_taken


@pytest.mark.parametrize("rules", [{"plane": "frontal"}, {"min_slices": 0}, {"description": "("}])
def test_impossible_rules_are_refused(rules):
    with pytest.raises(ConfigError, match=next(iter(rules))):
        SeriesRules(**rules)


def test_a_localizer_s_planes_are_separate_stacks(tmp_path, dicom_files):
    for number, name in enumerate(("axial", "coronal", "sagittal")):
        dicom_files.write_series(
            tmp_path / str(number), orientation=dicom_files.ORIENTATIONS[name], SeriesInstanceUID="1.2.3"
        )

    found = found_in(tmp_path)

    assert [info.part for info in found] == [(1, 3), (2, 3), (3, 3)]
    assert {info.plane for info in found} == {"axial", "coronal", "sagittal"}
    assert len({info.short_hash for info in found}) == 1


def test_another_frame_of_reference_is_another_stack(tmp_path, dicom_files):
    for number in range(2):
        dicom_files.write_series(tmp_path / str(number), SeriesInstanceUID="1.2.3")

    assert [info.part for info in found_in(tmp_path)] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(("keyword", "values"), [("EchoTime", ("2.3", "4.6")), ("ImageType", (["A"], ["B"]))])
def test_echoes_and_image_types_at_the_same_places_are_separate(tmp_path, dicom_files, keyword, values):
    for number, value in enumerate(values):
        dicom_files.write_series(
            tmp_path / str(number),
            **{
                "SeriesInstanceUID": "1.2.3",
                "FrameOfReferenceUID": "1.2.4",
                "SOPClassUID": dicom_files.MR,
                keyword: value,
            },
        )

    found = found_in(tmp_path)

    assert [info.num_slices for info in found] == [5, 5] and all(info.fault is None for info in found)


def test_a_fault_is_known_from_headers(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, leave_out=[2])

    (info,) = found_in(tmp_path)

    assert info.is_taken and "1 slice is missing" in info.fault and info.spacing_mm is None


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        files_in(tmp_path / "no")


def test_folders_behind_links_are_searched_once(tmp_path, dicom_files):
    paths = dicom_files.write_series(tmp_path / "elsewhere" / "ct")
    study = tmp_path / "study"
    study.mkdir()
    (study / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (study / "again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(study, target_is_directory=True)

    found = files_in(study)

    assert sorted(file.resolve() for file in found) == sorted(paths)
    assert files_in(study, skip=tmp_path / "elsewhere") == []
