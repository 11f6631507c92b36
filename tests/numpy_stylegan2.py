# SPDX-License-Identifier: Apache-2.0
"""StyleGAN2 and SemanticGAN's networks in NumPy and SciPy, on the state dicts of other code bases.

Written from the formulas (Karras et al. 2019; Karras et al. 2020, equations 1 to 3 and figure 7; Karras et al. 2018 for
the minibatch standard deviation; Wang et al. 2018 for the pair discriminator; He et al. 2016 and Lin et al. 2017 for
the encoder). Modulation scales each sample's weights, upsampling writes the zeros out, filters are two-dimensional: no
step is computed as in the package. One sample at a time, channels first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import convolve2d, correlate2d

Array = np.ndarray
State = Mapping[str, Array]

LOW_PASS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
EPSILON = 1e-8


def leaky(x: Array, slope: float = 0.2) -> Array:
    return np.where(x < 0, slope * x, x)


def activated(x: Array, bias: Array) -> Array:
    return np.sqrt(2) * leaky(x + bias.reshape(-1, *[1] * (x.ndim - 1)))


def correlation(x: Array, weight: Array, *, padding: int = 0, stride: int = 1) -> Array:
    """``(I, H, W)`` and ``(O, I, k, k)`` to ``(O, H', W')``."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("ihwkl,oikl->ohw", windows, weight)


def with_zeros(x: Array) -> Array:
    """Put a zero behind every sample."""
    wide = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2]), x.dtype)
    wide[:, ::2, ::2] = x
    return wide


def low_pass(x: Array, before: int, after: int) -> Array:
    x = np.pad(x, ((0, 0), (before, after), (before, after)))
    return np.stack([convolve2d(channel, LOW_PASS, mode="valid") for channel in x])


def upsampled(x: Array) -> Array:
    return 4 * low_pass(with_zeros(x), 2, 1)


def mapped(layers: list[tuple[Array, Array]], z: Array) -> Array:
    """Map z to w: normalize to unit second moment, then layers of learning rate multiplier 0.01."""
    x = z / np.sqrt(np.mean(z**2) + EPSILON)
    for weight, bias in layers:
        x = activated((0.01 / np.sqrt(weight.shape[1])) * (weight @ x), 0.01 * bias)
    return x


class Layout:
    """Where a layout keeps the parts of a generator."""

    def __init__(self, state: State) -> None:
        self.state = state

    def affine(self, layer: str, w: Array) -> Array:
        raise NotImplementedError

    def convolution(self, block: int, *, up: bool) -> tuple[str, Array, Array, float, Array]:
        """Return the layer's name, its weight, its bias, its noise's strength and map."""
        raise NotImplementedError


class RosinalityLayout(Layout):
    def mapping(self) -> list[tuple[Array, Array]]:
        count = sum(key.startswith("style.") and key.endswith("weight") for key in self.state)
        return [(self.state[f"style.{at}.weight"], self.state[f"style.{at}.bias"]) for at in range(1, count + 1)]

    def constant(self) -> Array:
        return self.state["input.input"][0]

    def affine(self, layer: str, w: Array) -> Array:
        weight, bias = (self.state[f"{layer}.conv.modulation.{part}"] for part in ("weight", "bias"))
        return weight @ w / np.sqrt(len(w)) + bias

    def convolution(self, block: int, *, up: bool) -> tuple[str, Array, Array, float, Array]:
        name = "conv1" if block == 0 else f"convs.{2 * (block - 1) + (0 if up else 1)}"
        noise = self.state[f"noises.noise_{2 * block - up}"][0, 0]
        strength = float(self.state[f"{name}.noise.weight"][0])
        return name, self.state[f"{name}.conv.weight"][0], self.state[f"{name}.activate.bias"], strength, noise

    def head(self, block: int, output: str) -> tuple[str, Array, Array]:
        kind = {"image": "rgb", "label": "seg"}[output]
        name = f"to_{kind}1" if block == 0 else f"to_{kind}s.{block - 1}"
        return name, self.state[f"{name}.conv.weight"][0], self.state[f"{name}.bias"].reshape(-1)


class AdaLayout(Layout):
    def mapping(self) -> list[tuple[Array, Array]]:
        count = sum(key.startswith("mapping.fc") and key.endswith("weight") for key in self.state)
        return [(self.state[f"mapping.fc{at}.weight"], self.state[f"mapping.fc{at}.bias"]) for at in range(count)]

    def constant(self) -> Array:
        return self.state["synthesis.b4.const"]

    def affine(self, layer: str, w: Array) -> Array:
        return self.state[f"{layer}.affine.weight"] @ w / np.sqrt(len(w)) + self.state[f"{layer}.affine.bias"]

    def convolution(self, block: int, *, up: bool) -> tuple[str, Array, Array, float, Array]:
        name = f"synthesis.b{4 << block}.conv{0 if up else 1}"
        weight, bias, strength, noise = (
            self.state[f"{name}.{part}"] for part in ("weight", "bias", "noise_strength", "noise_const")
        )
        return name, weight, bias, float(strength), noise

    def head(self, block: int, output: str) -> tuple[str, Array, Array]:
        assert output == "image"
        name = f"synthesis.b{4 << block}.torgb"
        return name, self.state[f"{name}.weight"], self.state[f"{name}.bias"]


