# SPDX-License-Identifier: Apache-2.0
"""A bundle is adapted from a few labelled images, says what that gave, and is not written if it gave nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import monai_semigan
from monai_semigan.bundle.audit import audit_bundle
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.cli.adapt import command
from monai_semigan.errors import BundleError, ConfigError, InputError, OutputError, TrainingError
from monai_semigan.io.datalist import load_datalist
from monai_semigan.training.adaptation import AdaptationSettings
from monai_semigan.workflows import adapt_validation, adapting
from monai_semigan.workflows.adapt_checks import shared_out
from monai_semigan.workflows.adapt_data import read_adaptation_data
from monai_semigan.workflows.adapting import AdaptOptions, adapt

QUICK = AdaptOptions(
    max_steps=30, training=AdaptationSettings(batch_size=4, learning_rate=5e-3, half_life=2.0), folds=2
)


@pytest.fixture
def hospital(tmp_path: Path, make_xray) -> Callable[..., Path]:
    """Write a data list of labelled X-rays, one per patient."""

    def make(count: int = 4, *, patients: int | None = None) -> Path:
        folder = tmp_path / "hospital"
        folder.mkdir(exist_ok=True)
        entries = []
        for at in range(count):
            image, mask = make_xray(seed=at)
            Image.fromarray(image).save(folder / f"x{at}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"x{at}_mask.png")
            owner = str(at % (patients or count))
            entries.append({"image": f"x{at}.png", "label": f"x{at}_mask.png", "patient_id": owner})
        path = folder / "data.json"
        path.write_text(json.dumps({"schema": "semigan-datalist-1", "label_values": "binary", "labelled": entries}))
        return path

    return make


@pytest.fixture
def bundle(tiny_bundle: Path, edit_bundle) -> Path:
    """The tiny bundle with limits, a card, and a note on its data."""
    (tiny_bundle / "docs").mkdir()
    (tiny_bundle / "docs" / "data_license.txt").write_text("trained on CC BY 4.0\n")
    edit_bundle(tiny_bundle, max_image_error=50.0, min_expected_dice=0.9)
    return tiny_bundle


def test_unlabelled_images_teach_but_not_those_of_who_is_held_out(bundle: Path, hospital, make_xray) -> None:
    path = hospital(4)
    content, more = json.loads(path.read_text()), []
    for at in range(4, 10):
        Image.fromarray(make_xray(seed=at)[0]).save(path.parent / f"x{at}.png")
        more.append({"image": f"x{at}.png", "patient_id": str(at % 4)} if at < 8 else {"image": f"x{at}.png"})
    shutil.copy(path.parent / "x0.png", path.parent / "copy.png")
    listed = [{"image": "x1.png", "patient_id": "1"}, {"image": "copy.png"}, *more]
    path.write_text(json.dumps(content | {"unlabelled": listed}))

    images = read_adaptation_data(load_datalist(path), open_bundle(bundle))

    assert len(images.labelled) == 4 and images.unlabelled_patients == ("0", "1", "2", "3", None, None)
    assert len(images.unlabelled) == 6, "labelled images and copies of them are not among these"
    assert len(images.unlabelled_without([])) == 6 and len(images.unlabelled_without([0, 3])) == 4
    assert torch.equal(images.unlabelled_without([0, 3]).images, images.unlabelled.images[[1, 2, 4, 5]])


def test_the_result_and_the_card_say_how_many_unlabelled_images_taught(
    bundle: Path, hospital, make_xray, tmp_path: Path
) -> None:
    path = hospital()
    Image.fromarray(make_xray(seed=50)[0]).save(path.parent / "more.png")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unlabelled": [{"image": "more.png"}]}))

    result = adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)

    assert result.num_unlabelled == 1
    assert "4 labelled images of 4 patients and 1 without labels" in (result.bundle / "docs" / "README.md").read_text()


def test_the_new_bundle_is_better_and_says_what_it_came_from(bundle: Path, hospital, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    source = open_bundle(bundle)

    result = adapt(
        tmp_path / "mine", bundle=bundle, datalist=hospital(), options=QUICK, progress=lambda *done: seen.append(done)
    )

    opened = open_bundle(tmp_path / "mine")
    metadata = json.loads((opened.root / "configs" / "metadata.json").read_text())
    origin, card = metadata["semigan"]["adapted_from"], (opened.root / "docs" / "README.md").read_text()
    by_steps = {row.steps: row.dice.mean for row in result.rows}
    assert list(by_steps) == [0, 10, 20, 30] and result.steps in (10, 20, 30)
    enough = max(by_steps.values()) - adapt_validation.TOLERANCE
    assert by_steps[result.steps] >= enough > by_steps[0]
    assert all(by_steps[steps] < enough for steps in by_steps if steps > result.steps)
    assert result.gain.mean == pytest.approx(by_steps[result.steps] - by_steps[0])
    assert (origin["name"], origin["digest"], origin["num_labelled"]) == (source.name, source.digest, 4)
    assert opened.weights_sha256 != source.weights_sha256
    assert opened.image_chain.max_image_error == 50.0 and opened.image_chain.min_expected_dice != 0.9
    assert opened.inversion.steps == 0
    assert f"| {result.steps} | {by_steps[result.steps]:.3f}" in card and "(ships)" in card
    licence = (opened.root / "docs" / "data_license.txt").read_text()
    assert "CC BY 4.0" in licence and "4 labelled images" in licence
    assert audit_bundle(opened.root) == []
    assert seen[-1] == ("adaptation", result.steps, result.steps) and ("cross-validation", 60, 60) in seen


def test_what_ships_is_what_was_learned_from_all(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital()
    result = adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)
    image = monai_semigan.read(path.parent / "x0.png")
    wanted = np.asarray(Image.open(path.parent / "x0_mask.png")) > 0

    before, after = (
        monai_semigan.evaluate(monai_semigan.load_bundle(root).segmenter(steps=0).segment(image).label, wanted)
        for root in (bundle, result.bundle)
    )

    assert after.mean_dice > before.mean_dice


def test_the_same_seed_gives_the_same_weights(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(2)
    digests = [
        open_bundle(
            adapt(tmp_path / name, bundle=bundle, datalist=path, options=replace(QUICK, seed=seed)).bundle
        ).weights_sha256
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_one_patient_leaves_nothing_to_hold_out(bundle: Path, hospital, tmp_path: Path) -> None:
    result = adapt(
        tmp_path / "mine", bundle=bundle, datalist=hospital(3, patients=1), options=replace(QUICK, max_steps=3)
    )
    assert result.rows == () and result.gain is None and result.steps == 3 and result.num_patients == 1
    assert any("nothing could be held out" in warning for warning in result.warnings)
    opened = open_bundle(result.bundle)
    assert opened.image_chain.min_expected_dice is None and opened.image_chain.max_image_error == 50.0


def test_patients_are_never_on_both_sides_of_a_fold() -> None:
    patients = ["a", "b", "a", "c", "d", "b"]
    folds = shared_out(patients, 3, seed=0)
    assert sorted(at for fold in folds for at in fold) == list(range(6))
    for fold in folds:
        held = {patients[at] for at in fold}
        assert not held & {patients[at] for at in range(6) if at not in fold}


def test_what_does_not_get_better_is_not_written(bundle: Path, hospital, tmp_path: Path) -> None:
    useless = replace(QUICK, max_steps=1, training=AdaptationSettings(learning_rate=1e-9, batch_size=1))
    target = tmp_path / "mine"
    with pytest.raises(TrainingError, match=r"must be better .* nothing was written"):
        adapt(target, bundle=bundle, datalist=hospital(), options=useless)
    assert not target.exists() and not list(tmp_path.glob(".mine*"))


def test_images_that_the_bundle_does_not_know_are_refused(bundle: Path, hospital, tmp_path: Path, edit_bundle) -> None:
    edit_bundle(bundle, max_image_error=1e-4)
    with pytest.raises(InputError, match=r"4 of 4 images are unlike .* --accept-unlike"):
        adapt(tmp_path / "mine", bundle=bundle, datalist=hospital(), options=QUICK)
    result = adapt(tmp_path / "mine", bundle=bundle, datalist=hospital(), options=replace(QUICK, accept_unlike=True))
    assert any("4 of 4 images are unlike" in warning for warning in result.warnings)
    assert open_bundle(result.bundle).image_chain.max_image_error > 1e-4


def test_labels_without_a_class_are_refused(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(2)
    for at in range(2):
        Image.fromarray(np.zeros((90, 110), np.uint8)).save(path.parent / f"x{at}_mask.png")
    with pytest.raises(InputError, match="lung is in none"):
        adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)


def test_labels_that_contradict_each_other_are_refused(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(2)
    (path.parent / "x1.png").write_bytes((path.parent / "x0.png").read_bytes())
    mask = np.asarray(Image.open(path.parent / "x0_mask.png"))
    Image.fromarray(255 - mask).save(path.parent / "x1_mask.png")
    with pytest.raises(InputError, match=r"one image comes twice .* \(entries 1 and 2\)"):
        adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)


def test_a_class_beyond_the_bundle_is_refused(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(2)
    path.write_text(path.read_text().replace("binary", "classes"))
    with pytest.raises(InputError, match="must"):
        adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)


def test_nothing_is_replaced_unasked(bundle: Path, hospital) -> None:
    with pytest.raises(BundleError, match="already holds a bundle"):
        adapt(bundle, bundle=bundle, datalist=hospital(2), options=QUICK)


def test_labelled_images_are_needed(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(1)
    path.write_text(json.dumps({"schema": "semigan-datalist-1"}))
    with pytest.raises(ConfigError, match="must have labelled images"):
        adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)


def test_own_samples_of_several_classes_keep_them() -> None:
    source = open_bundle("face_parts_segmentation")
    pool = adapting._own_samples(source, learned=())
    assert pool is not None
    assert bool(pool.targets.amax(dim=(0, 2, 3)).eq(1).all()), "every class is somewhere"


def test_the_own_samples_are_scored_before_and_after(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(4)
    for kind, ending in (("images", ""), ("masks", "_mask")):
        (bundle / "samples" / kind).mkdir(parents=True)
        for at in (0, 3):
            (bundle / "samples" / kind / f"s{at}.png").write_bytes((path.parent / f"x{at}{ending}.png").read_bytes())
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"labelled": content["labelled"][:3]}))
    learned = load_datalist(path, warn=False).labelled
    assert len(adapting._own_samples(open_bundle(bundle), learned=learned)) == 1, "the other one is learned"
    result = adapt(tmp_path / "mine", bundle=bundle, datalist=path, options=QUICK)
    assert result.old_after > result.old_before
    assert not (result.bundle / "samples").exists()


def test_a_bundle_for_volumes_learns_slices(volume_bundle: Path, hospital, tmp_path: Path, edit_bundle) -> None:
    edit_bundle(volume_bundle, max_image_error={"CT": 50.0, "MR": 0.3})
    result = adapt(tmp_path / "mine", bundle=volume_bundle, datalist=hospital(), options=QUICK)
    opened = open_bundle(result.bundle)
    assert opened.takes_volumes and opened.chains["MR"].max_image_error == 0.3
    assert opened.chains["CT"].max_image_error == 50.0
    assert all(chain.inversion.steps == 0 for chain in opened.chains.values())


def test_the_command_prints_a_table_or_json(bundle: Path, hospital, tmp_path: Path) -> None:
    arguments = [str(bundle), str(hospital()), "--max-steps", "60", "--folds", "2"]
    table = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "a")])
    as_json = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "b"), "--json"])
    assert table.exit_code == 0, table.output
    assert "Dice on images not learned" in table.output and "before" in table.output and "gain" in table.output
    content = json.loads(as_json.stdout)
    assert content["adapted_from"]["num_labelled"] == 4 and content["bundle"].endswith("b")


def test_weights_are_half_precision_and_trained(bundle: Path, hospital, tmp_path: Path) -> None:
    result = adapt(tmp_path / "mine", bundle=bundle, datalist=hospital(2), options=QUICK)
    state = torch.load(result.bundle / "models" / "model.pt", weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float16} and float(state["is_trained"]) == 1.0


def test_what_cannot_be_written_is_refused_before_the_work(bundle: Path, hospital, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("worked in vain")

    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="must be a folder that can be written"):
        adapt(tmp_path / "file" / "out", bundle=bundle, datalist=hospital(), options=QUICK, progress=fail)
    for field in ("name", "version"):
        with pytest.raises(ConfigError, match=rf"`{field}` .*printable ASCII"):
            replace(QUICK, **{field: ""})


def test_copies_of_an_image_are_held_out_together(bundle: Path, hospital, tmp_path: Path) -> None:
    path = hospital(4)
    content = json.loads(path.read_text())
    copies = [entry | {"patient_id": f"again {at}"} for at, entry in enumerate(content["labelled"])]
    for entry in copies:
        image = path.parent / entry["image"]
        shutil.copy(image, image.with_name(f"copy_{image.name}"))
        entry["image"] = f"copy_{image.name}"
    path.write_text(json.dumps(content | {"labelled": content["labelled"] + copies}))
    result = adapt(tmp_path / "out", bundle=bundle, datalist=path, options=QUICK)
    assert (result.num_images, result.num_patients) == (8, 4)
    assert any("4 images are copies" in warning for warning in result.warnings)


def test_adapting_twice_to_the_same_images_warns(bundle: Path, hospital, tmp_path: Path) -> None:
    path, options = hospital(1), replace(QUICK, max_steps=2)
    (bundle / "samples" / "masks").mkdir(parents=True)  # without images
    adapt(tmp_path / "once", bundle=bundle, datalist=path, options=options)
    result = adapt(tmp_path / "twice", bundle=tmp_path / "once", datalist=path, options=options)
    assert any("learned these images before" in warning for warning in result.warnings)
