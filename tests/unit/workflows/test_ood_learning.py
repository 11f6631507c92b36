# SPDX-License-Identifier: Apache-2.0
"""A bundle learns which images it knows from its data list; adapting adds a site, new weights forget all."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from known_xrays import CPU, knowing, prepared
from PIL import Image

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.ood_file import read_references
from monai_semigan.cli.main import cli
from monai_semigan.errors import InputError, OutputError
from monai_semigan.segmentation.ood_fit import score_images
from monai_semigan.training.adaptation import AdaptationSettings
from monai_semigan.workflows.adapting import AdaptOptions, adapt
from monai_semigan.workflows.direct_share import SHARES
from monai_semigan.workflows.packing import pack
from monai_semigan.workflows.trust_learning import learn_trust
from monai_semigan.workflows.trust_storing import store_trust
from monai_semigan.workflows.tuning import tune

QUICK = AdaptOptions(
    max_steps=30, training=AdaptationSettings(batch_size=4, learning_rate=5e-3, half_life=2.0), folds=2
)


def write_list(folder: Path, make_xray, *, count: int, quarters: int = 0, validation: int = 0) -> Path:
    """Write labelled X-rays, perhaps turned, one per patient, and their data list."""
    folder.mkdir()
    entries = []
    for at in range(count + validation):
        picture, mask = (Image.fromarray(part).rotate(90 * quarters, expand=True) for part in make_xray(seed=at))
        picture.save(folder / f"x{at}.png")
        mask.point(lambda value: 255 * value).save(folder / f"x{at}_mask.png")
        entries.append({"image": f"x{at}.png", "label": f"x{at}_mask.png", "patient_id": str(at)})
    path = folder / "data.json"
    content = {"schema": "semigan-datalist-1", "label_values": "binary", "labelled": entries[:count]}
    path.write_text(json.dumps(content | {"validation": entries[count:]}))
    return path


def references(bundle: Path):
    opened = open_bundle(bundle)
    return read_references(opened, load_network(opened, device=CPU))


def test_tune_learns_it_and_the_digest_follows(tiny_bundle: Path, make_xray, tmp_path: Path) -> None:
    path, before = write_list(tmp_path / "data", make_xray, count=42, validation=4), open_bundle(tiny_bundle).digest
    arguments = ["tune", "-b", str(tiny_bundle), "--data", str(path), "--keep-steps"]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "42 known and 4 validation images learned (not stored" in shown.output
    assert open_bundle(tiny_bundle).ood is None and open_bundle(tiny_bundle).digest == before

    found = json.loads(CliRunner().invoke(cli, [*arguments, "--write", "--json"]).stdout)
    assert found.pop("calibrations").keys() == {"image"}
    assert found.pop("direct_share") in SHARES
    assert found == {"num_known": 42, "num_validation": 4, "chains": ["image"]}
    assert set(references(tiny_bundle)) == {"image"} and open_bundle(tiny_bundle).digest != before

    tune(tiny_bundle, path, steps=[0], write=True)
    assert set(references(tiny_bundle)) == {"image"}


@pytest.mark.parametrize(
    ("writes", "keep_steps"), [(0, True), (1, True), (2, True), (0, False), (1, False), (2, False), (3, False)]
)
def test_a_full_disk_leaves_a_bundle_that_can_be_used(
    tiny_bundle: Path, make_xray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, keep_steps: bool
) -> None:
    path = write_list(tmp_path / "data", make_xray, count=42, validation=4)
    knowing(tiny_bundle, make_xray)
    learn = partial(learn_trust, tiny_bundle, path, write=True)
    learn = learn if keep_steps else partial(tune, tiny_bundle, path, steps=[0], write=True)
    moved, done = Path.replace, 0

    def full(source: Path, target: Path) -> Path:
        nonlocal done
        if done == writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        done += 1
        return moved(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="No space left"):
            learn()

    assert set(references(tiny_bundle)) == ({"image"} if writes in (0, 3) else set())  # the fourth is MONAI's steps
    learn()
    assert set(references(tiny_bundle)) == {"image"}


def test_a_broken_training_image_is_found_before_anything_is_stored(
    tiny_bundle: Path, make_xray, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "data", make_xray, count=42, validation=4)
    (path.parent / "x7.png").write_bytes(b"no image")
    before = {file: file.read_bytes() for file in tiny_bundle.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=r"x7\.png"):
        tune(tiny_bundle, path, steps=[0], write=True)
    assert {file: file.read_bytes() for file in tiny_bundle.rglob("*") if file.is_file()} == before


def test_few_images_are_said_to_be_few(tiny_bundle: Path, datalist: Path) -> None:
    result = tune(tiny_bundle, datalist, steps=[0], write=True)
    assert any("Fewer than 40 images" in said for said in result.warnings) and open_bundle(tiny_bundle).ood is None


def test_slices_are_learned_for_ct_and_with_other_looks_for_mr(volume_bundle, make_xray, tmp_path, edit_bundle) -> None:
    path = write_list(tmp_path / "data", make_xray, count=42)
    looks = {"steps": 0, "correlation_weight": 1.0, "image_weight": 0.0, "perceptual_weight": 0.0}
    edit_bundle(volume_bundle, inversion={"CT": {"steps": 0}, "MR": looks})
    arguments = ["tune", "-b", str(volume_bundle), "--data", str(path), "--keep-steps", "--write"]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    found = references(volume_bundle)
    assert set(found) == {"CT", "MR"}
    assert not torch.equal(found["CT"].parts["image"].center, found["MR"].parts["image"].center)


def test_adapting_refuses_another_kind_and_learns_a_site(tiny_bundle: Path, make_xray, tmp_path: Path) -> None:
    (tiny_bundle / "docs").mkdir()
    (tiny_bundle / "docs" / "data_license.txt").write_text("trained on CC BY 4.0\n")
    knowing(tiny_bundle, make_xray)
    turned = write_list(tmp_path / "turned", make_xray, count=4, quarters=1)
    with pytest.raises(InputError, match=r"4 of 4 images are unlike .*out-of-distribution score above 0.5"):
        adapt(tmp_path / "mine", bundle=tiny_bundle, datalist=turned, options=QUICK)

    narrow = {"image": replace(references(tiny_bundle)["image"], limit=1e-3)}
    store_trust(tiny_bundle, narrow)
    upright = write_list(tmp_path / "upright", make_xray, count=8)
    adapt(tmp_path / "mine", bundle=tiny_bundle, datalist=upright, options=replace(QUICK, accept_unlike=True))
    opened = open_bundle(tmp_path / "mine")
    network, known = load_network(opened, device=CPU), references(tmp_path / "mine")["image"]
    assert known.limit > 1e-3
    assert (score_images(known, network, prepared(opened.preset, make_xray, range(300, 306))) <= 0.5).all()
    turned_too = prepared(opened.preset, make_xray, range(300, 306)).rot90(1, (2, 3))
    assert (score_images(known, network, turned_too) > 0.5).all()


def test_other_weights_forget_it_and_the_same_keep_it(tiny_bundle, make_xray, make_segmenter, tmp_path) -> None:
    knowing(tiny_bundle, make_xray)
    pack(tmp_path / "same", bundle=tiny_bundle, weights=tiny_bundle / "models" / "model.pt")
    first = open_bundle(tmp_path / "same")  # in half precision: others
    assert first.ood is None and not (first.root / "models" / "ood.pt").exists()
    knowing(first.root, make_xray)
    pack(tmp_path / "again", bundle=first.root, weights=first.weights_file, name="renamed")
    assert set(references(tmp_path / "again")) == {"image"}