def modulated(layout: Layout, layer: str, weight: Array, w: Array, *, demodulate: bool, constant: bool = True) -> Array:
    """Scale weights by a style; ``constant`` is the factor of unit-variance weights, which demodulation cancels."""
    scale = 1 / np.sqrt(weight[0].size) if constant else 1.0
    scaled = scale * weight * layout.affine(layer, w)[None, :, None, None]
    if not demodulate:
        return scaled
    return scaled / np.sqrt(np.sum(scaled**2, axis=(1, 2, 3), keepdims=True) + EPSILON)


def styled(layout: Layout, x: Array, w: Array, block: int, *, up: bool, constant: bool) -> Array:
    name, weight, bias, strength, noise = layout.convolution(block, up=up)
    weight = modulated(layout, name, weight, w, demodulate=True, constant=constant)
    if up:
        wide = with_zeros(x)[:, :-1, :-1]
        full = np.stack([sum(convolve2d(c, k) for c, k in zip(wide, kernel, strict=True)) for kernel in weight])
        x = 4 * low_pass(full, 1, 1)
    else:
        x = np.stack([sum(correlate2d(c, k, mode="same") for c, k in zip(x, kernel, strict=True)) for kernel in weight])
    return activated(x + strength * noise, bias)


def synthesis(layout: Layout, w_plus: Array, num_blocks: int, *, output: str = "image", constant: bool = True) -> Array:
    """Render the image or the label of styles ``(L, w_dim)``, with the stored noise."""
    x, result = layout.constant(), None
    for block in range(num_blocks):
        if block:
            x = styled(layout, x, w_plus[2 * block - 1], block, up=True, constant=constant)
        x = styled(layout, x, w_plus[2 * block], block, up=False, constant=constant)
        name, weight, bias = layout.head(block, output)
        weight = modulated(layout, name, weight, w_plus[2 * block + 1], demodulate=False)
        y = correlation(x, weight) + bias[:, None, None]
        result = y if result is None else y + upsampled(result)
    return result


def image_discriminator(images: Array, *, num_blocks: int, get: Callable[[str], Array], group_size: int) -> Array:
    """Logits ``(N,)``; ``get`` returns ``from``, ``{b}.conv1``, ``{b}.conv2``, ``{b}.skip``, ``last``, ``fc``, ``out``,
    with ``.weight`` or ``.bias`` behind it; blocks count from the finest."""

    def convolve(x: Array, name: str, *, down: bool = False) -> Array:
        weight = get(f"{name}.weight")
        size = weight.shape[-1]
        weight = weight / np.sqrt(weight[0].size)
        if down:
            pad = 2 if size == 3 else 1
            return correlation(low_pass(x, pad, pad), weight, stride=2)
        return correlation(x, weight, padding=size // 2)

    def trunk(x: Array) -> Array:
        x = activated(convolve(x, "from"), get("from.bias"))
        for at in range(num_blocks):
            y = activated(convolve(x, f"{at}.conv1"), get(f"{at}.conv1.bias"))
            y = activated(convolve(y, f"{at}.conv2", down=True), get(f"{at}.conv2.bias"))
            x = (y + convolve(x, f"{at}.skip", down=True)) / np.sqrt(2)
        return x

    def linear(x: Array, name: str) -> Array:
        return get(f"{name}.weight") @ x / np.sqrt(len(x)) + get(f"{name}.bias")

    features = np.stack([trunk(image) for image in images])
    num_groups = len(images) // group_size
    logits = []
    for at in range(len(images)):
        group = features[at % num_groups :: num_groups]
        deviation = np.sqrt(np.mean((group - group.mean(axis=0)) ** 2, axis=0) + EPSILON).mean()
        x = np.concatenate([features[at], np.full((1, 4, 4), deviation)])
        x = activated(convolve(x, "last"), get("last.bias")).reshape(-1)
        logits.append(linear(np.sqrt(2) * leaky(linear(x, "fc")), "out")[0])
    return np.array(logits)


ROSINALITY_CRITIC = {
    "from.weight": "convs.0.0.weight",
    "from.bias": "convs.0.1.bias",
    "last.weight": "final_conv.0.weight",
    "last.bias": "final_conv.1.bias",
    "fc.weight": "final_linear.0.weight",
    "fc.bias": "final_linear.0.bias",
    "out.weight": "final_linear.1.weight",
    "out.bias": "final_linear.1.bias",
    "conv1.weight": "conv1.0.weight",
    "conv1.bias": "conv1.1.bias",
    "conv2.weight": "conv2.1.weight",
    "conv2.bias": "conv2.2.bias",
    "skip.weight": "skip.1.weight",
}


def rosinality_discriminator(state: State, name: str) -> Array:
    block, _, part = name.partition(".")
    if block.isdigit():
        return state[f"convs.{int(block) + 1}.{ROSINALITY_CRITIC[part]}"]
    return state[ROSINALITY_CRITIC[name]]


def ada_discriminator(state: State, name: str, *, num_blocks: int) -> Array:
    block, _, part = name.partition(".")
    if block.isdigit():
        layer = part.replace("conv1", "conv0") if part.startswith("conv1") else part.replace("conv2", "conv1")
        return state[f"b{4 << (num_blocks - int(block))}.{layer}"]
    names = {"from": f"b{4 << num_blocks}.fromrgb", "last": "b4.conv", "fc": "b4.fc", "out": "b4.out"}
    return state[f"{names[block]}.{part}"]


def pair_discriminator(state: State, pair: Array, *, num_scales: int) -> list[Array]:
    """Patch logits, finest scale first; spectral norms from singular values."""

    def patch(x: Array, name: str) -> Array:
        x = leaky(
            correlation(x, state[f"{name}_layer0.0.weight"], padding=2, stride=2)
            + state[f"{name}_layer0.0.bias"][:, None, None]
        )
        for layer, stride in ((1, 2), (2, 2), (3, 1)):
            weight = state[f"{name}_layer{layer}.0.0.weight_orig"]
            weight = weight / np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
            x = correlation(x, weight, padding=2, stride=stride)
            x = leaky((x - x.mean(axis=(1, 2), keepdims=True)) / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5))
        last = correlation(x, state[f"{name}_layer4.0.weight"], padding=2)
        return last + state[f"{name}_layer4.0.bias"][:, None, None]

    outputs = []
    for scale in range(num_scales):
        outputs.append(patch(pair, f"scale{num_scales - 1 - scale}"))
        ones = np.ones((3, 3))
        counts = convolve2d(np.ones(pair.shape[1:]), ones, mode="same")
        pair = np.stack([convolve2d(c, ones, mode="same") / counts for c in pair])[:, ::2, ::2]
    return outputs


