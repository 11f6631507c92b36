# SPDX-License-Identifier: Apache-2.0
"""Stacks of slices through a network that copies: what is asked, in which order, from which start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.losses.local_correlation import local_correlation_loss
from monai_semigan.networks.embedding import Embedding
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.stack import SliceOutput, SlicewiseSettings, segment_stack

SIZE = 8


class Stack:
    def __init__(self, slices: np.ndarray) -> None:
        self.slices, self.asked = slices, []

    def __len__(self) -> int:
        return len(self.slices)

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        self.asked.append(list(indices))
        return self.slices[list(indices)][:, None].astype(np.float32)


def slices(count: int, with_organ: Sequence[int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    stack = -rng.uniform(0.2, 0.9, (count, SIZE, SIZE))
    for index in with_organ:
        stack[index, 2:5, 3:7] = rng.uniform(0.2, 0.9, (3, 4))
    return stack


@pytest.fixture
def segmented(copy_network, invert):
    def run(stack: Stack, *, steps: int = 0, are_neighbors: bool = True, **settings: float):
        written: dict[int, np.ndarray] = {}
        done: list[tuple[int, int]] = []
        numbers = segment_stack(
            invert(copy_network(SIZE), steps=steps, learning_rate=1e-6, encoder_weight=0.0),
            stack,
            SlicewiseSettings(**settings),
            receive=lambda index, output: written.__setitem__(index, output.label_logits),
            are_neighbors=are_neighbors,
            progress=lambda *at: done.append(at),
        )
        return numbers, written, done

    return run


@pytest.mark.parametrize("steps", [0, 1])
def test_every_slice_with_the_organ_is_written_as_it_is(segmented, steps: int) -> None:
    data = slices(7, [2, 3, 5])
    numbers, written, done = segmented(Stack(data), steps=steps, batch_size=2, margin=0)
    assert sorted(written) == [2, 3, 5]
    for index, logits in written.items():
        np.testing.assert_array_equal(logits.argmax(axis=0), data[index] > 0)
        assert logits.dtype == np.float32
    np.testing.assert_array_equal(numbers.has_label, [False, False, True, True, False, True, False])
    np.testing.assert_array_equal(numbers.is_refined, numbers.has_label if steps else np.zeros(7, bool))
    np.testing.assert_allclose(numbers.image_error, 0, atol=1e-6)
    assert done[-1][0] == done[-1][1] == (10 if steps else 7)


def test_refined_are_organ_slices_and_their_margin_even_before_odd(segmented) -> None:
    stack = Stack(slices(9, [4]))
    numbers, written, _ = segmented(stack, steps=1, batch_size=4, margin=2)
    np.testing.assert_array_equal(numbers.is_refined.nonzero()[0], [2, 3, 4, 5, 6])
    assert stack.asked == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [2, 4, 6], [3, 5]]
    assert sorted(written) == [4]


def test_empty_slices_are_not_asked_and_stay_background(segmented) -> None:
    data = slices(4, [0, 1, 2, 3])
    data[1] = np.nan
    numbers, written, done = segmented(Stack(data), steps=1, batch_size=4)
    np.testing.assert_array_equal(numbers.is_empty, [False, True, False, False])
    assert sorted(written) == [0, 2, 3]
    assert np.isnan(numbers.image_error[1])
    assert not numbers.is_refined[1]
    assert done[-1] == (7, 7)


def test_a_whole_stack_of_empty_slices(segmented) -> None:
    numbers, written, _ = segmented(Stack(np.full((3, SIZE, SIZE), np.nan)), steps=1)
    assert numbers.is_empty.all()
    assert not written


def test_a_few_pixels_are_no_organ(segmented) -> None:
    data = slices(2, [0])
    data[1, 0, 0] = 0.5  # 1 of 64 pixels
    numbers, written, _ = segmented(Stack(data), min_share=0.05)
    assert sorted(written) == [0]
    np.testing.assert_array_equal(numbers.has_label, [True, False])


def test_odd_slices_start_from_the_better_of_encoder_and_neighbors(copy_network, invert) -> None:
    """An encoder that fails on one odd slice: its neighbour's styles are the start, and are found in the result."""
    data = slices(3, [0, 1, 2])
    data[1] = data[0]

    class Failing(type(copy_network(SIZE).encoder)):
        def forward(self, image: Tensor) -> Tensor:
            w_plus = super().forward(image).w_plus
            is_second = (image.flatten(1) - torch.from_numpy(data[1]).float().flatten()).abs().sum(dim=1) < 1e-5
            return Embedding(torch.where((is_second & self.fails)[:, None, None], torch.full_like(w_plus, 0.1), w_plus))

        fails = torch.tensor(False)

    network = copy_network(SIZE)
    network.encoder = Failing()
    stack = Stack(data)
    original = stack.prepared

    def prepared(indices: Sequence[int]) -> np.ndarray:
        network.encoder.fails = torch.tensor(list(indices) in ([0, 1, 2], [1]))
        return original(indices)

    stack.prepared = prepared  # the encoder fails on slice 1 only while that slice is asked
    written: dict[int, SliceOutput] = {}
    numbers = segment_stack(
        invert(network, steps=1, learning_rate=1e-6, encoder_weight=0.0),
        stack,
        SlicewiseSettings(margin=1, batch_size=3),
        receive=written.__setitem__,
        are_neighbors=True,
    )
    assert numbers.encoder_image_error[1] > 0.01
    assert numbers.image_error[1] < 1e-4
    np.testing.assert_array_equal(written[1].label_logits.argmax(axis=0), data[1] > 0)


