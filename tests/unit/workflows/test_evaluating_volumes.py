# SPDX-License-Identifier: Apache-2.0
"""`evaluate` for volumes: in millimetres and millilitres, on the reference's voxels or not at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  (the name in its documentation)
from PIL import Image

from monai_semigan import evaluate_files
from monai_semigan.report.evaluation_report import Evaluation
from monai_semigan.types import Progress
from monai_semigan.workflows.evaluating import EvaluationOptions


def evaluate(
    predictions: Any, references: Any, output: Path, *, progress: Progress | None = None, **options: Any
) -> Evaluation:
    return evaluate_files(predictions, references, output, options=EvaluationOptions(**options), progress=progress)


SHAPE = (16, 14, 9)
AFFINE = np.array([[0.0, -2.0, 0.0, 50.0], [1.5, 0.0, 0.0, -20.0], [0.0, 0.0, 5.0, -300.0], [0.0, 0.0, 0.0, 1.0]])
"""Rows of 1.5 mm to anterior, columns of 2 mm to the left, slices of 5 mm upwards: 15 mm3 a voxel."""


def organs(*, shift: int = 0) -> np.ndarray:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[3 + shift : 11 + shift, 2:9, 2:7] = 1
    label[2:5, 10:13, 3:6] = 2
    return label


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = tmp_path / "predictions", tmp_path / "references", tmp_path / "out"
    for path in paths[:2]:
        path.mkdir()
    return paths


def save(folder: Path, name: str, label: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(label, affine), path)
    return path


def test_a_shifted_organ_has_millimetres_and_millilitres_by_hand(folders) -> None:
    predicted = organs(shift=2)
    predicted[5, 2, 2] = 0
    save(folders[0], "a.nii.gz", predicted)
    save(folders[1], "a.nii.gz", organs())

    result = evaluate(*folders)

    liver, kidney = result.cases
    assert liver.dice == pytest.approx(2 * (6 * 35 - 1) / (8 * 35 * 2 - 1))
    assert liver.hd95_mm == pytest.approx(3.0) and liver.hd95_px is None  # two rows of 1.5 mm
    assert liver.reference_ml == pytest.approx(280 * 0.015) and liver.difference_ml == pytest.approx(-0.015)
    assert (kidney.dice, kidney.hd95_mm, kidney.difference_ml) == (1.0, 0.0, 0.0)
    assert result.counts["volumes"] == result.counts["cases_with_spacing"] == 1
    assert result.counts["undefined_surfaces"] == 0 and not result.failures
    with (folders[2] / "cases.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[0]["hd95_mm"], rows[0]["hd95_px"], rows[0]["reference_ml"]) == ("3.000000", "", "4.200000")
    metrics = {item["metric"] for item in json.loads((folders[2] / "summary.json").read_text())["summary"]}
    assert "difference_ml" in metrics and "hd95_px" not in metrics
    page = (folders[2] / "report.html").read_text()
    assert "axial slice" in page and "Diff. (mL)" in page and "HD95 (px)" not in page


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_a_reoriented_copy_in_another_format_scores_the_same(folders, tmp_path: Path, order: list[int]) -> None:
    save(folders[1], "a.nii", organs())
    image = nib.Nifti1Image(organs(shift=2), AFFINE)
    copy = image.as_reoriented(np.array(list(zip(order, (-1, 1, -1), strict=True))))
    nib.save(copy, tmp_path / "copy.nii")
    for number, suffix in enumerate((".nii.gz", ".mha", ".nrrd")):
        output = tmp_path / f"out{number}"
        predictions = tmp_path / f"predictions{number}"
        predictions.mkdir()
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "copy.nii")), str(predictions / f"a{suffix}"))

        result = evaluate(predictions, folders[1], output)

        assert not result.failures
        assert [score.dice for score in result.cases] == [pytest.approx(0.75), 1.0]
        assert result.cases[0].hd95_mm == pytest.approx(3.0)


def test_every_wrong_pair_is_listed_with_its_reason_and_the_others_are_scored(folders) -> None:
    predictions, references, _ = folders
    moved, finer = AFFINE.copy(), AFFINE @ np.diag([0.5, 0.5, 1.0, 1.0])
    moved[2, 3] += 5.0
    for name in ("good", "moved", "finer", "flat", "image", "broken", "kinds"):
        save(references, f"{name}.nii.gz", organs())
    save(predictions, "good.nii.gz", organs())
    save(predictions, "moved.nii.gz", organs(), moved)
    save(predictions, "finer.nii.gz", np.kron(organs(), np.ones((2, 2, 1), dtype=np.uint8)), finer)
    save(predictions, "flat.nii.gz", organs()[:, :, :1])
    save(predictions, "image.nii.gz", organs().astype(np.int16) * 400)
    broken = save(predictions, "broken.nii.gz", organs())
    broken.write_bytes(broken.read_bytes()[:-40])
    Image.fromarray(organs()[:, :, 4]).resize((20, 20)).save(predictions / "kinds.png")

    result = evaluate(*folders)

    reasons = dict(result.failures)
    assert {score.case for score in result.cases} == {"good"} and len(reasons) == 6
    assert "its center lies 5 mm away" in reasons["moved"] and "Resample it" in reasons["moved"]
    assert "has 32 x 28 x 9 voxels of 0.75 x 1 x 5 mm where the reference has 16 x 14 x 9" in reasons["finer"]
    assert "16 x 14 x 1" in reasons["flat"]
    assert "class ids 0 to 255, got 800" in reasons["image"]
    assert "damaged or cut short" in reasons["broken"]
    assert reasons["kinds"] == "The prediction must be a volume like its reference, got an image (kinds.png)."


def test_the_folders_of_segment_are_read(folders) -> None:
    path = save(folders[0], "a/label.nii.gz", (organs() == 1).astype(np.uint8))
    path.with_name("case.json").write_text(
        json.dumps({"class_names": ["background", "liver"], "spacing_mm": [9, 9, 9]})
    )
    save(folders[1], "a.nii.gz", organs())

    result = evaluate(*folders, classes=[1])
    refused = evaluate(*folders)

    assert [(s.class_name, s.dice, s.reference_ml) for s in result.cases] == [("liver", 1.0, pytest.approx(4.2))]
    assert "class ids 0 to 1, got values 0 to 2" in dict(refused.failures)["a"]
    assert "--class" in dict(refused.failures)["a"]


def test_a_patient_with_ct_and_mr_counts_once(folders, tmp_path: Path) -> None:
    for name, shift in (("p1_ct", 0), ("p1_mr", 2), ("p2_ct", 0)):
        save(folders[0], f"{name}.nii.gz", organs(shift=shift))
        save(folders[1], f"{name}.nii.gz", organs())
    (tmp_path / "patients.csv").write_text("case,patient\np1_ct,p1\np1_mr,p1\np2_ct,p2\n")

    result = evaluate(*folders, patients=tmp_path / "patients.csv", classes=[1])

    assert [(p.patient, p.num_cases, p.dice, p.hd95_mm) for p in result.patients] == [
        ("p1", 2, pytest.approx(0.875), pytest.approx(1.5)),
        ("p2", 1, 1.0, 0.0),
    ]
    dice = result.summaries[0]
    assert dice.num_patients == 2 and dice.mean == pytest.approx(0.9375)
    assert dice.low is not None and dice.high is not None and dice.low <= dice.mean <= dice.high


def test_ignored_voxels_are_left_out_in_any_axis_order(folders, tmp_path: Path) -> None:
    save(folders[0], "a.nii.gz", organs(shift=2))
    save(folders[1], "a.nii.gz", organs())
    (tmp_path / "ignore").mkdir()
    mask = nib.Nifti1Image((organs() != organs(shift=2)).astype(np.int16) * 200, AFFINE)
    nib.save(mask.as_reoriented(np.array([[2, 1], [0, -1], [1, 1]])), tmp_path / "ignore" / "a.nii")

    result = evaluate(*folders, ignore=tmp_path / "ignore")

    assert [score.dice for score in result.cases] == [1.0, 1.0]
    assert result.cases[0].reference_ml == pytest.approx(210 * 0.015)


def test_a_missed_organ_is_counted_in_millilitres_without_a_distance(folders) -> None:
    save(folders[0], "a.nii.gz", np.zeros(SHAPE, dtype=np.uint8))
    save(folders[1], "a.nii.gz", (organs() == 1).astype(np.uint8))

    result = evaluate(*folders)

    (score,) = result.cases
    assert (score.dice, score.hd95_mm, score.predicted_ml) == (0.0, None, 0.0)
    assert score.difference_ml == pytest.approx(-4.2)
    assert result.counts["undefined_surfaces"] == 1


def test_masks_of_255_are_binary_on_request(folders) -> None:
    save(folders[0], "a.nii.gz", (organs() > 0).astype(np.uint8))
    save(folders[1], "a.nii.gz", (organs() > 0).astype(np.uint8) * 255)

    assert "Pass --binary" in dict(evaluate(*folders).failures)["a"]
    assert [score.dice for score in evaluate(*folders, binary=True).cases] == [1.0]


def test_images_and_volumes_can_be_scored_together(folders) -> None:
    save(folders[0], "v.nii.gz", organs(shift=2))
    save(folders[1], "v.nii.gz", organs())
    for folder in folders[:2]:
        Image.fromarray(np.ones((20, 20), dtype=np.uint8)).save(folder / "i.png")

    result = evaluate(*folders)

    assert {(s.case, s.class_name): (s.hd95_px, s.hd95_mm) for s in result.cases}[("i", "class 1")] == (0.0, None)
    assert {item.metric for item in result.summaries} >= {"hd95_px", "hd95_mm", "difference_ml"}
    assert result.counts["volumes"] == 1


def test_errors_are_drawn_on_the_volume_in_any_axis_order(folders, tmp_path: Path) -> None:
    save(folders[0], "a.nii.gz", organs(shift=2))
    save(folders[1], "a.nii.gz", organs())
    (tmp_path / "images").mkdir()
    values = nib.Nifti1Image(organs().astype(np.int16) * 300, AFFINE)
    nib.save(values.as_reoriented(np.array([[2, 1], [0, -1], [1, 1]])), tmp_path / "images" / "a.nii")

    (item,) = evaluate(*folders, images=tmp_path / "images").worst

    assert item.is_on_image and "axial slice" in item.note
