# SPDX-License-Identifier: Apache-2.0
"""Images in memory, and the endless order over them."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool, with_symmetries

CPU = torch.device("cpu")


@pytest.mark.parametrize("size", [1, 2, 5, 12])
@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_every_index_once_per_epoch(size, batch_size):
    order = EndlessOrder(size, seed=0)
    sequence = torch.cat([order.batch(at, batch_size) for at in range(0, 60, batch_size)])

    for epoch in sequence[: 60 // size * size].reshape(-1, size):
        assert sorted(epoch.tolist()) == list(range(size))


def test_random_access_equals_reading_on():
    order = EndlessOrder(7, seed=4)
    sequence = torch.cat([order.batch(at, 3) for at in range(0, 60, 3)])
    rng = torch.Generator().manual_seed(0)

    for at in torch.randint(0, 50, (40,), generator=rng).tolist():
        assert order.batch(at, 9).tolist() == sequence[at : at + 9].tolist()
        assert EndlessOrder(7, seed=4).batch(at, 9).tolist() == sequence[at : at + 9].tolist()


def test_seeds_and_epochs_differ():
    a, b = (EndlessOrder(50, seed=seed).batch(0, 100) for seed in (0, 1))

    assert a.tolist() != b.tolist()
    assert a[:50].tolist() != a[50:].tolist()


def test_the_order_neither_reads_nor_moves_the_global_random_state():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = EndlessOrder(9, seed=2).batch(0, 30)

    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first, EndlessOrder(9, seed=2).batch(0, 30))


def test_no_images_are_refused():
    with pytest.raises(ConfigError, match=r"at least one image, got none. Check the data list"):
        EndlessOrder(0, seed=0)


def test_pools_return_float32():
    pool = LabelledPool(torch.rand(4, 1, 8, 8).half(), torch.rand(4, 2, 8, 8).half())

    image, target = pool.take(torch.tensor([2, 0, 2]), CPU), pool.take_targets(torch.tensor([3]), CPU)

    assert len(pool) == 4
    assert image.shape == (3, 1, 8, 8) and target.shape == (1, 2, 8, 8)
    assert image.dtype == target.dtype == torch.float32
    torch.testing.assert_close(image[0], pool.images[2].float())
    torch.testing.assert_close(target[0], pool.targets[3].float())


def test_labels_may_be_hard():
    target = torch.nn.functional.one_hot(torch.randint(0, 2, (2, 8, 8)), 2).movedim(-1, 1)

    taken = LabelledPool(torch.rand(2, 1, 8, 8), target).take_targets(torch.tensor([0]), CPU)

    assert taken.dtype == torch.float32 and set(taken.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("images", "targets", "name"),
    [
        ((3, 1, 8, 8), (2, 2, 8, 8), "targets"),
        ((3, 1, 8, 8), (3, 2, 8, 4), "targets"),
        ((3, 1, 8, 4), (3, 2, 8, 4), "images"),
        ((3, 8, 8), (3, 2, 8, 8), "images"),
    ],
)
def test_images_and_labels_that_do_not_fit_are_refused(images, targets, name):
    with pytest.raises(ShapeError, match=f"`{name}` must have shape"):
        LabelledPool(torch.zeros(images), torch.zeros(targets))


def test_an_image_pool_needs_no_labels():
    assert len(ImagePool(torch.zeros(5, 1, 4, 4))) == 5


def test_a_face_is_also_mirrored_and_a_chest_is_not() -> None:
    image = torch.arange(18.0).reshape(2, 1, 3, 3)

    torch.testing.assert_close(with_symmetries(image, "mirror"), torch.cat([image, image.flip(3)]))
    assert with_symmetries(image, "none") is image


def test_symmetries_are_the_eight_of_a_square_and_labels_follow() -> None:
    image = torch.arange(18.0).reshape(2, 1, 3, 3)
    label = torch.cat([1 - image, image], dim=1)
    eight, labels = with_symmetries(image, "square"), with_symmetries(label, "square")
    assert eight.shape == (16, 1, 3, 3)
    assert len({tuple(part.flatten().tolist()) for part in eight}) == 16, "all differ"
    torch.testing.assert_close(labels[:, 1:], eight)
    turned = image.rot90(1, (2, 3))
    assert any(torch.equal(eight[2 * at : 2 * at + 2], turned) for at in range(8))