@pytest.mark.parametrize("steps", [0, 3])
def test_an_image_does_not_depend_on_its_mates(tiny_network: SemiGanSegmenter, invert, steps) -> None:
    """Bit for bit: images by themselves, and with more images behind them."""
    rng = np.random.default_rng(1)
    data = rng.uniform(-1, 1, (9, 32, 32)).astype(np.float32)
    settings = {"steps": steps, "encoder_weight": 0.5, "neighbor_weight": 0.1, "patience": 1, "tolerance": 0.3}

    def outputs(slices: np.ndarray) -> dict[int, SliceOutput]:
        found: dict[int, SliceOutput] = {}
        segment_stack(
            invert(tiny_network, **settings),
            Stack(slices),
            SlicewiseSettings(batch_size=4, min_share=0),
            receive=found.__setitem__,
            are_neighbors=False,
        )
        return found

    few = outputs(data[:3])
    gap = np.full((1, 32, 32), np.nan, dtype=np.float32)
    many = outputs(np.concatenate([data[:3], gap, data[4:]]))
    assert few.keys() == {0, 1, 2}
    for index, output in few.items():
        np.testing.assert_array_equal(output.label_logits, many[index].label_logits)
        np.testing.assert_array_equal(output.reconstruction, many[index].reconstruction)
    moved = outputs(data[[5, 2, 7, 8, 6, 1]])  # an image's place is nothing either
    np.testing.assert_array_equal(moved[1].label_logits, few[2].label_logits)
    np.testing.assert_array_equal(moved[5].label_logits, few[1].label_logits)


