# SPDX-License-Identifier: Apache-2.0
"""Where the gradients of a GAN iteration go, told apart term by term."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.training import gan_step
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep, label_to_discriminator

SIZE = 32
OFF = {"r1_gamma": 0.0, "r1_gamma_pair": 0.0}


@pytest.fixture
def make_step(make_generator) -> Callable[..., GanStep]:
    def make(**settings: object) -> GanStep:
        generator = make_generator(channels=[2, 2, 2, 2])
        networks = GanNetworks(
            generator,
            copy.deepcopy(generator).requires_grad_(False),
            ImageDiscriminator(image_size=SIZE, channels=[2, 2, 2, 2]),
            MultiscaleDiscriminator(num_scales=1, base_channels=2),
        )
        strong = AugmentSettings(probability=0.8, max_probability=0.8)
        return GanStep(networks, GanSettings(**settings), augment_image=strong, augment_pair=strong)

    return make


def batch(n: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    unlabelled, labelled = torch.rand(2, n, 1, SIZE, SIZE, generator=rng) * 2 - 1
    foreground = (torch.rand(n, 1, SIZE, SIZE, generator=rng) > 0.5).float()
    return unlabelled, labelled, torch.cat([1 - foreground, foreground], dim=1)


def run(step: GanStep, iterations: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    stats: dict[str, torch.Tensor] = {}
    for at in range(iterations):
        stats = step(*batch(), images_seen=2 * at)
    return stats


def vector(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def spy_on_penalties(monkeypatch) -> list[torch.Tensor]:
    """Collect what `r1_penalty` returns inside an iteration, with its graph."""
    seen: list[torch.Tensor] = []
    original = gan_step.r1_penalty

    def spied(*args: torch.Tensor) -> torch.Tensor:
        seen.append(original(*args))
        return seen[-1]

    monkeypatch.setattr(gan_step, "r1_penalty", spied)
    return seen


def test_each_penalty_alone_has_a_gradient_for_its_discriminator(make_step, monkeypatch):
    """The penalty is differentiated before the update frees its graph; nothing else adds to these gradients."""
    seen, step, alone = spy_on_penalties(monkeypatch), make_step(), {}
    update = step._update

    def spied_update(name: str, loss: torch.Tensor) -> None:
        if name != "generator":
            parameters = list(getattr(step.networks, name).parameters())
            alone[name] = torch.autograd.grad(seen[-1].mean(), parameters, retain_graph=True, allow_unused=True)
        update(name, loss)

    step._update = spied_update
    run(step)

    for name in ("d_image", "d_pair"):
        names = [n for n, _ in getattr(step.networks, name).named_parameters()]
        missing = [n for n, grad in zip(names, alone[name], strict=True) if grad is None or not grad.abs().sum() > 0]
        # A bias in front of the output, or before a normalization, cannot change a gradient: its own is none or zero.
        assert all(n.endswith("bias") for n in missing), missing
        assert all(bool(grad.isfinite().all()) for grad in alone[name] if grad is not None)


@pytest.mark.parametrize(("name", "setting"), [("d_image", "r1_gamma"), ("d_pair", "r1_gamma_pair")])
def test_a_discriminator_moves_otherwise_with_its_penalty(make_step, name, setting):
    off, on = make_step(**OFF), make_step(**(OFF | {setting: 100.0}))
    torch.testing.assert_close(vector(getattr(off.networks, name)), vector(getattr(on.networks, name)), rtol=0, atol=0)

    run(off)
    run(on)

    other = {"d_image": "d_pair", "d_pair": "d_image"}[name]
    moved = (vector(getattr(on.networks, name)) - vector(getattr(off.networks, name))).abs()
    assert (moved > 1e-5).float().mean() > 0.1
    torch.testing.assert_close(
        vector(getattr(off.networks, other)), vector(getattr(on.networks, other)), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["d_image", "d_pair"])
def test_the_gradient_in_use_is_loss_plus_half_gamma_times_interval_times_penalty(make_step, monkeypatch, name):
    gamma, interval = 3.0, 5
    settings = {"r1_gamma": gamma, "r1_gamma_pair": gamma, "r1_interval": interval}
    seen, step = spy_on_penalties(monkeypatch), make_step(**settings)
    losses = {}
    step._update = lambda which, loss: losses.update({which: loss.detach()})

    stats = run(step)

    penalty = seen[{"d_image": 0, "d_pair": 1}[name]].detach()
    assert penalty.shape == (2,)
    expected = stats[f"loss_{name}"] + gamma / 2 * interval * penalty.mean()
    torch.testing.assert_close(losses[name], expected)


def test_penalties_do_not_depend_on_the_batch_size(make_step, monkeypatch):
    """Copies of one image, without augmentation: every copy costs what the image costs alone."""
    penalties = {}
    for n in (1, 4, 8):
        monkeypatch.undo()
        seen, step = spy_on_penalties(monkeypatch), make_step()
        step.adaptive_image.value = step.adaptive_pair.value = 0.0
        step._update = lambda name, loss: None
        copies = [x[:1].expand(n, -1, -1, -1).clone() for x in batch()]
        step(*copies, images_seen=0)
        penalties[n] = [penalty.detach() for penalty in seen]

    for n in (4, 8):
        for index in range(2):
            torch.testing.assert_close(penalties[n][index], penalties[1][index].expand(n), rtol=1e-3, atol=1e-9)


def gradients(module: torch.nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def test_the_pair_loss_reaches_labels_trunk_and_mapping_but_no_image_head(make_step):
    step = make_step(pair_weight=1.0)
    networks = step.networks
    image, label_logits = networks.generator(torch.randn(2, 6))
    image_loss, step._update = [], lambda name, loss: image_loss.append(loss)
    stats = step._step_generator(image, label_to_discriminator(label_logits))

    stats["loss_g_pair"].backward()

    for block in networks.generator.synthesis.blocks:
        assert gradients(block.to_image) == 0
        assert gradients(block.to_label) > 0
        assert gradients(block.conv) > 0
    assert gradients(networks.generator.mapping) > 0
    assert gradients(networks.d_pair) == gradients(networks.d_image) == 0


def test_the_image_loss_reaches_everything_but_the_label_heads(make_step):
    step = make_step()
    networks = step.networks
    image, label_logits = networks.generator(torch.randn(2, 6))
    step._update = lambda name, loss: None
    stats = step._step_generator(image, label_to_discriminator(label_logits))

    stats["loss_g_image"].backward()

    for block in networks.generator.synthesis.blocks:
        assert gradients(block.to_image) > 0
        assert gradients(block.to_label) == 0
    assert gradients(networks.generator.mapping) > 0


def test_each_update_moves_its_own_network_alone(make_step):
    step = make_step(path_length_weight=0.0)
    named = step.networks.named()
    update, moved = step._update, []

    def spied(name: str, loss: torch.Tensor) -> None:
        before = {key: vector(network) for key, network in named.items()}
        update(name, loss)
        moved.append((name, [key for key, network in named.items() if not torch.equal(before[key], vector(network))]))

    step._update = spied
    run(step)

    assert moved == [("d_image", ["d_image"]), ("d_pair", ["d_pair"]), ("generator", ["generator"])]


def test_the_discriminators_see_no_graph_of_the_generator(make_step):
    step = make_step()
    run(step)
    step.optimizers["generator"].zero_grad(set_to_none=True)
    unlabelled, labelled, target = batch()
    image, label_logits = step.networks.generator(torch.randn(2, 6))

    step._step_d_image(unlabelled, image.detach())
    step._step_d_pair(labelled, target * 2 - 1, image.detach(), label_to_discriminator(label_logits).detach())

    assert gradients(step.networks.generator) == 0


def test_path_length_steps_move_trunk_and_image_heads_but_no_label_head(make_step):
    step = make_step(learning_rate=0.01)
    synthesis = step.networks.generator.synthesis
    labels, images = ([vector(getattr(b, n)) for b in synthesis.blocks] for n in ("to_label", "to_image"))
    stats = step._step_path_length(2)

    assert all(torch.equal(a, vector(b.to_label)) for a, b in zip(labels, synthesis.blocks, strict=True))
    assert not any(torch.equal(a, vector(b.to_image)) for a, b in zip(images, synthesis.blocks, strict=True))
    torch.testing.assert_close(step.path_length_mean, 0.01 * stats["path_length"].detach())


def test_path_length_can_be_off(make_step):
    stats = run(make_step(path_length_weight=0.0))

    assert "path_length" not in stats


def test_the_average_follows_the_generator_and_its_mean_of_w(make_step):
    step = make_step(ema_half_life_kimg=0.002)
    run(step, 3)

    generator, average = step.networks.generator, step.networks.generator_ema
    assert not torch.equal(vector(generator), vector(average))
    assert torch.equal(generator.mapping.latent_avg, average.mapping.latent_avg)
    assert not any(p.requires_grad for p in average.parameters())


@pytest.mark.parametrize("image_loss", ["logistic", "hinge"])
@pytest.mark.parametrize("pair_loss", ["logistic", "hinge"])
def test_statistics_are_finite_numbers_without_graph(make_step, image_loss, pair_loss):
    stats = run(make_step(image_loss=image_loss, pair_loss=pair_loss))

    assert {"loss_d_image", "loss_d_pair", "loss_g_image", "loss_g_pair", "r1_image", "r1_pair"} <= stats.keys()
    assert all(value.ndim == 0 and bool(value.isfinite()) and not value.requires_grad for value in stats.values())


def test_the_optimizers_account_for_lazy_penalties(make_step):
    """StyleGAN2, appendix B: rate times c, beta2 to the power of c, with c = k / (k + 1)."""
    step = make_step(learning_rate=0.01, r1_interval=16, path_length_interval=4)

    for name, c in (("generator", 4 / 5), ("d_image", 16 / 17), ("d_pair", 16 / 17)):
        (group,) = step.optimizers[name].param_groups
        assert group["lr"] == pytest.approx(0.01 * c)
        assert group["betas"] == (0.0, pytest.approx(0.99**c))
    (group,) = make_step(learning_rate=0.01, path_length_weight=0.0).optimizers["generator"].param_groups
    assert group["lr"] == pytest.approx(0.01)


def test_the_state_continues_an_iteration_exactly(make_step):
    step, other = make_step(r1_interval=2), make_step(r1_interval=2)
    run(step, 3)
    step.adaptive_image.value = 0.4
    other.load_state_dict(copy.deepcopy(step.state_dict()))

    for each in (step, other):
        torch.manual_seed(9)
        each(*batch(), images_seen=6)

    assert other.iteration == 4 and other.adaptive_image.value == 0.4
    for name, network in step.networks.named().items():
        assert torch.equal(vector(network), vector(other.networks.named()[name])), name
