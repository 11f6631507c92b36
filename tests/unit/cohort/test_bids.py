"""BIDS in and out: which names are taken, and the derivative that comes of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import phantoms
import pytest

from monai_semigan import SegmenterOptions, SegmentOptions
from monai_semigan.cohort.bids import bids_image, find_bids
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.running import CohortOptions, report_cohort, retry_cohort
from monai_semigan.errors import ConfigError, InputError

MR = SegmentOptions(segmenter=SegmenterOptions(steps=0, modality="MR"), device="cpu")

NAMES = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T2w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_acq-fast_run-1_T2w.nii.gz",
)


def write_volume(path: Path, *, turn: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.rot90(phantoms.phantom().voxels_mr.astype(np.int16), turn)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.5, 1.5, 5, 1])), path)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "study"
    for turn, name in enumerate(NAMES):
        write_volume(root / name, turn=turn)
    (root / "dataset_description.json").write_text('{"Name": "Geheim", "BIDSVersion": "1.8.0"}')
    (root / "sub-01" / "anat" / "sub-01_T1w.json").write_text("{}")
    (root / "sub-01" / "func").mkdir()
    (root / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz").write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("name", "derived"),
    [
        (NAMES[0], "sub-01/anat/sub-01_desc-T1w_dseg"),
        (NAMES[2], "sub-02/ses-b/anat/sub-02_ses-b_acq-fast_run-1_desc-T2w_dseg"),
        ("sub-x9/ct/sub-x9_ct.nii", "sub-x9/anat/sub-x9_desc-ct_dseg"),
        ("sub-x9/anat/sub-x9_CT.nii.gz", "sub-x9/anat/sub-x9_desc-CT_dseg"),
        ("sub-01/anat/sub-02_T1w.nii.gz", None),
        ("sub-01/ses-a/anat/sub-01_ses-b_T1w.nii.gz", None),
        ("sub-01/ses-a/anat/sub-01_T1w.nii.gz", None),
        ("sub-01/anat/sub-01_ses-a_T1w.nii.gz", None),
        ("sub-01/anat/sub-0_1_T1w.nii.gz", None),
        ("sub-01/anat/sub-01_desc-x_T1w.nii.gz", None),
        ("sub-01/anat/sub-01_FLAIR.nii.gz", None),
        ("sub-01/func/sub-01_T1w.nii.gz", None),
    ],
)
def test_names_say_what_an_image_is(name: str, derived: str | None) -> None:
    image = bids_image(Path("/data/study") / name)

    assert (None if image is None else str(image.derived)) == derived
    if image is not None:
        assert image.root == Path("/data/study") and image.source == name and "study" not in repr(image)


def test_bad_names_are_told_and_others_taken(dataset: Path) -> None:
    write_volume(dataset / "sub-03" / "anat" / "sub-04_T1w.nii.gz")
    write_volume(dataset / "sub-01" / "anat" / "sub-01_T1w.nii")
    told: dict[str, str] = {}

    units = find_bids(dataset, on_failure=lambda name, error: told.update({name: str(error)}))

    assert [(unit.case, unit.patient) for unit in units] == [
        ("sub-01_T1w", "sub-01"),
        ("sub-01_T2w", "sub-01"),
        ("sub-02_ses-b_acq-fast_run-1_T2w", "sub-02"),
    ]
    assert "must be sub-LABEL" in told["sub-04_T1w.nii.gz"] and "once, as .nii or" in told["sub-01_T1w.nii.gz"]
    with pytest.raises(InputError, match="must be the folder of a BIDS dataset"):
        find_bids(dataset / "sub-01", on_failure=lambda *_: None)
    (dataset.parent / "empty").mkdir()
    (dataset.parent / "empty" / "dataset_description.json").write_text("{}")
    with pytest.raises(InputError, match="but none was found"):
        find_bids(dataset.parent / "empty", on_failure=lambda *_: None)


def test_a_derivative_is_made_and_kept_true(run, volume_bundle: Path, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"

    outcome = run(dataset, output, bundle=volume_bundle, segment=MR, layout="bids")

    root = output / "derivatives" / "semigan"
    assert outcome.counts["done"] == 3 and not outcome.has_failures
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    names = [
        "sub-01/anat/sub-01_desc-T1w_dseg",
        "sub-01/anat/sub-01_desc-T2w_dseg",
        "sub-02/ses-b/anat/sub-02_ses-b_acq-fast_run-1_desc-T2w_dseg",
    ]
    endings = [f"{name}.{ending}" for name in names for ending in ("json", "nii.gz")]
    assert found == ["dataset_description.json", "dseg.tsv", *endings]
    for name, source in zip(names, NAMES, strict=True):
        case = Path(source).name.removesuffix(".nii.gz")
        assert (root / f"{name}.nii.gz").read_bytes() == (output / case / "label.nii.gz").read_bytes()
        assert json.loads((root / f"{name}.json").read_text()) == {"Sources": [f"bids:raw:{source}"]}
        image, label = nibabel.load(dataset / source), nibabel.load(root / f"{name}.nii.gz")
        assert image.shape == label.shape and np.allclose(image.affine, label.affine)
    described = json.loads((root / "dataset_description.json").read_text())
    bundle = outcome.report.segmentation.bundle
    assert described["DatasetType"] == "derivative" and described["DatasetLinks"] == {"raw": "../../../study"}
    assert (root / described["SourceDatasets"][0]["URL"] / NAMES[0]).is_file()
    assert [made["Name"] for made in described["GeneratedBy"]] == ["monai_semigan", bundle.name]
    assert bundle.digest in described["GeneratedBy"][1]["Description"]
    assert described["GeneratedBy"][1]["Version"] == bundle.version
    table = list(csv.DictReader((root / "dseg.tsv").read_text().splitlines(), delimiter="\t"))
    assert table == [{"index": "1", "name": "liver", "color": "#dd8265", "abbreviation": "L"}]

    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    report_cohort(output)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before

    (dataset / NAMES[1]).write_bytes(b"no volume any more")
    shutil.rmtree(output / "sub-01_T2w")
    again = run([], output, bundle=volume_bundle, segment=MR)
    assert again.counts["refused"] == 1 and not list(root.rglob("sub-01_desc-T2w*"))
    write_volume(dataset / NAMES[1], turn=1)
    assert retry_cohort(output) == 1
    run([], output, bundle=volume_bundle, segment=MR)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_patients_are_subjects_and_other_layouts_are_refused(
    run, volume_bundle: Path, tiny_bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    run(dataset, tmp_path / "out", bundle=volume_bundle, segment=MR, layout="bids")

    with Manifest(tmp_path / "out") as manifest:
        assert [row.patient for row in manifest.rows()] == ["sub-01", "sub-01", "sub-02"]
    with pytest.raises(ConfigError, match="`layout` must be the one that this cohort was begun with, bids"):
        run(dataset, tmp_path / "out", bundle=volume_bundle, segment=MR, layout="cases")
    write_volume(tmp_path / "other" / NAMES[0])
    with pytest.raises(ConfigError, match="of one BIDS dataset in a cohort"):
        run(tmp_path / "other", tmp_path / "out", bundle=volume_bundle, segment=MR)
    with pytest.raises(ConfigError, match="the folder of one BIDS dataset, got 2"):
        run([dataset, tmp_path / "other"], tmp_path / "out", bundle=volume_bundle, segment=MR)
    with pytest.raises(ConfigError, match="must hold nifti with layout bids"):
        CohortOptions(segment=SegmentOptions(formats=("montage",)), layout="bids")


def test_a_bundle_of_images_has_no_bids(run, tiny_bundle: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`layout` must be cases for a bundle of images"):
        run(dataset, tmp_path / "out", bundle=tiny_bundle, layout="bids")
