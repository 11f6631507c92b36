# SPDX-License-Identifier: Apache-2.0
"""Importing: sizes read off tensors, every key accounted for, kinds told apart."""

from __future__ import annotations

import re
from pathlib import Path

import foreign_checkpoints as foreign
import pytest
import torch

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.extras.importers.imports import import_weights
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter

CHANNELS = foreign.CHANNELS
KEYS_256 = Path(__file__).parents[3] / "golden" / "semanticgan_256_keys.txt"


@pytest.fixture
def gan() -> dict:
    return foreign.semanticgan_files()[0]


def listed_states() -> list[dict[str, torch.Tensor]]:
    """The state dicts of the list, as zeros that take no memory."""
    states: list[dict[str, torch.Tensor]] = []
    for line in KEYS_256.read_text().splitlines():
        if line.startswith("# ") and "entries" in line:
            states.append({})
        if match := re.fullmatch(r"[PB] (\S+) \((.*)\)", line):
            shape = [int(size) for size in match[2].split(",") if size.strip()]
            tensor = torch.zeros((), dtype=torch.int64 if match[1].endswith("tracked") else torch.float32)
            kernel = foreign.FILTER * (4 if re.search("blur|upsample", match[1]) else 1)
            states[-1][match[1]] = kernel if match[1].endswith("kernel") else tensor.expand(shape)
    return states


def shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in network.state_dict().items()}


def test_the_official_networks_at_256_pixels_map_completely() -> None:
    g_ema, d_img, d_seg, encoder, residual = listed_states()

    imported = import_weights("semanticgan", {"gan.pt": {"g_ema": g_ema, "d_img": d_img, "d_seg": d_seg, "e": encoder}})

    assert imported.network == {
        "image_size": 256,
        "num_classes": 8,
        "image_channels": 3,
        "z_dim": 512,
        "w_dim": 512,
        "num_mapping_layers": 8,
        "channels": [512, 512, 512, 512, 512, 256, 128],
        "encoder_kind": "official",
        "encoder_channels": [64, 128, 256, 512],
        "head_channels": 512,
    }
    assert imported.pair_discriminator == {"num_scales": 3, "base_channels": 64}
    with torch.device("meta"):
        network = SemiGanSegmenter(**imported.network)
        d_pair = MultiscaleDiscriminator(image_channels=3, num_classes=8, **imported.pair_discriminator)
    for name, module in (("generator", network.generator), ("encoder", network.encoder), ("d_image", network.d_image)):
        assert {key: tensor.shape for key, tensor in imported.states[name].items()} == shapes(module)
    assert {key: tensor.shape for key, tensor in imported.states["d_pair"].items()} == shapes(d_pair)
    counts = {name: sum(p.numel() for p in module.parameters()) for name, module in network.named_children()}
    assert counts == {"generator": 31_568_218, "encoder": 210_858_560, "d_image": 28_864_129}
    assert sum(p.numel() for p in d_pair.parameters()) == 8_316_099
    with pytest.raises(CheckpointError, match="residual one"):
        import_weights("semanticgan", {"encoder.pt": {"g_ema": g_ema, "e": residual}})


def test_an_image_only_generator_gets_fresh_label_heads_alone() -> None:
    state = foreign.rosinality_generator(CHANNELS)

    first, again, other = (import_weights("rosinality", {"f": state}, num_classes=4, seed=s) for s in (1, 1, 2))

    assert first.network["num_classes"] == 4
    assert first.fresh == ("label heads for 4 classes", "the mean of w, estimated from the mapping network")
    fresh = {key for key in first.states["generator"] if ".to_label." in key}
    assert len(fresh) == 4 * len(CHANNELS)
    for key, tensor in first.states["generator"].items():
        torch.testing.assert_close(tensor, again.states["generator"][key], rtol=0, atol=0)
        differs = key.endswith(".weight") and key in fresh
        assert differs != torch.equal(tensor, other.states["generator"][key]) or key == "mapping.latent_avg"


