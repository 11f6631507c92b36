# SPDX-License-Identifier: Apache-2.0
"""Test-time optimization: each image alone, best loss kept, early stop, what a host may have switched off."""

from __future__ import annotations

import pytest
import torch
from inversion_builder import inversion
from numbers_read import NumbersRead

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.latent.descent import Adam, Lbfgs
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.embedding import Embedding


def test_no_steps_give_the_encoder(network, images):
    result = inversion(network, steps=0)(images)

    torch.testing.assert_close(result.embedding.w_plus, network.encoder(images).w_plus, rtol=0, atol=0)
    torch.testing.assert_close(result.encoded.w_plus, result.embedding.w_plus, rtol=0, atol=0)
    assert result.trace.shape == (3, 1) and bool(result.trace.isfinite().all())
    assert result.steps_taken.tolist() == [0, 0, 0]


def test_the_loss_falls(network, images):
    result = inversion(network, steps=20)(images)

    assert bool((result.trace.min(dim=1).values < 0.95 * result.trace[:, 0]).all())
    assert result.steps_taken.tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"patience": 1, "tolerance": 0.03},
        {"cycle_weight": 0.5, "cycle_gradient": True},
        {"correlation_weight": 1.0},
        {"optimizer": "lbfgs", "steps": 4},  # few, as it amplifies how batches round
        {"optimizer": "lbfgs", "steps": 5, "patience": 1, "tolerance": 0.2},
    ],
)
def test_each_image_goes_the_way_it_would_go_alone(network, images, settings):
    invert = inversion(network, **settings)
    together = invert(images)

    for at in range(3):
        alone = invert(images[at : at + 1])
        torch.testing.assert_close(together.embedding.w_plus[at], alone.embedding.w_plus[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.trace[at], alone.trace[0], atol=1e-4, rtol=1e-4, equal_nan=True)
        assert together.steps_taken[at] == alone.steps_taken[0]


def test_the_kept_styles_are_those_of_the_smallest_loss(network, images):
    """A rate that overshoots: the loss rises, and the start or a lucky step stays the best."""
    invert = inversion(network, steps=10, learning_rate=5.0, encoder_weight=0.0, ramp_up=0.0)
    result = invert(images)

    assert bool((result.trace[:, -1] > result.trace[:, 0]).any())
    again = inversion(network, steps=0, encoder_weight=0.0)
    again.encoder = _Constant(result.embedding)
    torch.testing.assert_close(again(images).trace[:, 0], result.trace.min(dim=1).values, rtol=1e-4, atol=1e-5)
    assert bool((again(images).trace[:, 0] <= result.trace[:, 0] + 1e-5).all())


class _Constant(torch.nn.Module):
    image_channels = 1

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, _image: torch.Tensor) -> Embedding:
        return self.embedding


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_styles_alone_are_moved_bit_by_bit_as_without_packing(network, images, optimizer):
    """The loop written out over ``(N, L, w_dim)``."""
    invert = inversion(network, steps=6, encoder_weight=0.1, optimizer=optimizer)
    result = invert(images)

    with torch.no_grad():
        targets = invert.prepare(images, network.encoder(images))
    descent = Adam(invert._rate) if optimizer == "adam" else Lbfgs()
    w_plus, best = targets.encoded.w_plus, torch.full((3,), float("inf"))
    kept = w_plus
    for step in range(7):
        at = w_plus.clone().requires_grad_(True)
        image = network.generator.synthesis.image(at)
        loss = 2.0 * (image - images).square().flatten(1).mean(dim=1)
        loss = loss + invert.distance(image, targets.prepared)
        loss = loss + 0.1 * (at - targets.encoded.w_plus).square().flatten(1).mean(dim=1)
        (grad,) = torch.autograd.grad(loss.sum(), at)
        loss = loss.detach()
        assert torch.equal(loss, result.trace[:, step])
        better = loss < best
        best, kept = torch.where(better, loss, best), torch.where(better[:, None, None], w_plus, kept)
        w_plus = descent.step(w_plus, loss, grad)

    assert torch.equal(kept, result.embedding.w_plus)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_when_the_host_has_switched_gradients_off(network, images, switch):
    expected = inversion(network)(images)

    with switch():
        result = inversion(network)(images.clone())

    torch.testing.assert_close(result.embedding.w_plus, expected.embedding.w_plus, rtol=0, atol=0)
    assert not result.embedding.w_plus.is_inference()
    assert not result.embedding.w_plus.requires_grad


