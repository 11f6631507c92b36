# SPDX-License-Identifier: Apache-2.0
"""One call from a data list to a bundle that segments; a call that was ended goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import monai_semigan
from monai_semigan.atomic import owner_name
from monai_semigan.bundle.audit import audit_bundle
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.cli.fit import command
from monai_semigan.errors import BundleError, ConfigError, InputError, OutputError, TrainingError
from monai_semigan.files import RunLock
from monai_semigan.io.datalist import load_datalist
from monai_semigan.training.gan_task import GanTask
from monai_semigan.training.loop import TrainingLoop
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.teacher import LabelTeacher, TeacherSettings
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.workflows import fit_stages
from monai_semigan.workflows.fit_checks import check_data
from monai_semigan.workflows.fit_plan import Speeds
from monai_semigan.workflows.fit_stages import FitStages, source_bundle
from monai_semigan.workflows.fitting import FitOptions, fit

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def options(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> FitOptions:
    """A tiny bundle to start from, with short settings."""
    path = tiny_bundle / "configs" / "train_encoder.json"
    config = json.loads(path.read_text())
    config["trainer"]["run"] = {"total_kimg": 0.016, "batch_size": 4, "tick_kimg": 0.008, "num_samples": 2}
    path.write_text(json.dumps(config))
    monkeypatch.setattr(
        fit_stages, "PLAIN_UNET", TeacherSettings(network="basic_unet", features=(4,) * 6, steps=3, batch_size=2)
    )
    return FitOptions(base=str(tiny_bundle), budget="1h", device="cpu")


def test_a_bundle_comes_out_that_segments(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    said: list[str] = []
    stages: list[str] = []

    result = fit(
        tmp_path / "mine", datalist=datalist, options=options, progress=lambda name, *_: stages.append(name),
        say=said.append,
    )  # fmt: skip

    opened = open_bundle(result.bundle)
    assert list(dict.fromkeys(stages)) == ["teacher", "encoder", "plain U-Net", "tune"]
    assert opened.name == "mine" and opened.network.feature_sizes == (8, 16) and opened.class_names[1] == "lung"
    assert audit_bundle(opened.root) == []
    card = (opened.root / "docs" / "README.md").read_text()
    assert f"| this bundle | {result.dice.mean:.3f}" in card
    assert f"| plain U-Net, the same labels | {result.unet_dice.mean:.3f}" in card
    assert open_bundle(options.base).digest in card
    assert any("unlabelled images" in line for line in said) and any(line.startswith("encoder: 0.016") for line in said)
    page = (result.run / "report.html").read_text()
    assert page.count("data:image/png") == 1 and "<svg" in page and "Dice of a plain U-Net" in page
    label = opened.segmenter(device="cpu").segment(monai_semigan.read(datalist.parent / "images" / "case3.png")).label
    assert label.shape == np.asarray(Image.open(datalist.parent / "images" / "case3.png")).shape


class KilledError(Exception):
    pass


@pytest.mark.parametrize("stage", ["teacher", "encoder", "plain U-Net", "tune"])
def test_a_call_that_was_ended_goes_on(options: FitOptions, datalist: Path, tmp_path: Path, stage: str) -> None:
    def kill(name: str, done: int, total: int) -> None:
        if name == stage:
            raise KilledError

    wanted = fit(tmp_path / "whole", datalist=datalist, options=options)
    with pytest.raises(KilledError):
        fit(tmp_path / "mine", datalist=datalist, options=options, progress=kill)
    assert not (tmp_path / "mine").exists()
    plan = (tmp_path / "mine-run" / "plan.json").read_bytes()

    result = fit(tmp_path / "mine", datalist=datalist, options=options)

    assert (tmp_path / "mine-run" / "plan.json").read_bytes() == plan
    assert result.dice == wanted.dice and result.unet_dice == wanted.unet_dice


def test_unlabelled_images_teach_the_teacher_where_the_base_asks_for_it(
    options: FitOptions, datalist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert options.base is not None
    path = Path(options.base) / "configs" / "train.json"
    config = json.loads(path.read_text())
    config["trainer"]["teacher"]["consistency"] = {}
    path.write_text(json.dumps(config))
    taught: list[tuple[str, int | None]] = []

    def spied(labelled: LabelledPool, settings: TeacherSettings, **places: Any) -> LabelTeacher:
        unlabelled = places.get("unlabelled")
        if places["path"].parent == tmp_path / "mine-run":
            taught.append((places["path"].name, None if unlabelled is None else len(unlabelled)))
        return train_teacher(labelled, settings, **places)

    monkeypatch.setattr(fit_stages, "train_teacher", spied)

    fit(tmp_path / "mine", datalist=datalist, options=options)

    listed = len(json.loads(datalist.read_text())["unlabelled"])
    assert listed and taught == [("teacher.pt", listed), ("unet.pt", None)]


def test_other_classes_get_fresh_label_heads(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    content = json.loads(datalist.read_text())
    for at in range(4):
        path = datalist.parent / "masks" / f"case{at}.png"
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
        mask[:, : mask.shape[1] // 2] *= 2
        Image.fromarray(mask).save(path)
    datalist.write_text(
        json.dumps(content | {"label_values": "classes", "class_names": ["background", "left", "right"]})
    )

    result = fit(tmp_path / "mine", datalist=datalist, options=options)

    opened = open_bundle(result.bundle)
    assert opened.class_names == ("background", "left", "right") and opened.network.num_classes == 3
    assert result.plan.gan_kimg > 0
    metadata = json.loads((opened.root / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 3
    assert "Losses of the GAN" in (result.run / "report.html").read_text()


def test_without_a_base_all_is_trained(options: FitOptions, datalist: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fit_stages, "list_bundles", lambda: [options.base])
    result = fit(tmp_path / "mine", datalist=datalist, options=replace(options, base=None, domain="chest_xray"))
    assert result.plan.gan_kimg > 0
    assert "random weights" in (result.bundle / "docs" / "README.md").read_text()


def test_what_cannot_go_on_is_refused(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    run = tmp_path / "mine-run"
    run.mkdir()
    with RunLock(run), pytest.raises(TrainingError, match="one run at a time"):
        fit(tmp_path / "mine", datalist=datalist, options=options)
    with pytest.raises(ConfigError, match="`budget` must be a time"):
        fit(tmp_path / "mine", datalist=datalist, options=replace(options, budget="soon"))
    with pytest.raises(ConfigError, match=r"`domain` must be one of .*--base"):
        fit(tmp_path / "mine", datalist=datalist, options=replace(options, base=None))

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("kept")
    with pytest.raises(OutputError, match="must be a new folder or a bundle"):
        fit(tmp_path / "mine", datalist=datalist, options=options)
    (tmp_path / "mine" / "thesis.txt").unlink()

    fit(tmp_path / "mine", datalist=datalist, options=options)

    with pytest.raises(BundleError, match="already holds a bundle"):
        fit(tmp_path / "mine", datalist=datalist, options=options)
    with pytest.raises(ConfigError, match="another budget"):
        fit_again(tmp_path, datalist, replace(options, budget="2h"))
    with pytest.raises(ConfigError, match="another base, seed"):
        fit_again(tmp_path, datalist, replace(options, base="lung_cxr_segmentation", seed=1))
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"labelled": content["labelled"][:1]}))
    with pytest.raises(ConfigError, match="another data list"):
        fit_again(tmp_path, datalist, options)


def test_a_budget_that_was_too_small_can_be_larger_the_next_time(
    options: FitOptions, datalist: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"`budget` must be at least .* Give more time"):
        fit(tmp_path / "mine", datalist=datalist, options=replace(options, budget="0.001s"))
    assert fit(tmp_path / "mine", datalist=datalist, options=options).bundle.exists()


def test_a_broken_image_is_found_before_anything_is_trained_and_can_be_left_out(
    options: FitOptions, datalist: Path, tmp_path: Path
) -> None:
    stages: list[str] = []
    (datalist.parent / "images" / "broken.png").write_bytes(b"no image")
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"unlabelled": [*content["unlabelled"], {"image": "images/broken.png"}]}))
    with pytest.raises(InputError, match=r"broken\.png"):
        fit(tmp_path / "mine", datalist=datalist, options=options, progress=lambda name, *_: stages.append(name))
    assert not stages and not (tmp_path / "mine-run" / "teacher.pt").exists()

    datalist.write_text(json.dumps(content))

    assert fit(tmp_path / "mine", datalist=datalist, options=options).bundle.exists()


def test_until_something_is_trained_all_can_be_asked_for_anew(
    options: FitOptions, datalist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [options.base]
    monkeypatch.setattr(fit_stages, "list_bundles", lambda: bundles)
    without_base = replace(options, base=None, domain="chest_xray", budget="0.001s", seed=3)
    with pytest.raises(ConfigError, match=r"start from a bundle \(--base\)"):
        fit(tmp_path / "mine", datalist=datalist, options=without_base)
    assert fit(tmp_path / "mine", datalist=datalist, options=options).plan.gan_kimg == 0


def test_names_of_classes_that_are_changed_are_not_lost_in_silence(
    options: FitOptions, datalist: Path, tmp_path: Path
) -> None:
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"class_names": ["background", "lnug"]}))
    fit(tmp_path / "mine", datalist=datalist, options=options)
    datalist.write_text(json.dumps(content | {"class_names": ["background", "lung"]}))
    with pytest.raises(ConfigError, match="another data list"):
        fit_again(tmp_path, datalist, options)


def test_another_kind_of_device_is_named(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    fit(tmp_path / "mine", datalist=datalist, options=options)
    path = tmp_path / "mine-run" / "asked.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda"}))
    with pytest.raises(ConfigError, match="another device"):
        fit_again(tmp_path, datalist, options)


def test_one_labelled_image_is_said(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"labelled": content["labelled"][:1]}))
    result = fit(tmp_path / "mine", datalist=datalist, options=options)
    assert any(line.startswith("One labelled image") for line in result.warnings)


def test_without_unlabelled_images_the_labelled_ones_serve(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"unlabelled": []}))
    result = fit(tmp_path / "mine", datalist=datalist, options=options)
    assert result.num_unlabelled == 0
    assert "2 labelled images, 0 unlabelled" in (result.bundle / "docs" / "README.md").read_text()


def test_iterations_are_timed_without_what_comes_at_ticks(
    options: FitOptions, datalist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = [options.base]
    monkeypatch.setattr(fit_stages, "list_bundles", lambda: bundles)
    options = replace(options, base=None, domain="chest_xray")
    now, iterations = 0.0, 0
    tick, iterate = TrainingLoop._tick, GanTask.iterate

    def slow_tick(loop: TrainingLoop, *places: Any) -> None:
        nonlocal now
        now += 100
        tick(loop, *places)

    def counted(task: GanTask, images_seen: int) -> Any:
        nonlocal iterations
        iterations += 1
        return iterate(task, images_seen)

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    monkeypatch.setattr(TrainingLoop, "_tick", slow_tick)
    monkeypatch.setattr(GanTask, "iterate", counted)
    data = load_datalist(datalist)
    source = source_bundle(None, "chest_xray")

    (tmp_path / "run").mkdir()
    work = FitStages(tmp_path / "run", source, data, check_data(data), options, None, clock=clock)
    speeds = work.speeds()

    assert speeds == Speeds(1, 1, 1 / work.batch_size, 1 / work.batch_size)
    assert iterations == 1 + max(work.gan.gan.r1_interval, work.gan.gan.path_length_interval)
    assert now > 200  # both had a tick


def test_files_of_pixels_to_ignore_are_found_from_anywhere(
    options: FitOptions, datalist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(datalist.read_text())
    for entry in content["validation"]:
        entry["ignore"] = entry["label"]
    datalist.write_text(json.dumps(content))
    monkeypatch.chdir(datalist.parent)
    assert fit(tmp_path / "mine", datalist=datalist.name, options=options).bundle.exists()


def test_a_folder_with_other_files_is_not_replaced(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    folder = datalist.parent / "images"
    before = sorted(folder.iterdir())
    with pytest.raises(OutputError, match="must be a new folder or a bundle"):
        fit(folder, datalist=datalist, options=options)
    assert sorted(folder.iterdir()) == before and not (datalist.parent / "images-run").exists()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="must be a new folder or a bundle"):
        fit(tmp_path / "notes", datalist=datalist, options=options)
    with pytest.raises(OutputError, match="must be a folder that can be written"):
        fit(tmp_path / "notes" / "mine", datalist=datalist, options=options)


def test_what_a_killed_call_left_is_removed(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    host = owner_name().partition("-")[2][:6]
    stale = [tmp_path / "mine-run" / f".timing.ab.4194305-{host}.tmp", tmp_path / f".mine.4194305-{host}.tmp"]
    for folder in stale:
        folder.mkdir(parents=True)
    fit(tmp_path / "mine", datalist=datalist, options=options)
    assert not any(folder.exists() for folder in stale)


def test_any_folder_gives_a_name(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`name` .*printable ASCII"):
        replace(options, name="Größe")
    result = fit(tmp_path / "Größe x", datalist=datalist, options=options)
    assert open_bundle(result.bundle).name == "Gr__e x"


def fit_again(tmp_path: Path, datalist: Path, options: FitOptions) -> None:
    """Fit into the run of a bundle that was moved away."""
    if (tmp_path / "mine").exists():
        (tmp_path / "mine").rename(tmp_path / "moved")
    fit(tmp_path / "mine", datalist=datalist, options=options)


def test_volumes_are_refused(volume_bundle: Path, datalist: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="for images, got one for volumes"):
        fit(tmp_path / "mine", datalist=datalist, options=FitOptions(base=str(volume_bundle)))
    assert not (tmp_path / "mine-run").exists()


def test_data_are_checked_first(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"validation": []}))
    with pytest.raises(InputError, match="must have validation images"):
        fit(tmp_path / "mine", datalist=datalist, options=options)
    assert not (tmp_path / "mine-run").exists()


def test_the_command_prints_the_comparison(options: FitOptions, datalist: Path, tmp_path: Path) -> None:
    arguments = [str(datalist), "--base", options.base, "--device", "cpu"]
    table = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "a")])
    as_json = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "b"), "--json"])
    assert table.exit_code == 0, table.output
    assert "plain U-Net, the same labels" in table.stdout and "bundle less plain U-Net" in table.stdout
    assert json.loads(as_json.stdout)["num_labelled"] == 2
