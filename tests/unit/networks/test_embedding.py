# SPDX-License-Identifier: Apache-2.0
"""The embedding: packing, rows, what the synthesis adds, what the encoder predicts, with and without offsets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundles import bundle_root
from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.checkpoint import load_fitting, load_weights
from monai_semigan.networks.checkpoint_file import read_state_dict
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.official_encoder import OfficialEncoder
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.workflows.reading import read

PLAIN = "lesion_dermoscopy_segmentation"


@pytest.fixture
def embedding() -> Embedding:
    rng = torch.Generator().manual_seed(0)
    shapes = [(3, 2, 5), (3, 4, 8, 8), (3, 1, 16, 16)]
    w_plus, *features = (torch.randn(shape, generator=rng) for shape in shapes)
    return Embedding(w_plus, tuple(features), torch.randn(3, 2, 32, 32, generator=rng))


def assert_equal(a: Embedding, b: Embedding) -> None:
    assert torch.equal(a.w_plus, b.w_plus)
    assert len(a.features) == len(b.features)
    assert all(torch.equal(x, y) for x, y in zip(a.features, b.features, strict=True))
    assert a.label is b.label is None or torch.equal(a.label, b.label)


@pytest.mark.parametrize(
    ("parts", "size"), [("styles", 2 * 5), ("features", 4 * 64 + 256), ("both", 10 + 4 * 64 + 256)]
)
def test_packing_keeps_every_number_and_the_other_parts(embedding: Embedding, parts, size: int) -> None:
    packed = embedding.packed(parts)
    assert packed.shape == (3, 1, size)

    assert_equal(embedding.unpacked(packed, parts), embedding)
    moved = embedding.unpacked(packed + 1, parts)
    assert torch.equal(moved.w_plus, embedding.w_plus + (parts != "features"))
    for after, before in zip(moved.features, embedding.features, strict=True):
        assert torch.equal(after, before + (parts != "styles"))
    assert moved.label is embedding.label, "no image depends on it: nothing moves it"
    assert moved.with_styles(embedding.w_plus).label is embedding.label


def test_rows_types_and_the_graph(embedding: Embedding) -> None:
    assert len(embedding) == 3
    last = tuple(value[2:] for value in embedding.features)
    assert_equal(embedding[[2]], Embedding(embedding.w_plus[2:], last, embedding.label[2:]))
    assert embedding.to(torch.float64).packed().dtype == embedding.to(torch.float64).label.dtype == torch.float64
    leaves = Embedding(embedding.w_plus.requires_grad_(), embedding.features)
    assert not leaves.detach().w_plus.requires_grad and leaves.cpu().w_plus.requires_grad


def test_the_distance_of_offsets_is_per_image_and_over_all_resolutions() -> None:
    one = Embedding(torch.zeros(2, 1, 1), (torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1), torch.zeros(2, 3, 1, 1)))
    other = Embedding(torch.ones(2, 1, 1), (torch.zeros(2, 1, 1, 1), torch.full((2, 3, 1, 1), 2.0)))

    assert one.feature_distance().tolist() == [0.25, 2.25]
    assert one.feature_distance(other).tolist() == [3.25, 5.25]
    assert Embedding(one.w_plus).feature_distance().tolist() == [0, 0]


@pytest.fixture
def spatial_inputs(make_generator):
    """A generator of different widths, styles, and random offsets at 8 and 32 px."""
    synthesis = make_generator(channels=[6, 5, 4, 3]).synthesis
    rng = torch.Generator().manual_seed(1)
    w_plus = torch.randn(2, 8, 5, generator=rng)
    return synthesis, w_plus, (torch.randn(2, 5, 8, 8, generator=rng), torch.randn(2, 3, 32, 32, generator=rng))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_without_offsets_and_with_zeros_the_picture_is_that_of_the_styles(spatial_inputs, dtype) -> None:
    synthesis, w_plus, offsets = spatial_inputs
    synthesis.compute_dtype = dtype
    expected = synthesis(w_plus)

    for features in ((), tuple(map(torch.zeros_like, offsets))):
        embedding = Embedding(w_plus, features)
        assert all(torch.equal(a, b) for a, b in zip(synthesis(embedding), expected, strict=True))
        assert torch.equal(synthesis.image(embedding), expected[0])
    assert not torch.equal(synthesis(Embedding(w_plus, offsets))[1], expected[1])


def test_offsets_are_added_before_the_heads(spatial_inputs) -> None:
    """At the last resolution the heads are all that follows, and they are linear."""
    synthesis, w_plus, (_, offset) = spatial_inputs
    with torch.no_grad():
        moved, still = synthesis(Embedding(w_plus, (offset,))), synthesis(w_plus)
        heads = synthesis.blocks[-1].to_image, synthesis.blocks[-1].to_label
        for after, before, head in zip(moved, still, heads, strict=True):
            change = head(offset, w_plus[:, -1]) - head.bias[:, None, None]
            torch.testing.assert_close(after - before, change, atol=1e-5, rtol=1e-5)


def test_offsets_of_the_label_are_added_to_its_logits_and_to_nothing_else(spatial_inputs) -> None:
    synthesis, w_plus, offsets = spatial_inputs
    label = torch.randn(2, synthesis.num_classes, 32, 32)

    image, logits = synthesis(Embedding(w_plus, offsets, label))

    expected = synthesis(Embedding(w_plus, offsets))
    assert torch.equal(image, expected[0]) and torch.equal(logits, expected[1] + label)
    with pytest.raises(ShapeError, match=r"`label` must have shape \(2, 2, 32, 32\), got \(2, 1, 32, 32\)"):
        synthesis(Embedding(w_plus, (), label[:, :1]))


def test_later_blocks_see_offsets_and_the_gradient_reaches_them(spatial_inputs) -> None:
    synthesis, w_plus, offsets = spatial_inputs
    offsets = tuple(offset.requires_grad_() for offset in offsets)
    still = synthesis.blocks[1].to_image
    for parameter in still.parameters():
        parameter.data.zero_()  # what the offsets at 8 px do is then seen through later blocks alone

    synthesis.image(Embedding(w_plus, offsets)).square().sum().backward()

    assert all(offset.grad is not None and bool((offset.grad != 0).any(dim=1).all()) for offset in offsets)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 4, 8, 8)], r"`features` must have shape \(2, 5, 8, 8\), got \(2, 4, 8, 8\)"),
        ([(1, 5, 8, 8)], r"`features` must have shape \(2, 5, 8, 8\)"),
        ([(2, 5, 9, 8)], r"`features` must have shape \(2, 5, 8, 8\)"),
        ([(2, 3, 64, 64)], r"different resolutions among 4, 8, 16, 32, got 64"),
        ([(2, 5, 8, 8), (2, 5, 8, 8)], r"different resolutions among 4, 8, 16, 32, got 8"),
    ],
)
def test_offsets_of_other_shapes_are_refused(spatial_inputs, shapes, words: str) -> None:
    synthesis, w_plus, _ = spatial_inputs

    with pytest.raises(ShapeError, match=words):
        synthesis(Embedding(w_plus, tuple(map(torch.zeros, shapes))))


def make_encoder(**settings) -> Encoder:
    torch.manual_seed(0)
    return Encoder(num_layers=8, w_dim=5, channels=(2, 4, 6, 8), head_channels=4, **settings)


def test_the_encoders_offsets_have_the_resolutions_asked_for_and_start_at_zero() -> None:
    encoder, image = make_encoder(feature_channels={2: 7, 0: 3}), torch.randn(2, 1, 32, 48)

    embedding = encoder(image)

    assert [tuple(value.shape) for value in embedding.features] == [(2, 7, 8, 12), (2, 3, 32, 48)]
    assert not any(bool(value.any()) for value in embedding.features)
    assert torch.equal(embedding.w_plus, make_encoder()(image).w_plus), "the rest starts as it does without offsets"
    embedding.features[0].sum().backward()
    assert bool(encoder.pyramid.outputs["2"].weight.grad.any())


@pytest.mark.parametrize(("finest", "laterals"), [(2, 2), (1, 1), (0, 0)])
def test_the_labels_offsets_go_on_from_the_features_to_full_resolution_and_start_at_zero(finest, laterals) -> None:
    encoder, image = make_encoder(feature_channels={3: 7, finest: 3}, label_classes=5), torch.randn(2, 1, 32, 48)
    encoder.latent_avg.normal_()

    label = encoder(image).label

    assert label.shape == (2, 5, 32, 48) and not bool(label.any())
    assert len(encoder.label_offsets.laterals) == laterals
    torch.nn.init.normal_(encoder.label_offsets.output.weight)
    encoder(image).label.square().sum().backward()
    reached = {
        name.split(".")[0] for name, p in encoder.named_parameters() if p.grad is not None and bool(p.grad.any())
    }
    assert {"stem", "blocks", "pyramid", "label_offsets"} <= reached
    with pytest.raises(ConfigError, match="`label_classes` must be 0 without `feature_channels`"):
        make_encoder(label_classes=5)


def test_every_level_of_the_trunk_from_the_coarsest_down_to_the_finest_wanted_one_is_used() -> None:
    encoder = make_encoder(feature_channels={2: 7, 1: 3})
    for output in encoder.pyramid.outputs.values():
        torch.nn.init.normal_(output.weight)

    sum(value.square().sum() for value in encoder(torch.randn(1, 1, 32, 32)).features).backward()

    assert sorted(encoder.pyramid.laterals) == ["1", "2", "3"]
    assert all(bool(p.grad.any()) for name, p in encoder.named_parameters() if name.startswith("pyramid."))


def test_without_offsets_an_encoder_has_the_weights_it_had() -> None:
    plain, spatial = make_encoder().state_dict(), make_encoder(feature_channels={1: 3}).state_dict()

    assert not any(name.startswith("pyramid.") for name in plain)
    assert {name for name in spatial if not name.startswith("pyramid.")} == plain.keys()
    with pytest.raises(ConfigError, match=r"must be of halvings from 0 to 3, got \[1, 4\]"):
        make_encoder(feature_channels={4: 1, 1: 1})


def test_the_official_encoder_predicts_styles_alone() -> None:
    encoder = OfficialEncoder(
        image_size=32, image_channels=1, num_layers=8, w_dim=5, channels=(2, 2, 2, 2), head_channels=2
    )
    assert encoder.eval()(torch.zeros(1, 1, 32, 32)).features == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feature_sizes": (16, 8)}, r"must be some of 8, 16, 32, 64 in this order, got \[16, 8\]"),
        ({"feature_sizes": (8, 8)}, r"in this order, got \[8, 8\]"),
        ({"feature_sizes": (24,)}, r"in this order, got \[24\]"),
        ({"feature_sizes": (4,)}, r"must be a whole number from 8 to 1024"),
        ({"feature_sizes": (128,)}, r"in this order, got \[128\]"),
        ({"feature_sizes": (8,), "image_size": 128, "encoder_channels": (8,) * 4}, r"must be some of 16, 32, 64, 128"),
        ({"feature_sizes": (8,), "encoder_kind": "official", "encoder_channels": (8,) * 4}, "must be empty"),
        ({"label_offsets": True}, "`label_(offsets|classes)` must be (false|0) without `feature_(sizes|channels)`"),
    ],
)
def test_sizes_are_checked(changes, words: str) -> None:
    settings = {"image_size": 64, "num_classes": 2} | changes

    with pytest.raises(ConfigError, match=words):
        NetworkSettings(**settings)
    if "4" not in words[:30]:
        with pytest.raises(ConfigError, match=r"`(feature_sizes|label_classes)` must be"):
            SemiGanSegmenter(w_dim=8, z_dim=8, channels=[4] * (settings["image_size"].bit_length() - 2), **settings)


def test_settings_with_offsets_are_written_and_build_a_network() -> None:
    settings = NetworkSettings(
        image_size=64,
        num_classes=2,
        w_dim=32,
        z_dim=8,
        channels=(9, 8, 7, 6, 5),
        feature_sizes=(8, 32),
        label_offsets=True,
        head_channels=48,
    )
    network = SemiGanSegmenter(**settings.arguments())

    embedding = network.encoder(torch.zeros(1, 1, 64, 64))
    assert [tuple(value.shape) for value in embedding.features] == [(1, 8, 8, 8), (1, 6, 32, 32)]
    assert embedding.label.shape == (1, 2, 64, 64)
    assert settings.num_parameters == pytest.approx(sum(p.numel() for p in network.parameters()), rel=0.05)


@pytest.mark.filterwarnings("ignore")  # of tracing: shapes are checked once
def test_a_network_with_offsets_is_traced() -> None:
    torch.manual_seed(0)
    network = SemiGanSegmenter(
        image_size=32, num_classes=2, z_dim=4, w_dim=4, channels=[4] * 4, encoder_channels=[4] * 4, head_channels=4,
        feature_sizes=[8, 16], label_offsets=True,
    ).eval()  # fmt: skip
    for output in (*network.encoder.pyramid.outputs.values(), network.encoder.label_offsets.output):
        torch.nn.init.normal_(output.weight)
    image, other = torch.randn(2, 1, 1, 32, 32)

    traced = torch.jit.trace(network, image)

    torch.testing.assert_close(traced(other), network(other))


def test_trained_weights_label_alike_with_and_without_a_fresh_pyramid() -> None:
    """Of the shipped weights all but the pyramid and the direct route: the paper's model."""
    bundle = open_bundle(PLAIN)
    state = read_state_dict(bundle.weights_file)
    settings = bundle.network.arguments() | {"feature_sizes": (), "direct_widths": (), "direct_share": 0.0}
    plain = SemiGanSegmenter(**settings).eval()
    others = ("encoder.pyramid.", "encoder.direct.")
    load_weights(plain, {key: value for key, value in state.items() if not key.startswith(others)}, source="weights")
    spatial = SemiGanSegmenter(**settings | {"feature_sizes": [8, 16, 32], "label_offsets": True}).eval()
    load_fitting(spatial, plain.state_dict(), source="weights")
    model, other = (bundle.segmenter(device="cpu", steps=3) for _ in range(2))
    _give(model, plain)
    _give(other, spatial)

    for path in sorted((bundle_root(PLAIN) / "samples" / "images").iterdir())[:2]:
        assert (model.segment(read(path)).label == other.segment(read(path)).label).all()
    size = bundle.network.image_size
    image = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        embedding = plain.encoder(image)
        assert embedding.features == ()
        assert torch.equal(plain(image), plain.generator.synthesis(embedding.w_plus)[1])
        assert torch.equal(plain(image), spatial(image))


def _give(model: Segmenter, network: SemiGanSegmenter) -> None:
    """Put another network into a segmenter, whose embeddings are unlike those that the bundle knows."""
    model.network = network
    model.chains = {name: replace(chain, ood=None) for name, chain in model.chains.items()}
    for inversion in model.inversions.values():
        inversion.generator, inversion.encoder = network.generator, network.encoder