def test_it_ignores_the_autocast_of_its_host(network, images):
    expected = inversion(network)(images)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = inversion(network)(images)

    torch.testing.assert_close(result.embedding.w_plus, expected.embedding.w_plus, rtol=0, atol=0)


def test_it_is_deterministic_and_leaves_the_random_state_alone(network, images):
    with torch.no_grad():
        for block in network.generator.synthesis.blocks:
            block.conv.noise_strength.fill_(0.5)
    torch.manual_seed(1)
    first = inversion(network)(images)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = inversion(network)(images)

    torch.testing.assert_close(first.embedding.w_plus, second.embedding.w_plus, rtol=0, atol=0)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_weights_and_their_gradient_switches_stay_as_they_were(network, images):
    network.encoder.stem.bias.requires_grad_(False)
    before = {name: (p.requires_grad, p.detach().clone()) for name, p in network.named_parameters()}

    inversion(network)(images)

    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == before[name][0], name
        assert parameter.grad is None, name
        assert torch.equal(parameter, before[name][1]), name


def test_weights_are_switched_back_after_an_error(network, images):
    invert = inversion(network)
    invert.distance = _Broken()

    with pytest.raises(RuntimeError, match="no distance"):
        invert(images)

    assert all(parameter.requires_grad for parameter in network.parameters())


class _Broken:
    def prepare(self, target):
        raise RuntimeError("no distance")

    def __call__(self, image, prepared):
        raise AssertionError


def test_a_finished_image_stops_while_the_others_go_on(network, images):
    """An image that the generator can render exactly, with the styles at its optimum, has nothing to gain."""
    invert = inversion(network, steps=12, patience=3, tolerance=0.02, perceptual_weight=0.0, encoder_weight=0.0)
    with torch.no_grad():
        start = network.encoder(images)
        targets = images.clone()
        targets[1] = network.generator.synthesis.image(start)[1]
    invert.encoder = _Constant(start)

    result = invert(targets)

    assert result.steps_taken[1] == 3
    assert result.steps_taken.max() > 3
    assert bool(result.trace[1, :4].isfinite().all()) and bool(result.trace[1, 4:].isnan().all())
    torch.testing.assert_close(result.embedding.w_plus[1], start.w_plus[1], rtol=0, atol=0)


def test_a_tolerance_that_nothing_meets_stops_after_the_patience(network, images):
    result = inversion(network, steps=12, patience=4, tolerance=0.999)(images)

    assert result.steps_taken.tolist() == [4, 4, 4]


def test_a_diverging_image_keeps_its_best_and_spares_the_others(network, images):
    expected = inversion(network)(images)

    class Diverging(FeatureDistance):
        def __call__(self, image, prepared):
            return super().__call__(image, prepared) + torch.tensor([0.0, float("nan"), 0.0])

    invert = inversion(network)
    invert.distance = Diverging(network.d_image.features)
    result = invert(images)

    torch.testing.assert_close(result.embedding.w_plus[1], result.encoded.w_plus[1], rtol=0, atol=0)
    torch.testing.assert_close(result.embedding.w_plus[[0, 2]], expected.embedding.w_plus[[0, 2]], rtol=0, atol=0)


def test_lbfgs_gets_further_than_adam_in_as_many_steps(network, images):
    adam, lbfgs = (inversion(network, steps=12, optimizer=name)(images).trace.amin(dim=1) for name in ("adam", "lbfgs"))

    assert bool((lbfgs < adam).all())


