# SPDX-License-Identifier: Apache-2.0
"""A checkout of the official interface: found, loaded without its CUDA build, given our weights, forgotten."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.counts import forward_gflop, inversion_step_gflop
from benchmarks.peer import official_generator
from benchmarks.programs import (
    GROUPED,
    OFFICIAL,
    OURS,
    build_programs,
    full_generator,
    require_equal,
    styles_and_target,
)
from monai_semigan.errors import CheckpointError, InputError

OP = """
from torch.utils.cpp_extension import load
fused = load("fused", sources=["fused.cpp", "fused.cu"])
"""

# Names and shapes as published, the computation from our own reference ops.
GENERATOR = """
import torch
from torch import nn
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.modulated_conv2d import modulated_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d
from .op import fused


class Box(nn.Module):
    def __init__(self, **members):
        super().__init__()
        for name, member in members.items():
            setattr(self, name, member)


def linear(i, o):
    return Box(weight=nn.Parameter(torch.zeros(o, i)), bias=nn.Parameter(torch.zeros(o)))


def conv(i, o, k, w, up=False):
    box = Box(weight=nn.Parameter(torch.zeros(1, o, i, k, k)), modulation=linear(w, i))
    if up:
        box.blur = Box()
        box.blur.register_buffer("kernel", torch.zeros(4, 4))
    return box


class GeneratorSeg(nn.Module):
    def __init__(self, size, style_dim, n_mlp, seg_dim=1, image_mode="L", channel_multiplier=2):
        super().__init__()
        d, C = style_dim, {"L": 1, "RGB": 3}[image_mode]
        width = lambda r: min(512, channel_multiplier * 16384 // r)
        self.style = nn.Sequential(nn.Identity(), *(linear(d, d) for _ in range(n_mlp)))
        self.input = Box(input=nn.Parameter(torch.zeros(1, width(4), 4, 4)))
        styled = lambda i, o, up=False: Box(conv=conv(i, o, 3, d, up), noise=Box(weight=nn.Parameter(torch.zeros(1))),
                                            activate=Box(bias=nn.Parameter(torch.zeros(o))))
        head = lambda i, o: Box(bias=nn.Parameter(torch.zeros(1, o, 1, 1)), conv=conv(i, o, 1, d))
        self.conv1 = styled(width(4), width(4))
        self.to_rgb1, self.to_seg1 = head(width(4), C), head(width(4), seg_dim)
        self.convs, self.to_rgbs, self.to_segs, self.noises = (nn.ModuleList() for _ in range(4))
        self.noises = Box()
        self.noises.register_buffer("noise_0", torch.zeros(1, 1, 4, 4))
        r = 8
        while r <= size:
            self.convs += [styled(width(r // 2), width(r), True), styled(width(r), width(r))]
            self.to_rgbs.append(head(width(r), C))
            self.to_segs.append(head(width(r), seg_dim))
            for _ in range(2):
                self.noises.register_buffer(f"noise_{len(dict(self.noises.named_buffers()))}", torch.zeros(1, 1, r, r))
            r *= 2

    def apply_conv(self, box, x, w, demodulate, up):
        if x.device.type != "cpu":  # as published: another device is CUDA, whose extension was not built
            return fused.modulate(x)
        style = w @ box.modulation.weight.T / w.shape[1] ** 0.5 + box.modulation.bias
        return modulated_conv2d(x, box.weight[0], style, demodulate=demodulate, backend="reference",
                                up_taps=torch.tensor([1., 3., 3., 1.]) / 8 if up else None)

    def styled(self, layer, x, w, at, up=False):
        y = self.apply_conv(layer.conv, x, w, True, up) + layer.noise.weight * getattr(self.noises, f"noise_{at}")
        return bias_act(y, layer.activate.bias, backend="reference")

    def forward(self, styles, input_is_latent=False, randomize_noise=True):
        assert input_is_latent and not randomize_noise
        w = styles[0].unbind(1)
        x = self.styled(self.conv1, self.input.input.expand(len(w[0]), -1, -1, -1), w[0], 0)
        out = [self.apply_conv(h.conv, x, w[1], False, False) + h.bias for h in (self.to_rgb1, self.to_seg1)]
        taps = torch.tensor([1., 3., 3., 1.]) / 8
        for b in range(len(self.to_rgbs)):
            x = self.styled(self.convs[2 * b], x, w[1 + 2 * b], 1 + 2 * b, True)
            x = self.styled(self.convs[2 * b + 1], x, w[2 + 2 * b], 2 + 2 * b)
            for i, h in enumerate((self.to_rgbs[b], self.to_segs[b])):
                skip = upfirdn2d(out[i], taps, up=2, padding=(2, 1), gain=4.0, backend="reference")
                out[i] = self.apply_conv(h.conv, x, w[3 + 2 * b], False, False) + h.bias + skip
        return out[0], out[1], None
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "models" / "op").mkdir(parents=True)
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "models" / "op" / "__init__.py").write_text(OP)
    (tmp_path / "models" / "stylegan2_seg.py").write_text(GENERATOR)
    return tmp_path


def test_the_official_generator_renders_as_ours_and_takes_a_step(checkout: Path) -> None:
    generator = full_generator(32)
    programs = build_programs(generator, [OURS, OFFICIAL], checkout)
    w_plus, target = styles_and_target(generator, 1)

    assert require_equal(programs, w_plus) < 1e-4
    assert programs[OFFICIAL].step(w_plus, target).shape == w_plus.shape


@pytest.mark.parametrize("count", [forward_gflop, inversion_step_gflop])
def test_operations_of_the_official_program_are_counted_too(checkout: Path, count) -> None:
    gflop = count(32, [OURS, GROUPED, OFFICIAL], peer=checkout)

    assert gflop[OFFICIAL] > 1  # the stand-in computes as our reference ops do, not as published
    assert gflop[OURS] == pytest.approx(count(32, [OURS])[OURS])


def test_nothing_of_a_checkout_stays_behind(checkout: Path) -> None:
    path, before = list(sys.path), {name for name in sys.modules if name.startswith("models")}
    network = official_generator(checkout, full_generator(32))

    assert sys.path == path
    assert {name for name in sys.modules if name.startswith("models")} == before
    with pytest.raises(InputError, match="`fused` was asked for `bias_act` on the CPU"):
        sys.modules.get(type(network).__module__, network).forward.__globals__["fused"].bias_act  # noqa: B018


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be a checkout of semanticGAN_code with models/stylegan2_seg\.py"):
        official_generator(tmp_path, full_generator(32, channels=(4, 4, 4, 4)))


def test_a_checkout_that_fails_to_import_says_why(checkout: Path) -> None:
    (checkout / "models" / "stylegan2_seg.py").write_text("import no_such_module")

    with pytest.raises(InputError, match="could not be imported: ModuleNotFoundError: No module named 'no_such"):
        official_generator(checkout, full_generator(32, channels=(4, 4, 4, 4)))


def test_another_network_than_the_published_one_is_refused(checkout: Path) -> None:
    with pytest.raises(CheckpointError, match="must have the published network, but differs in"):
        official_generator(checkout, full_generator(32, channels=(4, 4, 4, 4)))