def test_other_classes_get_fresh_heads_and_no_pair_discriminator(gan: dict) -> None:
    imported = import_weights("semanticgan", {"gan.pt": gan}, num_classes=5)

    assert imported.network["num_classes"] == 5 and set(imported.states) == {"generator", "d_image"}
    assert {"label heads for 3 classes", "d_seg (judges 3 classes)"} <= set(imported.ignored)


def test_the_generator_beside_the_encoder_is_taken_and_averages_come_first(gan: dict) -> None:
    _, encoder = foreign.semanticgan_files()
    encoder["g_ema"] = foreign.rosinality_generator(CHANNELS, num_classes=3, seed=99)

    alone = import_weights("semanticgan", {"gan.pt": gan})
    both = import_weights("semanticgan", {"gan.pt": gan, "encoder.pt": encoder})

    for imported, source in ((alone, gan["g_ema"]), (both, encoder["g_ema"])):
        torch.testing.assert_close(imported.states["generator"]["synthesis.const"], source["input.input"])
    assert "args" in alone.ignored and "g (another generator)" in alone.ignored
    assert sum(key.endswith("num_batches_tracked") for key in both.ignored) == 53


def test_a_mean_of_w_is_taken_where_there_is_one_else_estimated() -> None:
    state, average = foreign.rosinality_generator(CHANNELS), torch.arange(5.0)

    given = import_weights("rosinality", {"f": {"g_ema": state, "latent_avg": average}}, num_classes=2)
    estimated = import_weights("rosinality", {"f": {"g_ema": state}}, num_classes=2)

    torch.testing.assert_close(given.states["generator"]["mapping.latent_avg"], average.double())
    network = SemiGanSegmenter(**estimated.network).double().generator
    network.load_state_dict(estimated.states["generator"])
    w = network.mapping.map(torch.randn(20_000, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))
    error = (network.mapping.latent_avg - w.mean(dim=0)).abs()
    assert bool((error < 6 * w.std(dim=0) * (1 / 10_000 + 1 / 20_000) ** 0.5).all())
    with pytest.raises(CheckpointError, match="`latent_avg` in `f` must be 5 finite numbers"):
        import_weights("rosinality", {"f": {"g_ema": state, "latent_avg": torch.zeros(7)}}, num_classes=2)
    ada = foreign.ada_generator(CHANNELS)
    imported = import_weights("stylegan2-ada", {"f": ada}, num_classes=2)
    torch.testing.assert_close(imported.states["generator"]["mapping.latent_avg"], ada["mapping.w_avg"])
    assert imported.fresh == ("label heads for 2 classes",)


def test_every_key_that_does_not_fit_is_named_in_one_message(gan: dict) -> None:
    del gan["g_ema"]["convs.1.noise.weight"]
    gan["g_ema"]["convs.0.conv.weight"] = torch.zeros(1, 4, 5, 5, 5)
    gan["g_ema"]["extra.weight"] = torch.zeros(1)
    gan["g_ema"]["input.input"][0, 0, 0, 0] = float("nan")
    gan["g_ema"]["to_rgbs.0.upsample.kernel"] = foreign.FILTER.flip(0) * torch.arange(1.0, 5.0)
    gan["d_img"]["convs.1.skip.0.kernel"] = torch.zeros(6, 6)
    del gan["d_seg"]["scale2_layer3.0.0.weight_u"]
    for at in range(12):
        gan["d_img"][f"spare{at:02}"] = torch.zeros(1)

    with pytest.raises(CheckpointError) as caught:
        import_weights("semanticgan", {"gan.pt": gan})

    text = str(caught.value)
    for words in (
        "`gan.pt` must hold",
        "in `g_ema` keys are missing: convs.1.noise.weight;",
        "of another shape: convs.0.conv.weight (1, 4, 5, 5, 5) instead of (1, 4, 5, 3, 3)",
        "unknown: extra.weight",
        "not finite numbers: input.input",
        "another filter than [1, 3, 3, 1]: to_rgbs.0.upsample.kernel",
        "in `d_img` keys are of another shape: convs.1.skip.0.kernel (6, 6) instead of (4, 4)",
        "spare09 and 2 more",
        "in `d_seg` keys are missing: scale2_layer3.0.0.weight_u",
    ):
        assert words in text
    assert "spare10" not in text


