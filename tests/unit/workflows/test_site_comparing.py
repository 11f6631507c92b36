# SPDX-License-Identifier: Apache-2.0
"""How two sites differ: far apart where they are, not where they are one."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.workflows.site_comparing import SiteOptions, compare_sites

OPTIONS = SiteOptions(steps=0, device="cpu")


def darkened(path, folder):
    """Shade the images of a list from the left: another site."""
    for image in folder.glob("*_image.png"):
        with Image.open(image) as picture:
            pixels = np.asarray(picture).astype(float)
        shaded = pixels * np.linspace(0.2, 1, pixels.shape[1]) ** 2
        Image.fromarray(shaded.astype(np.uint8)).save(image)
    return path


def test_two_halves_of_a_site_are_one_and_another_site_is_not(tiny_bundle, write_list, tmp_path):
    ours = write_list("ours", num_labelled=6, num_validation=6)
    more = write_list("more", num_labelled=12, first_seed=50)
    theirs = darkened(write_list("theirs", num_labelled=12, first_seed=90), tmp_path / "theirs")

    same, other = (
        compare_sites(ours, path, tmp_path / path.stem / "out", bundle=tiny_bundle, options=OPTIONS)
        for path in (more, theirs)
    )

    assert same.embedding.p_value > 0.05 > other.embedding.p_value
    assert other.embedding.distance > same.embedding.distance
    assert [site.name for site in other.sites] == ["ours", "theirs"]
    assert [(site.num_images, site.num_labelled) for site in other.sites] == [(12, 12), (12, 12)]
    assert other.differences["dice"].difference == pytest.approx(
        other.sites[1].means["dice"] - other.sites[0].means["dice"]
    )
    content = json.loads((tmp_path / "theirs/out/sites.json").read_text())
    assert content == other.to_json() and len(content["sites"][0]["values"]["dice"]) == 12


def test_the_page_needs_nothing_from_elsewhere_and_names_no_patient(tiny_bundle, write_list, tmp_path):
    first, second = (write_list(name, num_labelled=6, first_seed=seed) for name, seed in (("a", 0), ("b", 9)))

    compare_sites(first, second, tmp_path / "out", bundle=tiny_bundle, options=OPTIONS)

    page = (tmp_path / "out/sites.html").read_text()
    assert page.count("data:image/jpeg") == 2 and page.count("<svg") >= 2
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "_image.png" not in page and "_image.png" not in (tmp_path / "out/sites.json").read_text()


def test_images_without_labels_have_no_dice(tiny_bundle, write_list, tmp_path):
    first = write_list("a", num_labelled=5)
    planted = sorted((tmp_path / "a").glob("*_image.png"))
    second = write_list("b", planted=planted)

    found = compare_sites(first, second, tmp_path / "out", bundle=tiny_bundle, options=OPTIONS)

    assert "dice" in found.sites[0].means and "dice" not in found.sites[1].means and "dice" not in found.differences
    assert found.embedding.distance == pytest.approx(0, abs=1e-6)
    assert found.differences["reconstruction_error"].difference == pytest.approx(0, abs=1e-9)


def test_a_bundle_for_volumes_takes_pictures_of_slices(volume_bundle, write_list, tmp_path):
    first, second = (write_list(name, num_labelled=5, first_seed=seed) for name, seed in (("a", 0), ("b", 9)))

    found = compare_sites(
        first, second, tmp_path / "out", bundle=volume_bundle, options=SiteOptions(steps=0, modality="MR", most=5)
    )

    assert "dice" in found.differences and found.sites[0].num_images == 5


def test_large_lists_are_drawn_from(tiny_bundle, write_list, tmp_path):
    first, second = (write_list(name, num_labelled=9, first_seed=seed) for name, seed in (("a", 0), ("b", 9)))

    found = compare_sites(
        first, second, tmp_path / "out", bundle=tiny_bundle, options=SiteOptions(steps=0, most=5, seed=2)
    )

    assert [(site.num_images, site.num_in_list) for site in found.sites] == [(5, 9), (5, 9)]


def test_wrong_input_is_refused(tiny_bundle, write_list, tmp_path):
    few, whole = write_list("few", num_labelled=4), write_list("whole", num_labelled=5)
    broken = write_list("broken", num_labelled=5)
    (tmp_path / "broken/2_image.png").write_bytes(b"no picture")
    for data, options, error, words in (
        (few, OPTIONS, InputError, "`few.json` must have at least 5 images, got 4"),
        (broken, OPTIONS, InputError, "2_image.png"),
        (whole, SiteOptions(modality="CT"), ConfigError, "must not be given for a bundle for images"),
        (tmp_path / "gone.json", OPTIONS, InputError, "gone.json"),
    ):
        with pytest.raises(error, match=words):
            compare_sites(whole, data, tmp_path / "out", bundle=tiny_bundle, options=options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError):
        SiteOptions(most=4)


def test_the_command_prints_both_sites(tiny_bundle, write_list, tmp_path):
    first, second = (write_list(name, num_labelled=5, first_seed=seed) for name, seed in (("a", 0), ("b", 9)))
    base = ["site-report", str(first), str(second), "-b", str(tiny_bundle), "-o", str(tmp_path / "out")]

    result = CliRunner().invoke(cli, [*base, "--device", "cpu", "--steps", "0"])
    as_json = CliRunner().invoke(cli, [*base, "--device", "cpu", "--steps", "0", "--json"])

    assert result.exit_code == 0 and "embeddings: distance" in result.stdout and "dice" in result.stdout
    assert json.loads(as_json.stdout)["schema"] == "semigan-sites-1"
