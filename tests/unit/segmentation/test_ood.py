# SPDX-License-Identifier: Apache-2.0
"""The out-of-distribution score: low for images of the own kind, high for others, and a number whatever comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from known_xrays import CPU, knowing, learned, prepared

import monai_semigan as semigan
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.errors import ConfigError, InputError, OutOfDistributionError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import learn_reference, score_images, with_site
from monai_semigan.segmentation.ood_images import made_foreign, mildly_changed
from monai_semigan.segmentation.ood_parts import part_sizes


@pytest.fixture
def network(tiny_bundle: Path) -> SemiGanSegmenter:
    return load_network(open_bundle(tiny_bundle), device=CPU)


@pytest.fixture
def reference(tiny_bundle: Path, make_xray) -> OodReference:
    return learned(tiny_bundle, make_xray)


@pytest.fixture
def others(tiny_bundle: Path, make_xray) -> torch.Tensor:
    """Images of the own kind that nothing was learned from."""
    return prepared(open_bundle(tiny_bundle).preset, make_xray, range(200, 216))


def test_own_images_are_below_the_limit_and_foreign_ones_above(reference, network, others) -> None:
    own = score_images(reference, network, others)
    mild = torch.cat([score_images(reference, network, part) for part in mildly_changed(others, torch.Generator())])
    foreign = torch.cat([score_images(reference, network, part) for part in made_foreign(others, torch.Generator())])

    assert (own <= 0.5).float().mean() > 0.9 and (mild <= 0.5).float().mean() > 0.85
    assert (foreign > 0.5).float().mean() > 0.9
    assert own.min() >= 0 and foreign.max() < 1


def test_turned_images_are_unlike_though_nothing_was_learned_from_such(reference, network, others) -> None:
    assert (score_images(reference, network, others.rot90(1, (2, 3))) > 0.5).all()


def test_more_noise_is_never_less_unlike(reference, network, others) -> None:
    noise = torch.randn(others[:1].shape, generator=torch.Generator().manual_seed(1))
    scores = [float(score_images(reference, network, others[:1] + level * noise)) for level in (0, 0.3, 0.6, 1.2, 2.4)]
    assert scores == sorted(scores) and scores[-1] > 0.5


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, float("nan"), float("inf")])
def test_what_shows_nothing_has_a_number_too(reference, network, value: float) -> None:
    (score,) = score_images(reference, network, torch.full((1, 1, 32, 32), value)).tolist()
    assert 0.5 < score <= 1


def test_the_score_is_that_of_its_parts(reference) -> None:
    count = len(reference.parts)
    steps = torch.tensor([[3.0, 4.0] + [0.0] * (count - 2) + [0.0], [0.0] * count + [5 / count**0.5]])
    known = replace(reference, limit=5 / count**0.5)
    assert known.score(steps).tolist() == pytest.approx([0.5, 0.5])
    assert known.part_scores(steps)[0, 2:].tolist() == [0.0] * (count - 1)
    assert known.part_scores(steps)[1].tolist() == pytest.approx([0.0] * count + [0.5])


def test_the_boundary_is_at_home_where_the_gaussians_are_and_foreign_images_are_beyond(
    reference, network, others
) -> None:
    def beyond(images: torch.Tensor) -> torch.Tensor:
        encoded = network.encoder(images)
        with torch.inference_mode():
            return reference(images, encoded, *network.generator.synthesis(encoded))[:, -1]

    with torch.inference_mode():
        assert beyond(others).median() < 0.5 * reference.limit
        made = made_foreign(others, torch.Generator().manual_seed(2))
        assert min(float(beyond(images).median()) for images in made) > reference.limit


def test_what_has_no_upright_is_not_foreign_when_turned(others) -> None:
    with_turned, without = (made_foreign(others, torch.Generator(), has_upright=flag) for flag in (True, False))
    assert torch.equal(with_turned[-1], others.flip(2, 3)) and len(with_turned) == len(without) + 1
    color = made_foreign(others.expand(-1, 3, -1, -1), torch.Generator())
    assert len(color) == len(with_turned) + 2 and all(part.shape == (16, 3, 32, 32) for part in color)
    assert all(part.abs().max() <= 1 for part in color)


def test_few_images_tell_nothing(network, others) -> None:
    with pytest.raises(InputError, match=r"must have 40 images or more .* got 16"):
        learn_reference(network, others, others)


def test_what_a_bundle_was_adapted_to_is_known_from_then_on(reference, network, others) -> None:
    site = -others[:8]
    before, after = (
        score_images(known, network, -others) for known in (reference, with_site(reference, network, site))
    )
    assert (before > 0.5).all() and (after <= 0.5).all()


def test_parts_have_the_sizes_that_the_network_makes(make_segmenter) -> None:
    sizes = part_sizes(make_segmenter(num_classes=3, feature_sizes=(8, 16)))
    assert sizes["label"] == 2 * 64 and sizes["offsets"] == 2 * 4 * 16 and sizes["image"] == 256
    assert "offsets" not in part_sizes(make_segmenter())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("center", torch.tensor(float("inf"))),
        ("scale", torch.zeros(())),
        ("step", torch.tensor(float("nan"))),
        ("rest", torch.tensor(-1.0)),
        ("spread", torch.zeros(())),
    ],
)
def test_a_part_that_cannot_be_is_refused(reference, network, name: str, value: torch.Tensor) -> None:
    size, part = part_sizes(network)["styles"], reference.parts["styles"]
    part.check(size)
    with pytest.raises(ConfigError, match=f"`{name}` must"):
        replace(part, **{name: value.expand(getattr(part, name).shape)}).check(size)


@pytest.mark.parametrize(("name", "value"), [("weights", torch.zeros(3)), ("bias", torch.tensor(float("nan")))])
def test_a_boundary_that_cannot_be_is_refused(reference, name: str, value: torch.Tensor) -> None:
    size = sum(part.num_features for part in reference.parts.values())
    reference.boundary.check(size)
    with pytest.raises(ConfigError, match=f"`{name}` must"):
        replace(reference.boundary, **{name: value}).check(size)


def test_results_say_it_with_and_without_inversion(tiny_bundle: Path, make_xray) -> None:
    bundle = semigan.load_bundle(knowing(tiny_bundle, make_xray))
    image = make_xray(77, 91, seed=300)[0]
    own = [bundle.segmenter(device="cpu", steps=steps).segment(semigan.read(image)) for steps in (0, 2)]
    foreign = bundle.segmenter(device="cpu").segment(semigan.read(np.ascontiguousarray(np.rot90(image))))

    assert own[0].ood == pytest.approx(own[1].ood) and own[0].ood <= 0.5 < foreign.ood
    assert own[0].record.ood.limit == 0.5 and set(own[0].record.ood.parts) >= {"styles", "label", "whole"}
    assert not own[0].is_unlike and foreign.is_unlike
    assert foreign.expected_dice == {"lung": None}, "what to expect was learned from images of the own kind"
    assert any(said.startswith("Unlike the images") and "out-of-distribution" in said for said in foreign.warnings)
    own[0].require_like()
    with pytest.raises(
        OutOfDistributionError, match=r"must be like the images that .* score is 0\.\d\d, usual up to 0.50"
    ):
        foreign.require_like()


def test_without_a_reference_nothing_is_said(tiny_bundle: Path, make_xray) -> None:
    result = semigan.load_bundle(tiny_bundle).segmenter(device="cpu").segment(semigan.read(make_xray()[0]))
    assert result.ood is None and result.record.ood is None and not result.is_unlike
    result.require_like()


def test_volumes_have_it_by_slice(volume_bundle: Path, make_xray) -> None:
    import phantoms

    drawn = phantoms.phantom()
    bundle = semigan.load_bundle(knowing(volume_bundle, make_xray))
    source = semigan.read(drawn.voxels_ct, spacing_mm=drawn.grid.spacing_mm, modality="CT")
    record = bundle.segmenter(device="cpu").segment(source).record

    assert len(record.ood.slices) == record.slices.total
    assert sum(score is None for score in record.ood.slices) == record.slices.empty
    known = [score for score in record.ood.slices if score is not None]
    assert min(known) <= record.ood.score <= max(known)
