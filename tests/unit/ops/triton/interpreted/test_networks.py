"""What training differentiates twice, R1 and the path length, through whole networks: as with PyTorch's ops."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.losses.gradient_penalty import r1_penalty
from monai_semigan.losses.path_length import path_lengths
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.generator import Generator
from monai_semigan.ops.backend import use_backend
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.modulated_conv2d import styled_conv2d

SIZE, CHANNELS = 32, [2, 2, 2, 2]


def r1_gradients() -> list[torch.Tensor]:
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(image_size=SIZE, channels=CHANNELS).double()
    image = torch.randn(1, 1, SIZE, SIZE, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(discriminator(image), image).mean()
    return [
        penalty,
        *torch.autograd.grad(penalty, [discriminator.blocks[0].conv1.weight, discriminator.from_image.weight]),
    ]


def path_length_gradients() -> list[torch.Tensor]:
    torch.manual_seed(0)
    generator = Generator(
        image_size=SIZE, num_classes=2, z_dim=4, w_dim=4, num_mapping_layers=1, channels=CHANNELS
    ).double()
    w_plus = torch.randn(1, generator.num_layers, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)
    penalty = path_lengths(generator.synthesis.image(w_plus), w_plus).square().mean()
    parameters = [generator.synthesis.const, w_plus]
    return [penalty, *torch.autograd.grad(penalty, parameters)]


@pytest.mark.parametrize("gradients", [r1_gradients, path_length_gradients])
def test_penalties_and_their_gradients_equal_those_of_torch(gradients):
    with use_backend("torch"):
        expected = gradients()
    with use_backend("triton"):
        actual = gradients()

    for ours, theirs in zip(actual, expected, strict=True):
        assert float(theirs.detach().abs().max()) > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("context", "tolerance"),
    [
        (torch.no_grad, 1e-5),
        (torch.inference_mode, 1e-5),
        (lambda: torch.autocast("cpu", dtype=torch.bfloat16), 2**-6),
    ],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_layers_run_in_whatever_a_host_has_set(context, tolerance):
    rng = torch.Generator().manual_seed(0)
    x, weight, style, bias, noise = (
        torch.randn(shape, generator=rng) for shape in ((1, 2, 4, 4), (3, 2, 3, 3), (1, 2), (3,), (1, 1, 8, 8))
    )
    results = []
    for backend in ("torch", "triton"):
        with context():
            results.append(
                styled_conv2d(x, weight, style, noise=noise, bias=bias, up_taps=normalized_taps(), backend=backend)
            )

    assert results[0].dtype == results[1].dtype
    torch.testing.assert_close(results[1], results[0], rtol=tolerance, atol=tolerance)