def bilinear_doubled(x: Array) -> Array:
    """Upsample by 2 with pixel centres at half integers; borders repeat."""
    for axis in (1, 2):
        x = np.moveaxis(x, axis, -1)
        before = np.concatenate([x[..., :1], x[..., :-1]], axis=-1)
        after = np.concatenate([x[..., 1:], x[..., -1:]], axis=-1)
        wide = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=-1)
        x = np.moveaxis(wide.reshape(*x.shape[:-1], -1), -1, axis)
    return x


def pyramid_encoder(state: State, image: Array, heads: list[tuple[str, int]]) -> Array:
    """Styles ``(L, w_dim)``; ``heads`` are names with numbers of convolutions, in the order of the styles."""
    trunk = "FPN_module"

    def norm(x: Array, name: str) -> Array:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    def convolve(x: Array, name: str, **options: int) -> Array:
        y = correlation(x, state[f"{name}.weight"], **options)
        return y + state[f"{name}.bias"][:, None, None] if f"{name}.bias" in state else y

    x = np.maximum(norm(convolve(image, f"{trunk}.conv1", padding=3, stride=2), f"{trunk}.bn1"), 0)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    x = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-1, -2))
    maps = []
    for stage, depth in enumerate((3, 4, 6, 3)):
        for at in range(depth):
            name, stride = f"{trunk}.layer{stage + 1}.{at}", 2 if stage and at == 0 else 1
            y = np.maximum(norm(convolve(x, f"{name}.conv1"), f"{name}.bn1"), 0)
            y = np.maximum(norm(convolve(y, f"{name}.conv2", padding=1, stride=stride), f"{name}.bn2"), 0)
            y = norm(convolve(y, f"{name}.conv3"), f"{name}.bn3")
            if at == 0:
                x = norm(convolve(x, f"{name}.shortcut.0", stride=stride), f"{name}.shortcut.1")
            x = np.maximum(x + y, 0)
        maps.append(x)
    top, levels = convolve(maps[3], f"{trunk}.toplayer"), {}
    for at, count in enumerate((4, 5, 6)):
        top = bilinear_doubled(top) + convolve(maps[2 - at], f"{trunk}.latlayer{at + 1}")
        levels[count] = convolve(top, f"{trunk}.smooth{at + 1}", padding=1)
    styles = []
    for name, count in heads:
        x = levels[count]
        for at in range(count):
            x = leaky(convolve(x, f"{name}.convs.{2 * at}", padding=1, stride=2), 0.01)
        weight = state[f"{name}.linear.weight"]
        styles.append(weight @ x.reshape(-1) / np.sqrt(weight.shape[1]) + state[f"{name}.linear.bias"])
    return np.stack(styles)
