"""`evaluate` from files to files: pairing, every empty case, failures that do not stop the others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_semigan import evaluate_files
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.report.evaluation_report import Evaluation
from monai_semigan.types import Progress
from monai_semigan.workflows.evaluating import EvaluationOptions


def evaluate(
    predictions: Any, references: Any, output: Path, *, progress: Progress | None = None, **options: Any
) -> Evaluation:
    return evaluate_files(predictions, references, output, options=EvaluationOptions(**options), progress=progress)


def square(rows: slice, columns: slice, *, shape: tuple[int, int] = (20, 30), value: int = 1) -> np.ndarray:
    label = np.zeros(shape, dtype=np.uint8)
    label[rows, columns] = value
    return label


EMPTY = np.zeros((20, 30), dtype=np.uint8)
LUNG = square(slice(4, 14), slice(6, 16))
SHIFTED = square(slice(4, 14), slice(8, 18))  # two columns to the right: Dice 160 / 200


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = tmp_path / "predictions", tmp_path / "references", tmp_path / "out"
    for path in paths[:2]:
        path.mkdir()
    return paths


def save(folder: Path, **labels: np.ndarray) -> None:
    for name, label in labels.items():
        Image.fromarray(label).save(folder / f"{name}.png")


def save_case(folder: Path, name: str, label: np.ndarray, **record: Any) -> None:
    (folder / name).mkdir()
    Image.fromarray(label).save(folder / name / "label.png")
    (folder / name / "case.json").write_text(json.dumps(record))


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_numbers_of_a_shifted_square_are_those_by_hand(folders) -> None:
    predictions, references, output = folders
    save(predictions, a=SHIFTED)
    save(references, a=LUNG)

    result = evaluate(*folders)

    (row,) = read_table(output / "cases.csv")
    assert (row["case"], row["patient"], row["class_name"]) == ("a", "a", "class 1")
    assert float(row["dice"]) == pytest.approx(0.8) and float(row["iou"]) == pytest.approx(80 / 120, abs=1e-6)
    assert float(row["hd95_px"]) == 2.0 and row["hd95_mm"] == ""
    (score,) = result.cases
    assert score.hd95_px == 2.0 and score.assd_px is not None and 0 < score.assd_px < 2
    assert not result.failures


def test_every_file_is_written_and_no_other(folders) -> None:
    save(folders[0], a=SHIFTED)
    save(folders[1], a=LUNG)

    result = evaluate(*folders)

    assert sorted(path.name for path in folders[2].iterdir()) == [
        "cases.csv",
        "patients.csv",
        "report.html",
        "summary.json",
    ]
    summary = json.loads((folders[2] / "summary.json").read_text())
    assert summary["schema"] == "semigan-evaluation-1" and "monai_semigan" in summary["versions"]
    assert summary | result.to_json() == summary
    assert str(folders[0].parent) not in "".join(path.read_text() for path in folders[2].iterdir())  # no paths


def test_the_output_of_segment_gives_spacing_and_names(folders) -> None:
    predictions, references, _ = folders
    names = ["background", "lung"]
    save_case(predictions, "isotropic", SHIFTED, spacing_mm=[0.5, 0.5], class_names=names)
    save_case(predictions, "anisotropic", SHIFTED, spacing_mm=[3.0, 0.25], class_names=names)
    save_case(predictions, "unknown", SHIFTED, spacing_mm=None, class_names=names)
    save(references, isotropic=LUNG * 255, anisotropic=LUNG * 255, unknown=LUNG * 255)

    result = evaluate(*folders, binary=True)

    by_case = {score.case: score for score in result.cases}
    assert {score.class_name for score in result.cases} == {"lung"}
    assert {score.hd95_px for score in result.cases} == {2.0}
    assert by_case["isotropic"].hd95_mm == pytest.approx(1.0)
    assert by_case["anisotropic"].hd95_mm == pytest.approx(0.5)  # columns, not rows
    assert by_case["unknown"].hd95_mm is None
    assert result.counts["cases_with_spacing"] == 2


def test_every_kind_of_empty_mask_is_scored_and_counted(folders) -> None:
    save(folders[0], both=EMPTY, invented=LUNG, missed=EMPTY, there=LUNG)
    save(folders[1], both=EMPTY, invented=EMPTY, missed=LUNG, there=LUNG)

    result = evaluate(*folders)

    found = {score.case: (score.dice, score.iou, score.hd95_px, score.assd_px) for score in result.cases}
    assert found == {
        "both": (1.0, 1.0, None, None),
        "invented": (0.0, 0.0, None, None),
        "missed": (0.0, 0.0, None, None),
        "there": (1.0, 1.0, 0.0, 0.0),
    }
    (count,) = result.classes
    assert (count.num_both_empty, count.num_reference_empty, count.num_prediction_empty) == (1, 1, 1)
    assert result.counts["undefined_surfaces"] == count.num_undefined_surface == 3
    means = {item.metric: (item.mean, item.num_patients) for item in result.summaries}
    assert means["dice"] == (0.5, 4) and means["hd95_px"] == (0.0, 1)
    summary = json.loads((folders[2] / "summary.json").read_text())
    assert summary["classes"][0]["num_both_empty"] == 1 and "absent from both" in summary["empty_rule"]


def test_a_class_that_only_other_cases_have_is_absent_not_dropped(folders) -> None:
    heart = square(slice(15, 18), slice(2, 9), value=2)
    save(folders[0], a=LUNG + heart, b=LUNG)
    save(folders[1], a=LUNG, b=LUNG)

    result = evaluate(*folders)

    rows = {(score.case, score.class_name): score.dice for score in result.cases}
    assert rows == {("a", "class 1"): 1.0, ("a", "class 2"): 0.0, ("b", "class 1"): 1.0, ("b", "class 2"): 1.0}
    assert next(s.mean for s in result.summaries if (s.class_name, s.metric) == ("class 2", "dice")) == 0.5


def test_what_has_no_counterpart_is_listed_and_counted(folders) -> None:
    save(folders[0], a=LUNG, only_predicted=LUNG)
    save(folders[1], a=LUNG, only_referenced=LUNG)

    result = evaluate(*folders)

    assert result.failures == (("only_predicted", "no reference"), ("only_referenced", "no prediction"))
    counts = result.counts
    assert (counts["missing_references"], counts["missing_predictions"], counts["failed_cases"]) == (1, 1, 2)
    assert (counts["cases"], counts["unusable_cases"]) == (1, 0)
    assert "only_referenced" in (folders[2] / "report.html").read_text()


def test_nothing_in_common_still_gives_a_report(folders) -> None:
    save(folders[0], a=LUNG)
    save(folders[1], b=LUNG)

    result = evaluate(*folders)

    assert result.counts["cases"] == 0 and len(result.failures) == 2 and result.summaries == ()
    assert (folders[2] / "report.html").exists()


def test_a_bad_case_does_not_stop_the_others(folders) -> None:
    predictions, references, _ = folders
    save(predictions, good=LUNG, small=LUNG[:18], high=LUNG * 7, broken=LUNG)
    save_case(predictions, "spaced", LUNG, spacing_mm=[0, 1])
    save(references, good=LUNG, small=LUNG, high=LUNG, broken=LUNG, spaced=LUNG)
    (predictions / "broken.png").write_bytes((predictions / "broken.png").read_bytes()[:60])

    result = evaluate(*folders, num_classes=2)

    reasons = dict(result.failures)
    assert [score.case for score in result.cases] == ["good"]
    assert "size 30 x 20, got 30 x 18" in reasons["small"]
    assert "class ids 0 to 1, got values 0 to 7" in reasons["high"]
    assert "damaged" in reasons["broken"] and "spacing_mm" in reasons["spaced"]
    assert result.counts["unusable_cases"] == 4


def test_undeclared_masks_of_255_are_a_reason_not_256_classes(folders) -> None:
    save(folders[0], a=LUNG, b=LUNG * 255)
    save(folders[1], a=LUNG * 255, b=LUNG)

    reasons = dict(evaluate(*folders).failures)

    assert "The reference must hold class ids, got the value 255. Pass --binary" in reasons["a"]
    assert "The prediction must hold class ids" in reasons["b"]
    assert not dict(evaluate(*folders, num_classes=256).failures)


def test_binary_is_for_predictions_of_0_and_255_too(folders) -> None:
    save(folders[0], a=LUNG * 255, b=LUNG, c=LUNG * 255 + square(slice(0, 2), slice(0, 2)))
    save(folders[1], a=LUNG * 255, b=LUNG * 255, c=LUNG * 255)

    result = evaluate(*folders, binary=True)

    assert {score.case: score.dice for score in result.cases} == {"a": 1.0, "b": 1.0}
    assert "The prediction must hold class ids, got the value 255. Write class ids" in dict(result.failures)["c"]
    assert "Pass --binary" in dict(evaluate(*folders).failures)["a"]
    assert "--binary" not in dict(evaluate(*folders, binary=True, num_classes=2).failures)["c"]


def test_ignored_pixels_are_left_out(folders, tmp_path: Path) -> None:
    save(folders[0], a=SHIFTED, b=SHIFTED)
    save(folders[1], a=LUNG, b=LUNG)
    (tmp_path / "ignore").mkdir()
    save(tmp_path / "ignore", a=(LUNG != SHIFTED).astype(np.uint8) * 255)

    result = evaluate(*folders, ignore=tmp_path / "ignore")

    assert [score.dice for score in result.cases] == [1.0, pytest.approx(0.8)]
    assert result.counts["cases_with_ignore_mask"] == 1


def test_ignore_masks_that_match_nothing_are_refused(folders, tmp_path: Path) -> None:
    save(folders[0], a=LUNG)
    save(folders[1], a=LUNG)
    (tmp_path / "ignore").mkdir()
    save(tmp_path / "ignore", a_ignore=EMPTY)

    with pytest.raises(InputError, match="`ignore` must hold masks named like the cases"):
        evaluate(*folders, ignore=tmp_path / "ignore")
    assert not folders[2].exists()


def test_patients_are_averaged_before_they_are_summarized(folders, tmp_path: Path) -> None:
    save(folders[0], a=SHIFTED, b=LUNG, c=LUNG)
    save(folders[1], a=LUNG, b=EMPTY, c=LUNG)
    (tmp_path / "patients.csv").write_text("case,patient\na,p1\nb,p1\nc,p2\n")

    result = evaluate(*folders, patients=tmp_path / "patients.csv")

    rows = read_table(folders[2] / "patients.csv")
    assert [(row["patient"], row["num_cases"], float(row["dice"])) for row in rows] == [
        ("p1", "2", 0.4),
        ("p2", "1", 1.0),
    ]
    assert result.summaries[0].mean == pytest.approx(0.7)
    assert [row["num_undefined_surface"] for row in rows] == ["1", "0"]


def test_a_wrong_table_of_patients_stops_before_anything_is_written(folders, tmp_path: Path) -> None:
    save(folders[0], a=LUNG)
    save(folders[1], a=LUNG)
    (tmp_path / "patients.csv").write_text("case,patient\nother,p1\n")

    with pytest.raises(InputError, match="in neither: other"):
        evaluate(*folders, patients=tmp_path / "patients.csv")
    assert not folders[2].exists()


def test_names_and_number_of_classes_must_agree(folders) -> None:
    save_case(folders[0], "a", LUNG, class_names=["background", "lung"])
    save_case(folders[0], "b", LUNG, class_names=["background", "liver"])
    save(folders[1], a=LUNG, b=LUNG)

    with pytest.raises(InputError, match="same class names"):
        evaluate(*folders)
    with pytest.raises(ConfigError, match=r"number of class names \(2\), got 3"):
        evaluate(*folders, class_names=["background", "organ"], num_classes=3)
    assert {score.class_name for score in evaluate(*folders, class_names=["background", "organ"]).cases} == {"organ"}


def test_the_output_is_never_an_input_folder(folders) -> None:
    """`segment` has a report.html of its own there."""
    save(folders[0], a=LUNG)
    save(folders[1], a=LUNG)

    with pytest.raises(ConfigError, match="`output` must be a folder of its own"):
        evaluate(folders[0], folders[1], folders[0] / ".")


def test_progress_counts_every_pair(folders) -> None:
    save(folders[0], a=LUNG, b=LUNG[:5])
    save(folders[1], a=LUNG, b=LUNG)
    calls: list[tuple[int, int]] = []

    evaluate(*folders, progress=lambda done, total: calls.append((done, total)))

    assert calls == [(1, 2), (2, 2)]


def test_a_second_call_gives_the_same_numbers(folders) -> None:
    rng = np.random.default_rng(0)
    for at in range(5):
        save(folders[0], **{f"c{at}": np.roll(LUNG, int(rng.integers(0, 4)), axis=1)})
        save(folders[1], **{f"c{at}": LUNG})

    assert evaluate(*folders) == evaluate(*folders)


def test_masks_of_sixteen_bits_are_binary_too(folders, tmp_path: Path) -> None:
    save(folders[0], a=SHIFTED)
    (tmp_path / "ignore").mkdir()
    Image.fromarray(LUNG.astype(np.uint16) * 65535).save(folders[1] / "a.png")
    Image.fromarray((LUNG != SHIFTED).astype(np.uint16) * 4095).save(tmp_path / "ignore" / "a.png")

    assert [score.dice for score in evaluate(*folders, ignore=tmp_path / "ignore", binary=True).cases] == [1.0]


def test_only_the_chosen_classes_are_scored(folders) -> None:
    heart = square(slice(15, 18), slice(2, 9), value=4)
    save(folders[0], a=SHIFTED)
    save(folders[1], a=LUNG + heart)

    assert [(score.class_name, score.dice) for score in evaluate(*folders, classes=[1]).cases] == [
        ("class 1", pytest.approx(0.8))
    ]
    assert [(s.class_name, s.dice) for s in evaluate(*folders, classes=[4, 2]).cases] == [
        ("class 2", 1.0),
        ("class 4", 0.0),
    ]
    with pytest.raises(ConfigError, match="`classes` must be class ids 1 to 255, got 0, 1"):
        evaluate(*folders, classes=[1, 0])
    with pytest.raises(ConfigError, match="class ids 1 to 2, got 3"):
        evaluate(*folders, classes=[3], num_classes=3)
    save(folders[1], a=LUNG * 255)
    assert "got the value 255. Pass --binary" in dict(evaluate(*folders, classes=[1]).failures)["a"]


def test_two_files_or_two_lists_are_pairs_whatever_their_names(folders) -> None:
    predictions, references, output = folders
    save(predictions, first=SHIFTED, second=LUNG)
    save(references, truth=LUNG, other=LUNG)
    save_case(predictions, "x", SHIFTED, class_names=["background", "lung"])
    lists = [predictions / "second.png", predictions / "x" / "label.png"], [references / "other.png"] * 2

    one = evaluate(str(predictions / "first.png"), references / "truth.png", output)
    two = evaluate(*lists, output)

    assert [(score.case, score.dice) for score in one.cases] == [("first", pytest.approx(0.8))]
    assert [(score.case, score.class_name, score.dice) for score in two.cases] == [
        ("second", "lung", 1.0),
        ("x", "lung", pytest.approx(0.8)),
    ]
    with pytest.raises(InputError, match=r"as many files as `predictions` \(2\), got 1"):
        evaluate(lists[0], lists[1][:1], output)
    with pytest.raises(InputError, match="second twice"):
        evaluate(lists[0][:1] * 2, lists[1], output)
    with pytest.raises(InputError, match="that exists"):
        evaluate([predictions / "gone.png"], lists[1], output)


def test_a_list_is_matched_with_a_folder_by_name(folders) -> None:
    save(folders[0], a=SHIFTED, b=LUNG)
    save(folders[1], a=LUNG, b=LUNG)

    result = evaluate([folders[0] / "b.png"], *folders[1:])

    assert [(score.case, score.dice) for score in result.cases] == [("b", 1.0)]
    assert result.failures == (("a", "no prediction"),) and result.inputs["predictions"] == "1 files"


def test_the_page_names_bundle_inputs_and_links_to_the_segmentations(folders) -> None:
    classes = [{"name": "lung"}]
    save_case(folders[0], "a", SHIFTED, classes=classes, bundle={"name": "lungs", "version": "2"})
    save(folders[1], a=LUNG * 255)

    result = evaluate(*folders, binary=True)

    page = (folders[2] / "report.html").read_text()
    assert 'href="../predictions/a/label.png"' in page and "lungs 2" in page
    assert result.cases[0].class_name == "lung" and result.bundle == "lungs 2"
    summary = json.loads((folders[2] / "summary.json").read_text())
    assert summary["bundle"] == "lungs 2" and summary["inputs"]["references"] == "references"
    assert "every value above 0" in summary["inputs"]["references are"]


def test_errors_are_drawn_on_the_images_that_fit(folders, tmp_path: Path) -> None:
    save(folders[0], a=SHIFTED, b=SHIFTED, c=SHIFTED)
    save(folders[1], a=LUNG, b=LUNG, c=LUNG)
    (tmp_path / "images").mkdir()
    save(tmp_path / "images", a=LUNG * 90, b=LUNG[:9])

    result = evaluate(*folders, images=tmp_path / "images")

    assert {item.case: item.is_on_image for item in result.worst} == {"a": True, "b": False, "c": False}
    with pytest.raises(InputError, match="`images` must be a folder"):
        evaluate(*folders, images=tmp_path / "nowhere")
