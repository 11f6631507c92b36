# SPDX-License-Identifier: Apache-2.0
"""Scores, reproducibility and cost of a bundle, on a tiny one: what the programs measure is what the package does."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import abdomen, reproducibility, segment_cost
from benchmarks.accuracy import changed_bundle, score_set, segmenters, set_line
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.io.datalist import Entry
from monai_semigan.segmentation.segmenter import SegmenterOptions
from monai_semigan.workflows.reading import read


@pytest.fixture
def entries(tmp_path: Path, make_xray) -> list[Entry]:
    found = []
    for seed in range(3):
        image, mask = make_xray(seed=seed)
        paths = [tmp_path / f"{name}{seed}.png" for name in ("image", "mask")]
        for path, pixels in zip(paths, (image, mask * 255), strict=True):
            Image.fromarray(pixels).save(path)
        found.append(Entry(image=paths[0], label=paths[1], patient_id=str(seed // 2)))
    return found


def test_a_set_is_scored_against_its_labels(tiny_bundle: Path, entries) -> None:
    ((steps, segmenter),) = segmenters(open_bundle(tiny_bundle), [1], "cpu")
    own = []
    for entry in entries:
        label = segmenter.segment(read(entry.image)).label
        path = entry.image.with_name(f"own_{entry.image.name}")
        Image.fromarray(label).save(path)
        own.append(Entry(image=entry.image, label=path, patient_id=entry.patient_id))

    exact, other = (score_set(given, segmenter, binary=True) for given in (own, entries))

    assert steps == 1 and exact["images"] == 3
    assert exact["dice_per_image"] == exact["worst"] == 1 and exact["iou_of_pixels"] == [1, 1]
    labels, masks = (
        np.concatenate([np.array(Image.open(entry.label)).ravel() > 0 for entry in given]) for given in (own, entries)
    )
    for at, (label, mask) in enumerate(((~labels, ~masks), (labels, masks))):
        assert other["iou_of_pixels"][at] == pytest.approx((label & mask).sum() / (label | mask).sum())
    assert exact["hd95_px"] == {"mean": 0, "median": 0} and other["hd95_px"]["mean"] > 0
    assert other["dice_per_image"] < 1 and other["cases"].keys() == {"image0", "image1", "image2"}


def test_several_classes_of_one_patient_are_a_mean_without_an_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "face.png")
    Image.fromarray(rng.integers(0, 6, (64, 64), dtype=np.uint8)).save(tmp_path / "parts.png")
    entry = Entry(image=tmp_path / "face.png", label=tmp_path / "parts.png", patient_id="1")
    ((_, segmenter),) = segmenters(open_bundle("face_parts_segmentation"), [0], "cpu")

    row = score_set([entry], segmenter, binary=False)

    drawn, true = segmenter.segment(read(entry.image)).label, np.array(Image.open(tmp_path / "parts.png"))
    dice = [2 * ((drawn == k) & (true == k)).sum() / ((drawn == k).sum() + (true == k).sum()) for k in range(1, 6)]
    assert row["dice_per_patient"] == row["worst"] == pytest.approx(np.mean(dice))
    assert row["interval"] is None and "of one per patient" in set_line(row)


def test_a_change_reaches_image_and_label(tiny_bundle: Path, entries) -> None:
    ((_, segmenter),) = segmenters(open_bundle(tiny_bundle), [0], "cpu")
    shapes = []

    def crop(pixels: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes.append(pixels.shape)
        return pixels[10:], label[10:]

    assert score_set(entries, segmenter, binary=True, change=crop)["images"] == len(shapes) == 3


def test_settings_are_replaced_in_every_chain(volume_bundle: Path) -> None:
    bundle = changed_bundle(open_bundle(volume_bundle), [("tolerance", 0.25), ("optimizer", "lbfgs")])

    assert [chain.inversion.tolerance for chain in bundle.chains.values()] == [0.25, 0.25]
    assert {chain.inversion.optimizer for chain in bundle.chains.values()} == {"lbfgs"}


@pytest.mark.parametrize("with_looks", [False, True])
def test_slices_are_pooled_by_patient(volume_bundle: Path, entries, with_looks: bool) -> None:
    bundle = open_bundle(volume_bundle)
    ((_, segmenter),) = segmenters(abdomen.slice_bundle(bundle, with_looks=with_looks), [1], "cpu")

    scores = abdomen.score_slices(entries, segmenter, None)

    assert scores.keys() == {"0", "1"}
    assert all(0 <= value <= 1 for row in scores.values() for value in row)


def test_the_lowest_dice_is_over_the_classes_of_both_labels() -> None:
    one, other = np.array([0, 1, 1, 2]), np.array([0, 1, 1, 0])

    assert reproducibility.lowest_dice(one, one) == reproducibility.lowest_dice(one * 0, one * 0) == 1
    assert reproducibility.lowest_dice(one, other) == 0
    assert reproducibility.lowest_dice(np.array([1, 1, 1, 0]), np.array([1, 1, 0, 0])) == pytest.approx(0.8)


def test_labels_that_differ_are_counted(tiny_bundle: Path, entries) -> None:
    bundle, sources = open_bundle(tiny_bundle), [read(entry.image) for entry in entries]
    reference, other = reproducibility.REFERENCE, reproducibility.Variant(False, 2, 1)
    runs = {
        variant: bundle_segmenter(bundle, options=SegmenterOptions(steps=steps), device="cpu")
        for variant, steps in ((reference, 0), (other, 40))  # other steps stand for other kernels
    }

    rows = reproducibility.compare_labels(runs, sources, repeats=2)

    assert rows[reference]["differ"] == 0 and rows[reference]["lowest_dice"] == 1
    assert rows[other]["differ"] > 0 and rows[other]["lowest_dice"] < 1
    assert rows[other]["cpu_s"] > rows[reference]["cpu_s"] > 0


def test_deterministic_labels_are_those_of_one_image_on_one_thread(
    tiny_bundle: Path, entries, tmp_path, capsys
) -> None:
    inputs = [str(entry.image) for entry in entries]
    sizes = ["--batches", "1", "2", "--threads", "1", "2", "--repeats", "1"]
    reproducibility.main([str(tiny_bundle), *inputs, *sizes, "--device", "cpu", "--json", str(tmp_path / "out.json")])

    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert len(rows) == 8
    assert [row["differ"] for row in rows if row["is_deterministic"]] == [0, 0, 0, 0]
    assert capsys.readouterr().out.count(" of the usual)") == 4


def test_a_run_of_the_command_line_is_measured_and_its_opens_are_counted(tiny_bundle: Path, entries) -> None:
    version = segment_cost.Version(sys.executable)
    given = ("segment", str(entries[0].image), "-b", str(tiny_bundle), "--device", "cpu", "--steps", "0")

    time, memory = segment_cost.cost_rows({"ours": version, "other": version}, "one", given, repeats=1)

    assert time.values["ours"] > 0.1 and time.unit == "CPU-s"
    assert 0.05 < memory.values["ours"] < 8 and memory.ratios.keys() == {"ours"}
    line = segment_cost.opens_line(version, given, 1)
    assert ("metadata.json opened " in line) == (shutil.which("strace") is not None)


def test_a_folder_without_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"must hold \.venv or an installed monai_semigan"):
        segment_cost.program_of(tmp_path)
