# SPDX-License-Identifier: Apache-2.0
"""The straight path between two embeddings."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ShapeError
from monai_semigan.latent.interpolation import interpolate_embeddings
from monai_semigan.networks.embedding import Embedding


def embedding(seed: int, *, sizes: tuple[int, ...] = (), layers: int = 3) -> Embedding:
    rng = torch.Generator().manual_seed(seed)
    return Embedding(
        torch.randn(1, layers, 5, generator=rng), tuple(torch.randn(1, 2, s, s, generator=rng) for s in sizes)
    )


def test_the_ends_are_met_exactly_and_the_middle_is_the_mean():
    start, end = embedding(1, sizes=(4, 8)), embedding(2, sizes=(4, 8))

    path = interpolate_embeddings(start, end, torch.tensor([0.0, 0.5, 1.0]))

    for at, part in enumerate(("w_plus", 0, 1)):
        first, last, mixed = (e.w_plus if part == "w_plus" else e.features[part] for e in (start, end, path))
        assert torch.equal(mixed[0], first[0]) and torch.equal(mixed[2], last[0]), at
        torch.testing.assert_close(mixed[1], (first[0] + last[0]) / 2)


@pytest.mark.parametrize("missing_at_end", [False, True])
def test_offsets_that_one_end_lacks_count_as_zero_there(missing_at_end):
    with_offsets, without = embedding(1, sizes=(4,)), embedding(2)
    ends = (with_offsets, without) if missing_at_end else (without, with_offsets)

    path = interpolate_embeddings(*ends, torch.tensor([0.0, 0.25, 1.0]))

    share = 0.75 if missing_at_end else 0.25
    torch.testing.assert_close(path.features[0][1], with_offsets.features[0][0] * share)
    assert not path.features[0][2 if missing_at_end else 0].any()


@pytest.mark.parametrize(
    "other",
    [embedding(2, layers=4), Embedding(torch.zeros(2, 3, 5)), embedding(2, sizes=(8,))],
    ids=["layers", "two", "offsets"],
)
def test_ends_of_different_networks_are_refused(other):
    with pytest.raises(ShapeError, match="Both ends must"):
        interpolate_embeddings(embedding(1, sizes=(4,)), other, torch.tensor([0.0, 1.0]))