@pytest.mark.parametrize(
    "key", ["style.1.weight", "input.input", "to_rgb1.bias", "to_rgbs.0.conv.weight"], ids=lambda key: key
)
def test_a_missing_key_that_tells_a_size_is_named(key: str, gan: dict) -> None:
    del gan["g_ema"][key]

    with pytest.raises(CheckpointError, match=rf"`g_ema` must hold `{re.escape(key)}`"):
        import_weights("semanticgan", {"gan.pt": gan})


@pytest.mark.parametrize("key", ["style.123456789.weight", "to_rgbs.999999999999.bias", "style.50.weight"])
def test_absurd_numbers_in_keys_are_unknown_or_missing_and_cost_nothing(key: str, gan: dict) -> None:
    gan["g_ema"][key] = torch.zeros(1)

    with pytest.raises(CheckpointError, match=r"unknown: |missing: "):
        import_weights("semanticgan", {"gan.pt": gan})


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("rosinality", {"g_ema": foreign.rosinality_generator(CHANNELS, num_classes=3)}, "semigan convert semanticgan"),
        ("semanticgan", {"g_ema": foreign.rosinality_generator(CHANNELS)}, "semigan convert rosinality"),
        ("rosinality", {"G_ema": foreign.ada_generator(CHANNELS)}, "semigan convert stylegan2-ada"),
        ("stylegan2-ada", {"d": foreign.rosinality_discriminator(CHANNELS)}, "semigan convert rosinality"),
        ("stylegan2-ada", {"synthesis.L0_36_512.weight": torch.zeros(1)}, "alias-free.*cannot be converted"),
        ("rosinality", {"generator.synthesis.const": torch.zeros(1)}, "needs no conversion"),
        ("rosinality", {"model": {"layer.weight": torch.zeros(1)}, "epoch": 3}, "no network was found; it holds model"),
        ("rosinality", {}, "no network was found"),
        (
            "rosinality",
            {"d": foreign.rosinality_discriminator(CHANNELS)},
            "must hold a generator, but only has d_image",
        ),
    ],
)
def test_other_files_are_recognized(kind: str, content: dict, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        import_weights(kind, {"file.pt": content}, num_classes=2)


def test_settings_out_of_range_are_refused(gan: dict) -> None:
    with pytest.raises(ConfigError, match="--num-classes"):
        import_weights("rosinality", {"f": foreign.rosinality_generator(CHANNELS)})
    with pytest.raises(ConfigError, match="must be >= 2"):
        import_weights("semanticgan", {"f": gan}, num_classes=1)
    with pytest.raises(ConfigError, match="`to_grey` must be for color networks"):
        import_weights(
            "rosinality", {"f": foreign.rosinality_generator(CHANNELS, image_channels=1)}, num_classes=2, to_grey=True
        )


def test_networks_that_do_not_belong_together_are_refused(gan: dict) -> None:
    gan["d_img"] = foreign.rosinality_discriminator((5, 4, 3, 3))
    with pytest.raises(CheckpointError, match=r"`d_img` must have the generator's channels \[5, 4, 3, 2\]"):
        import_weights("semanticgan", {"f": gan})
    small = foreign.rosinality_generator((3, 2))
    with pytest.raises(CheckpointError, match="that can be built here, but `image_size` must be a power of two"):
        import_weights("rosinality", {"f": small}, num_classes=2)


@pytest.mark.parametrize("key", ["mapping.embed.weight", "synthesis.b8.skip.weight", "synthesis.b8.conv0.scale"])
def test_other_architectures_of_stylegan2_ada_are_refused(key: str) -> None:
    state = {**foreign.ada_generator(CHANNELS), key: torch.zeros(1)}

    with pytest.raises(CheckpointError, match=f"in `generator` keys are unknown: {re.escape(key)}"):
        import_weights("stylegan2-ada", {"f": state}, num_classes=2)


def test_half_precision_sources_keep_their_dtype() -> None:
    state = {key: tensor.half() for key, tensor in foreign.ada_generator(CHANNELS).items()}

    imported = import_weights("stylegan2-ada", {"f": state}, num_classes=2)

    assert {tensor.dtype for tensor in imported.states["generator"].values()} == {torch.float16}
