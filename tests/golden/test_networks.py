# SPDX-License-Identifier: Apache-2.0
"""Whole networks against NumPy versions written from the papers' formulas, number by number.

StyleGAN: Karras et al. 2019; StyleGAN2: Karras et al. 2020 (equations 1 to 3, figure 7); the discriminator's minibatch
standard deviation: Karras et al. 2018; pair discriminator: Wang et al. 2018 (pix2pixHD); spectral norm: Miyato et al.
2018.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d

from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator

pytestmark = pytest.mark.golden

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
SQRT2 = math.sqrt(2)


def numbers(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def leaky(x: np.ndarray, slope: float = 0.2) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def per_channel(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def correlate(x: np.ndarray, weight: np.ndarray, *, padding: int, stride: int = 1) -> np.ndarray:
    """What neural networks call convolution: ``(I, H, W)`` and ``(O, I, k, k)`` to ``(O, H', W')``."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    full = [sum(correlate2d(c, k, mode="valid") for c, k in zip(x, w, strict=True)) for w in weight]
    return np.stack(full)[:, ::stride, ::stride]


def insert_zeros(x: np.ndarray) -> np.ndarray:
    spread = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2]))
    spread[:, ::2, ::2] = x
    return spread


def filtered(x: np.ndarray, before: int, after: int, gain: float = 1.0) -> np.ndarray:
    return np.stack([convolve2d(np.pad(c, ((before, after), (before, after))), gain * TAPS, mode="valid") for c in x])


