# SPDX-License-Identifier: Apache-2.0
"""Random state dicts in the layouts of other code bases, written from lists of their keys and shapes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]

FILTER = torch.tensor([1.0, 3.0, 3.0, 1.0])[:, None] * torch.tensor([1.0, 3.0, 3.0, 1.0])[None, :] / 64


class Numbers:
    """Draw tensors of any shape, repeatably, none of them zero."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
        return mean + std * torch.randn(shape, generator=self.rng, dtype=torch.float64)


def rosinality_generator(
    channels: Sequence[int],
    *,
    z_dim: int = 6,
    w_dim: int = 5,
    num_mapping_layers: int = 3,
    image_channels: int = 3,
    num_classes: int | None = None,
    seed: int = 0,
) -> State:
    """With ``num_classes`` the official SemanticGAN's, else rosinality's."""
    draw, state = Numbers(seed), {}
    for at in range(num_mapping_layers):
        state[f"style.{at + 1}.weight"] = draw(w_dim, w_dim if at else z_dim, std=100)
        state[f"style.{at + 1}.bias"] = draw(w_dim, std=30)
    state["input.input"] = draw(1, channels[0], 4, 4)

    def styled(name: str, i: int, o: int) -> None:
        state[f"{name}.conv.weight"] = draw(1, o, i, 3, 3)
        state[f"{name}.conv.modulation.weight"] = draw(i, w_dim)
        state[f"{name}.conv.modulation.bias"] = draw(i, mean=1)
        state[f"{name}.noise.weight"] = draw(1)
        state[f"{name}.activate.bias"] = draw(o)

    def head(name: str, i: int, o: int) -> None:
        state[f"{name}.bias"] = draw(1, o, 1, 1)
        state[f"{name}.conv.weight"] = draw(1, o, i, 1, 1)
        state[f"{name}.conv.modulation.weight"] = draw(i, w_dim)
        state[f"{name}.conv.modulation.bias"] = draw(i, mean=1)

    outputs = [("rgb", image_channels)] + ([("seg", num_classes)] if num_classes else [])
    styled("conv1", channels[0], channels[0])
    for kind, count in outputs:
        head(f"to_{kind}1", channels[0], count)
    for at in range(1, len(channels)):
        styled(f"convs.{2 * at - 2}", channels[at - 1], channels[at])
        state[f"convs.{2 * at - 2}.conv.blur.kernel"] = FILTER * 4
        styled(f"convs.{2 * at - 1}", channels[at], channels[at])
        for kind, count in outputs:
            head(f"to_{kind}s.{at - 1}", channels[at], count)
            state[f"to_{kind}s.{at - 1}.upsample.kernel"] = FILTER * 4
    for at in range(2 * len(channels) - 1):
        side = 4 * 2 ** ((at + 1) // 2)
        state[f"noises.noise_{at}"] = draw(1, 1, side, side)
    return state


def rosinality_discriminator(channels: Sequence[int], *, image_channels: int = 3, seed: int = 1) -> State:
    """The image discriminator of rosinality and of the official SemanticGAN."""
    draw, table = Numbers(seed), list(channels)[::-1]
    state = {"convs.0.0.weight": draw(table[0], image_channels, 1, 1), "convs.0.1.bias": draw(table[0])}
    for at in range(1, len(table)):
        i, o = table[at - 1], table[at]
        state[f"convs.{at}.conv1.0.weight"] = draw(i, i, 3, 3)
        state[f"convs.{at}.conv1.1.bias"] = draw(i)
        state[f"convs.{at}.conv2.0.kernel"] = FILTER.clone()
        state[f"convs.{at}.conv2.1.weight"] = draw(o, i, 3, 3)
        state[f"convs.{at}.conv2.2.bias"] = draw(o)
        state[f"convs.{at}.skip.0.kernel"] = FILTER.clone()
        state[f"convs.{at}.skip.1.weight"] = draw(o, i, 1, 1)
    last = table[-1]
    state["final_conv.0.weight"], state["final_conv.1.bias"] = draw(last, last + 1, 3, 3), draw(last)
    state["final_linear.0.weight"], state["final_linear.0.bias"] = draw(last, last * 16), draw(last)
    state["final_linear.1.weight"], state["final_linear.1.bias"] = draw(1, last), draw(1)
    return state


def pair_discriminator(in_channels: int, *, num_scales: int = 3, width: int = 2, seed: int = 2) -> State:
    """The pair discriminator of the official SemanticGAN."""
    draw, state = Numbers(seed), {}
    widths = [width, 2 * width, 4 * width, 8 * width]
    for scale in range(num_scales):
        state[f"scale{scale}_layer0.0.weight"] = draw(width, in_channels, 4, 4)
        state[f"scale{scale}_layer0.0.bias"] = draw(width)
        for at in range(3):
            name = f"scale{scale}_layer{at + 1}.0.0"
            weight = draw(widths[at + 1], widths[at], 4, 4)
            u, _, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
            state |= {f"{name}.weight_orig": weight, f"{name}.weight_u": u[:, 0].clone()}
            state[f"{name}.weight_v"] = v[0].clone()
        state[f"scale{scale}_layer4.0.weight"] = draw(1, widths[3], 4, 4)
        state[f"scale{scale}_layer4.0.bias"] = draw(1)
    return state


def pyramid_encoder(
    num_layers: int, *, image_channels: int = 3, w_dim: int = 5, width: int = 2, head: int = 3, seed: int = 3
) -> State:
    """The official SemanticGAN's encoder."""
    draw, state = Numbers(seed), {}

    def norm(name: str, count: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = draw(count, mean=1, std=0.3), draw(count, std=0.3)
        state[f"{name}.running_mean"] = draw(count, std=0.3)
        state[f"{name}.running_var"] = draw(count).square() + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(2)

    def convolution(name: str, o: int, i: int, k: int, *, has_bias: bool = True) -> None:
        state[f"{name}.weight"] = draw(o, i, k, k, std=1 / (i * k * k) ** 0.5)
        if has_bias:
            state[f"{name}.bias"] = draw(o)

    trunk = "FPN_module"
    convolution(f"{trunk}.conv1", width, image_channels, 7, has_bias=False)
    norm(f"{trunk}.bn1", width)
    before = width
    for stage, depth in enumerate((3, 4, 6, 3)):
        inner = width * (stage + 1)
        for at in range(depth):
            name = f"{trunk}.layer{stage + 1}.{at}"
            for number, (o, i, k) in enumerate(((inner, before, 1), (inner, inner, 3), (4 * inner, inner, 1)), 1):
                convolution(f"{name}.conv{number}", o, i, k, has_bias=False)
                norm(f"{name}.bn{number}", o)
            if at == 0:
                convolution(f"{name}.shortcut.0", 4 * inner, before, 1, has_bias=False)
                norm(f"{name}.shortcut.1", 4 * inner)
            before = 4 * inner
    convolution(f"{trunk}.toplayer", head, before, 1)
    for at in range(3):
        convolution(f"{trunk}.smooth{at + 1}", head, head, 3)
        convolution(f"{trunk}.latlayer{at + 1}", head, 4 * width * (3 - at), 1)
    for name, count in head_names(num_layers):
        for at in range(count):
            convolution(f"{name}.convs.{2 * at}", head, head, 3)
        state[f"{name}.linear.weight"], state[f"{name}.linear.bias"] = draw(w_dim, head), draw(w_dim)
    return state


def head_names(num_layers: int) -> Iterator[tuple[str, int]]:
    """Names of the encoder's heads in the order of the styles, with their number of convolutions."""
    for style in range(num_layers):
        if style < 3:
            yield f"course_styles.{style}", 4
        elif style < 7:
            yield f"medium_styles.{style - 3}", 5
        else:
            yield f"fine_styles.{style - 7}", 6


def ada_generator(
    channels: Sequence[int],
    *,
    z_dim: int = 6,
    w_dim: int = 5,
    num_mapping_layers: int = 2,
    image_channels: int = 3,
    seed: int = 4,
) -> State:
    """StyleGAN2-ADA's generator."""
    draw, state = Numbers(seed), {"mapping.w_avg": Numbers(9)(w_dim)}
    for at in range(num_mapping_layers):
        state[f"mapping.fc{at}.weight"] = draw(w_dim, w_dim if at else z_dim, std=100)
        state[f"mapping.fc{at}.bias"] = draw(w_dim, std=30)

    def affine(name: str, i: int) -> None:
        state[f"{name}.affine.weight"], state[f"{name}.affine.bias"] = draw(i, w_dim), draw(i, mean=1)

    def layer(name: str, i: int, o: int, side: int) -> None:
        affine(name, i)
        state[f"{name}.weight"], state[f"{name}.bias"] = draw(o, i, 3, 3), draw(o)
        state[f"{name}.noise_strength"], state[f"{name}.noise_const"] = draw().reshape(()), draw(side, side)
        state[f"{name}.resample_filter"] = FILTER.clone()

    for at, width in enumerate(channels):
        side = 4 * 2**at
        name = f"synthesis.b{side}"
        state[f"{name}.resample_filter"] = FILTER.clone()
        if at:
            layer(f"{name}.conv0", channels[at - 1], width, side)
        else:
            state[f"{name}.const"] = draw(width, 4, 4)
        layer(f"{name}.conv1", width, width, side)
        affine(f"{name}.torgb", width)
        state[f"{name}.torgb.weight"], state[f"{name}.torgb.bias"] = draw(image_channels, width, 1, 1), draw(3)
        state[f"{name}.torgb.bias"] = state[f"{name}.torgb.bias"][:image_channels]
    return state


def ada_discriminator(channels: Sequence[int], *, image_channels: int = 3, seed: int = 5) -> State:
    """StyleGAN2-ADA's discriminator, residual architecture."""
    draw, state = Numbers(seed), {}

    def layer(name: str, o: int, i: int, k: int, *, has_bias: bool = True) -> None:
        state[f"{name}.weight"] = draw(o, i, k, k)
        if has_bias:
            state[f"{name}.bias"] = draw(o)
        state[f"{name}.resample_filter"] = FILTER.clone()

    for at in range(len(channels) - 1, 0, -1):
        name = f"b{4 * 2**at}"
        state[f"{name}.resample_filter"] = FILTER.clone()
        if at == len(channels) - 1:
            layer(f"{name}.fromrgb", channels[at], image_channels, 1)
        layer(f"{name}.conv0", channels[at], channels[at], 3)
        layer(f"{name}.conv1", channels[at - 1], channels[at], 3)
        layer(f"{name}.skip", channels[at - 1], channels[at], 1, has_bias=False)
    last = channels[0]
    layer("b4.conv", last, last + 1, 3)
    state["b4.fc.weight"], state["b4.fc.bias"] = draw(last, last * 16), draw(last)
    state["b4.out.weight"], state["b4.out.bias"] = draw(1, last), draw(1)
    return state


CHANNELS = (5, 4, 3, 2)
"""32 px, unequal widths."""


def semanticgan_files(*, num_classes: int = 3, image_channels: int = 3) -> tuple[dict, dict]:
    """The GAN's file and the encoder's, as the official training saves them."""
    generator = rosinality_generator(CHANNELS, num_classes=num_classes, image_channels=image_channels)
    gan = {
        "g": rosinality_generator(CHANNELS, num_classes=num_classes, image_channels=image_channels, seed=7),
        "d_img": rosinality_discriminator(CHANNELS, image_channels=image_channels),
        "d_seg": pair_discriminator(image_channels + num_classes),
        "g_ema": generator,
        "args": argparse.Namespace(size=32, lr=0.002, path="data"),
    }
    encoder = pyramid_encoder(2 * len(CHANNELS), image_channels=image_channels)
    return gan, {"g_ema": generator, "e": encoder}