@pytest.mark.parametrize("steps", [0, 1])
def test_images_are_all_handed_out_and_refined(segmented, steps: int) -> None:
    """Nothing is left out for its label is small or missing; an image of NaN alone is."""
    data = slices(5, [1])
    data[3] = np.nan
    numbers, written, done = segmented(Stack(data), steps=steps, are_neighbors=False, batch_size=2, min_share=0.5)

    assert sorted(written) == [0, 1, 2, 4]
    assert numbers.has_label.tolist() == [False, True, False, False, False]
    assert numbers.is_refined.tolist() == [steps == 1] * 3 + [False, steps == 1]
    assert [len(trace) for trace in numbers.traces] == [2 * steps, 2 * steps, 2 * steps, 0, 2 * steps]
    assert done == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize(
    ("are_neighbors", "expected"),
    [(False, [4, 4]), (True, [3, 3, 3, 2])],  # all six slices; then the even ones; then the two odd ones with content
)
def test_batches_of_a_pass_have_one_size(
    tiny_network: SemiGanSegmenter, invert, monkeypatch, are_neighbors, expected
) -> None:
    """A batch's size chooses the kernels: images get the one asked for, a volume is shared out evenly."""
    seen: list[int] = []
    forward = tiny_network.encoder.forward
    monkeypatch.setattr(tiny_network.encoder, "forward", lambda image: (seen.append(len(image)), forward(image))[1])
    data = np.random.default_rng(1).uniform(-1, 1, (6, 32, 32))
    data[1] = np.nan
    segment_stack(
        invert(tiny_network, steps=1),
        Stack(data),
        SlicewiseSettings(batch_size=4, min_share=0),
        receive=lambda *_: None,
        are_neighbors=are_neighbors,
    )
    assert seen == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"margin": -1},
        {"min_share": 1.0},
        {"max_tissue_shift": 2.0},
        {"max_tissue_shift": 2.0, "max_tissue_spread": 0.0},
    ],
)
def test_wrong_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SlicewiseSettings(**wrong)


@pytest.mark.parametrize("are_neighbors", [False, True])
def test_other_modalities_are_judged_by_correlation(copy_network, invert, are_neighbors) -> None:
    rng = np.random.default_rng(2)
    data = rng.uniform(-0.3, 0.3, (2, 16, 16))
    blind = invert(copy_network(16), steps=0, image_weight=0.0, perceptual_weight=0.0, correlation_weight=1.0)

    numbers = segment_stack(
        blind, Stack(data), SlicewiseSettings(), receive=lambda *_: None, are_neighbors=are_neighbors
    )

    image = torch.from_numpy(data[:, None]).float()
    np.testing.assert_allclose(numbers.image_error, local_correlation_loss(image, image), rtol=1e-4)
    assert (numbers.image_error > 1e-3).all()  # the window's floor; squared differences are 0


@pytest.mark.parametrize("steps", [0, 1])
def test_the_expected_overlap_is_that_of_the_slices_with_the_organ(segmented, steps: int) -> None:
    data = slices(5, [1, 3])
    numbers, written, _ = segmented(Stack(data), steps=steps, margin=0)

    assert numbers.overlap.shape == (5, 1, 2)
    for index in range(5):
        if index not in written:
            assert not numbers.overlap[index].any()
            continue
        p = 1 / (1 + np.exp(-2 * data[index]))  # logits are the image and its negative
        m = data[index] > 0
        wanted = [2 * (p * m).sum(), p.sum() + m.sum()]
        np.testing.assert_allclose(numbers.overlap[index, 0], wanted, rtol=1e-4)


@pytest.mark.parametrize("are_neighbors", [False, True])
def test_a_stack_with_offsets_is_refined_and_does_not_depend_on_its_mates(
    make_segmenter, invert, are_neighbors: bool
) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (5, 32, 32))
    inversion = invert(make_segmenter(feature_sizes=[8, 16]), steps=2, optimize="both")

    def segmented(rows: slice) -> dict[int, SliceOutput]:
        received: dict[int, SliceOutput] = {}
        numbers = segment_stack(
            inversion,
            Stack(images[rows]),
            SlicewiseSettings(batch_size=4, margin=5),
            receive=received.__setitem__,
            are_neighbors=are_neighbors,
        )
        assert bool(numbers.is_refined.all())
        return received

    together = segmented(slice(None))
    if not are_neighbors:
        np.testing.assert_array_equal(segmented(slice(3, 4))[0].label_logits, together[3].label_logits)