class NumpyGenerator:
    """Mapping, synthesis with output skips, and both heads, for one latent code."""

    def __init__(self, parameters: dict[str, np.ndarray], num_blocks: int) -> None:
        self.p, self.num_blocks = parameters, num_blocks

    def mapping(self, z: np.ndarray) -> np.ndarray:
        x = z / math.sqrt((z**2).mean() + 1e-8)
        for at in range(2):
            weight, bias = (self.p[f"mapping.layers.{at}.{name}"] for name in ("weight", "bias"))
            x = leaky(weight @ x * (0.01 / math.sqrt(len(x))) + 0.01 * bias) * SQRT2
        return x

    def weight(self, name: str, w: np.ndarray, *, demodulate: bool) -> np.ndarray:
        style = self.p[f"{name}.affine.weight"] @ w / math.sqrt(len(w)) + self.p[f"{name}.affine.bias"]
        weight = self.p[f"{name}.weight"]
        weight = weight * style[None, :, None, None] / math.sqrt(weight[0].size)
        if demodulate:
            weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        return weight

    def styled(self, x: np.ndarray, w: np.ndarray, name: str, *, up: bool = False) -> np.ndarray:
        weight = self.weight(name, w, demodulate=True)
        if up:
            spread = insert_zeros(x)[:, :-1, :-1]
            full = np.stack([sum(convolve2d(c, k) for c, k in zip(spread, o, strict=True)) for o in weight])
            x = filtered(full, 1, 1, gain=4)
        else:
            x = correlate(x, weight, padding=1)
        x = x + self.p[f"{name}.noise_strength"] * self.p[f"{name}.noise_const"][0, 0]
        return leaky(x + per_channel(self.p[f"{name}.bias"])) * SQRT2

    def head(self, x: np.ndarray, w: np.ndarray, name: str, skip: np.ndarray | None) -> np.ndarray:
        y = correlate(x, self.weight(name, w, demodulate=False), padding=0) + per_channel(self.p[f"{name}.bias"])
        return y if skip is None else y + filtered(insert_zeros(skip), 2, 1, gain=4)

    def __call__(self, w_plus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, image, label = self.p["synthesis.const"][0], None, None
        for at in range(self.num_blocks):
            block = f"synthesis.blocks.{at}"
            if at:
                x = self.styled(x, w_plus[2 * at - 1], f"{block}.conv_up", up=True)
            x = self.styled(x, w_plus[2 * at], f"{block}.conv")
            image = self.head(x, w_plus[2 * at + 1], f"{block}.to_image", image)
            label = self.head(x, w_plus[2 * at + 1], f"{block}.to_label", label)
        return image, label


@pytest.fixture
def generator() -> Generator:
    """A float64 generator of 32 px, RGB, three classes, unequal widths, no parameter left at zero."""
    torch.manual_seed(0)
    generator = Generator(
        image_size=32, num_classes=3, image_channels=3, z_dim=6, w_dim=5, num_mapping_layers=2, channels=[5, 4, 3, 2]
    ).double()
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.normal_(mean=1.0)
    return generator.eval()


def test_mapping_equals_numpy(generator):
    z = torch.randn(1, 6, dtype=torch.float64)

    w_plus = generator.mapping(z)

    expected = NumpyGenerator(numbers(generator), 4).mapping(z[0].numpy())
    np.testing.assert_allclose(w_plus[0].detach().numpy(), np.tile(expected, (8, 1)), rtol=1e-12, atol=1e-12)


def test_generator_equals_numpy(generator):
    w_plus = torch.randn(2, 8, 5, dtype=torch.float64)

    image, label_logits = generator.synthesis(w_plus)

    for at in range(2):
        expected_image, expected_label = NumpyGenerator(numbers(generator), 4)(w_plus[at].numpy())
        np.testing.assert_allclose(image[at].detach().numpy(), expected_image, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(label_logits[at].detach().numpy(), expected_label, rtol=1e-10, atol=1e-10)


def test_image_discriminator_equals_numpy():
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(image_size=32, image_channels=3, channels=[5, 4, 3, 2], stddev_group=2).double()
    with torch.no_grad():
        for name, parameter in discriminator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    p, images = numbers(discriminator), torch.randn(4, 3, 32, 32, dtype=torch.float64)

    def convolve(x, name, *, activate=True, down=False):
        weight = p[f"{name}.weight"] / math.sqrt(p[f"{name}.weight"][0].size)
        kernel = weight.shape[-1]
        if down:
            x = correlate(filtered(x, 2, 2) if kernel == 3 else filtered(x, 1, 1), weight, padding=0, stride=2)
        else:
            x = correlate(x, weight, padding=kernel // 2)
        return leaky(x + per_channel(p[f"{name}.bias"])) * SQRT2 if activate else x

    def trunk(x):
        x = convolve(x, "from_image")
        for at in range(3):
            y = convolve(convolve(x, f"blocks.{at}.conv1"), f"blocks.{at}.conv2", down=True)
            x = (y + convolve(x, f"blocks.{at}.skip", activate=False, down=True)) / SQRT2
        return x

    def linear(x, name):
        return p[f"{name}.weight"] @ x / math.sqrt(len(x)) + p[f"{name}.bias"]

    features = np.stack([trunk(image) for image in images.numpy()])
    expected = []
    for at in range(4):
        group = features[[at, (at + 2) % 4]]  # two groups: samples 0 and 2, samples 1 and 3
        deviation = np.sqrt(((group - group.mean(axis=0)) ** 2).mean(axis=0) + 1e-8).mean()
        x = convolve(np.concatenate([features[at], np.full((1, 4, 4), deviation)]), "final_conv")
        expected.append(linear(leaky(linear(x.reshape(-1), "final_linear")) * SQRT2, "output")[0])

    # The deviation alone is computed in float32.
    np.testing.assert_allclose(discriminator(images).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_pair_discriminator_equals_numpy():
    torch.manual_seed(0)
    discriminator = MultiscaleDiscriminator(image_channels=1, num_classes=2, num_scales=2, base_channels=2).double()
    image, label = torch.randn(1, 1, 32, 32, dtype=torch.float64), torch.randn(1, 2, 32, 32, dtype=torch.float64)
    for _ in range(300):  # power iterations: the estimate of the largest singular value converges
        discriminator(image, label)
    discriminator.eval()
    p = numbers(discriminator)

    def patch(x, name):
        x = leaky(correlate(x, p[f"{name}.first.weight"], padding=2, stride=2) + per_channel(p[f"{name}.first.bias"]))
        for at, stride in enumerate((2, 2, 1)):
            weight = p[f"{name}.middle.{at}.parametrizations.weight.original"]
            weight = weight / np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
            x = correlate(x, weight, padding=2, stride=stride)
            x = leaky((x - x.mean(axis=(1, 2), keepdims=True)) / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5))
        return correlate(x, p[f"{name}.last.weight"], padding=2) + per_channel(p[f"{name}.last.bias"])

    def halved(x):
        ones = np.ones((3, 3))
        count = convolve2d(np.ones(x.shape[1:]), ones, mode="same")
        return np.stack([convolve2d(c, ones, mode="same") / count for c in x])[:, ::2, ::2]

    pair = torch.cat([image, label], dim=1)[0].numpy()
    actual = [scale.detach().numpy()[0] for scale in discriminator(image, label)]

    np.testing.assert_allclose(actual[0], patch(pair, "critics.0"), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(actual[1], patch(halved(pair), "critics.1"), rtol=1e-6, atol=1e-8)
