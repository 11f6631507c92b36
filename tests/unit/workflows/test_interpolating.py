# SPDX-License-Identifier: Apache-2.0
"""Paths between images, slices and seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.workflows.interpolating import InterpolationOptions, interpolate
from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize

CPU = {"device": "cpu"}


def path(start, end, output, bundle, **options):
    return interpolate(str(start), str(end), output, bundle=bundle, options=InterpolationOptions(**(CPU | options)))


def test_a_path_between_a_file_and_a_seed(tiny_bundle, xray_files, tmp_path):
    out = tmp_path / "out"

    found = path(xray_files / "images/case0.png", "seed:3", out, tiny_bundle, num_frames=5, animations=("webp", "gif"))

    assert sorted(p.name for p in (out / "images").iterdir()) == [f"{at:02d}.png" for at in range(1, 6)]
    labels = np.stack([read_label(out / f"labels/{at:02d}.png", num_classes=2) for at in range(1, 6)])
    assert labels.shape == (5, 32, 32)
    assert found.class_shares == tuple((pytest.approx(label.mean()),) for label in labels)
    assert found.direct_change == pytest.approx((labels[0] != labels[-1]).mean())
    assert found.fine_steps == 64
    assert found.total_variation >= found.direct_change and found.largest_change <= found.total_variation
    for kind in ("webp", "gif"):
        with Image.open(out / f"animation.{kind}") as animation:
            assert animation.n_frames >= 2
    assert json.loads((out / "interpolation.json").read_text()) == found.to_json()
    assert found.ends[0]["source"]["name"] == "case0.png" and found.ends[1] == {"seed": 3}


def test_a_seed_is_the_item_that_synthesize_draws(tiny_bundle, tmp_path):
    path("seed:4", "seed:9", tmp_path / "p", tiny_bundle, num_frames=2, animations=())
    synthesize(tmp_path / "d", bundle=tiny_bundle, options=SynthesisOptions(num_items=1, seed=9, **CPU))

    last, drawn = (read_image(tmp_path / name).pixels for name in ("p/images/02.png", "d/images/000000.png"))
    assert np.abs(last.astype(int) - drawn).max() <= 1  # batches of other sizes round differently
    assert not list((tmp_path / "p").glob("animation*"))


@pytest.mark.parametrize("num_frames", [2, 3, 64])
def test_changes_are_measured_over_fine_steps_whatever_the_frames(tiny_bundle, tmp_path, num_frames):
    found = path("seed:1", "seed:2", tmp_path / "p", tiny_bundle, num_frames=num_frames, animations=())

    assert found.fine_steps >= 63 and found.fine_steps % (num_frames - 1) == 0
    assert len(list((tmp_path / "p/labels").iterdir())) == num_frames


def test_a_jump_is_said_to_be_one(tiny_bundle, tmp_path):
    smooth = path("seed:1", "seed:2", tmp_path / "a", tiny_bundle, max_jump=1.0)
    jumping = path("seed:1", "seed:2", tmp_path / "b", tiny_bundle, max_jump=0.0)

    assert smooth.is_smooth and smooth.largest_change == jumping.largest_change
    assert jumping.largest_change > 0 and not jumping.is_smooth


def test_slices_of_volumes_and_pictures_of_slices(volume_bundle, make_ct, make_mr, save_volume, tmp_path):
    ct, mr = save_volume("ct", make_ct), save_volume("mr", make_mr)

    found = path(f"{ct}:3", f"{mr}:2", tmp_path / "p", volume_bundle, num_frames=2)
    assert [(end["modality"], end["slice"]) for end in found.ends] == [("CT", 3), ("MR", 2)]

    picture = tmp_path / "slice.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)).save(picture)
    ends = path(picture, "seed:1", tmp_path / "q", volume_bundle, num_frames=2).ends
    assert ends[0]["modality"] == "CT" and ends[0]["slice"] is None
    with pytest.raises(InputError, match=r"must come with a slice, as ct.nii.gz:15"):
        path(ct, "seed:1", tmp_path / "r", volume_bundle)
    with pytest.raises(InputError, match="The slice must be 1 to"):
        path(f"{ct}:999", "seed:1", tmp_path / "r", volume_bundle)


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        ("seed:-1", ConfigError, "whole number from 0"),
        ("seed:x", ConfigError, "whole number from 0"),
        (f"seed:{2**63}", ConfigError, "at most"),
        ("gone.png", InputError, "does not exist"),
        ("volume.nii.gz:3", InputError, "`volume.nii.gz` must be a file"),
    ],
)
def test_wrong_ends_are_refused_and_nothing_is_written(tiny_bundle, tmp_path, start, error, words):
    with pytest.raises(error, match=words):
        path(start, "seed:1", tmp_path / "out", tiny_bundle)
    assert not (tmp_path / "out").exists()


def test_a_bundle_for_images_takes_no_volume(tiny_bundle, make_ct, save_volume, tmp_path):
    for name in (save_volume("ct", make_ct), f"{tmp_path / 'ct.nii.gz'}:2"):
        with pytest.raises(InputError, match="is not for volumes"):
            path(name, "seed:1", tmp_path / "out", tiny_bundle)


def test_earlier_paths_alone_are_replaced(tiny_bundle, tmp_path):
    out = tmp_path / "out"
    path("seed:1", "seed:2", out, tiny_bundle, num_frames=3)
    path("seed:1", "seed:2", out, tiny_bundle, num_frames=2)
    assert len(list((out / "images").iterdir())) == 2

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file.txt").write_text("precious")
    with pytest.raises(OutputError, match="must be new, empty"):
        path("seed:1", "seed:2", tmp_path / "mine", tiny_bundle)
    assert (tmp_path / "mine/file.txt").exists()


@pytest.mark.parametrize(
    "options", [{"num_frames": 1}, {"num_frames": 65}, {"max_jump": 2.0}, {"animations": ("avi",)}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        InterpolationOptions(**options)


def test_the_command_warns_of_a_jump(tiny_bundle, tmp_path):
    base = ["interpolate", "seed:1", "seed:2", "-b", str(tiny_bundle), "-o", str(tmp_path / "o"), "--device", "cpu"]

    plain = CliRunner().invoke(cli, [*base, "--max-jump", "1", "--animation", "none"])
    jump = CliRunner().invoke(cli, [*base, "--max-jump", "0", "--json", "--animation", "gif"])

    assert plain.exit_code == 0 and "of the pixels differ" in plain.stdout and not plain.stderr
    assert "warning: the label jumps" in jump.stderr and json.loads(jump.stdout)["is_smooth"] is False
    assert CliRunner().invoke(cli, [*base, "--frames", "65"]).exit_code == 2