def test_progress_counts_the_steps(network, images):
    calls = []

    inversion(network, steps=3)(images, progress=lambda done, total: calls.append((done, total)))

    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_pull_keeps_styles_near_the_encoder(network, images):
    free, pulled = (inversion(network, steps=15, encoder_weight=weight)(images) for weight in (0.0, 100.0))

    distances = [(result.embedding.w_plus - result.encoded.w_plus).square().mean() for result in (free, pulled)]
    assert distances[1] < 0.5 * distances[0]


@pytest.mark.parametrize("has_gradient", [False, True])
def test_the_cycle_term_counts_the_distance_to_the_encoding_of_the_rendered_image(network, images, has_gradient):
    weights = {"image_weight": 0.0, "perceptual_weight": 0.0, "encoder_weight": 0.0}

    result = inversion(network, steps=0, cycle_weight=2.0, cycle_gradient=has_gradient, **weights)(images)

    with torch.no_grad():
        start = network.encoder(images)
        encoded = network.encoder(network.generator.synthesis.image(start))
    torch.testing.assert_close(result.trace[:, 0], 2 * (start.w_plus - encoded.w_plus).square().mean(dim=(1, 2)))


def test_the_gradient_through_the_encoder_changes_the_path(network, images):
    results = [inversion(network, cycle_weight=1.0, cycle_gradient=on)(images).embedding.w_plus for on in (False, True)]

    assert not torch.allclose(*results)


def test_the_rate_rises_and_falls_to_almost_zero(network):
    invert = inversion(network, steps=100, learning_rate=0.1, ramp_up=0.1, ramp_down=0.5)
    rates = [invert._rate(step) for step in range(100)]

    assert rates[0] == pytest.approx(0.1 * 0.05)
    assert rates[30] == pytest.approx(0.1)
    assert 0 < rates[-1] < 1e-4
    assert rates[10:50] == [pytest.approx(0.1)] * 40


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": -1}, "`steps` must be a whole number from 0 to 10000, got -1"),
        ({"patience": -2}, "`patience` must be a whole number from 0 to 10000, got -2"),
        ({"optimizer": "sgd"}, "`optimizer` must be one of adam, lbfgs, got 'sgd'"),
        ({"compute_dtype": "half"}, "`compute_dtype` must be one of float32, bfloat16, auto, got 'half'"),
        ({"learning_rate": 0.0}, "`learning_rate` must be a number above 0 to 1000, got 0.0"),
    ],
)
def test_settings_are_checked(settings, words):
    with pytest.raises(ConfigError, match=words):
        InversionSettings(**settings)


def test_an_image_of_another_size_is_refused(network):
    with pytest.raises(ShapeError, match=r"`image` must have shape \(N, 1, 32, 32\), got \(1, 1, 64, 64\)"):
        inversion(network)(torch.zeros(1, 1, 64, 64))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize(("patience", "reads"), [(0, 0), (4, 0), (2, 2)])
def test_no_step_waits_for_a_number_before_the_patience_ends(network, images, optimizer, patience, reads):
    invert = inversion(network, steps=4, patience=patience, tolerance=0.0, optimizer=optimizer)

    with NumbersRead() as numbers:
        invert(images)

    assert numbers.count == reads


def test_embeddings_of_steps_are_kept_as_they_were(network, images):
    given = inversion(network, steps=6, tolerance=0.0)

    result = given(images, keep_at=[0, 2, 6, 9])

    assert sorted(result.kept) == [0, 2, 6]
    assert torch.equal(result.kept[0].w_plus, result.encoded.w_plus)
    targets = given.prepare(images, result.encoded)
    for step in (0, 2, 6):
        loss, _ = given.gradient(result.kept[step], targets)
        torch.testing.assert_close(loss, result.trace[:, step])


def test_steps_after_the_last_image_has_finished_keep_its_best(network, images):
    given = inversion(network, steps=20, patience=1, tolerance=0.9)

    result = given(images, keep_at=[19])

    assert result.steps_taken.max() < 19
    assert torch.equal(result.kept[19].w_plus, result.embedding.w_plus)
