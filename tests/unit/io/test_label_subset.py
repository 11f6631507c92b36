# SPDX-License-Identifier: Apache-2.0
"""Fewer labels are among more; what loses its label is still an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Datalist, Entry
from monai_semigan.io.label_subset import count_labels, label_order, with_labels


def listed(ranks: list[int | None], unlabelled: str = "") -> Datalist:
    labelled = tuple(
        Entry(image=Path(f"{name}.png"), label=Path(f"{name}_mask.png"), label_rank=rank)
        for name, rank in zip("abcdef", ranks, strict=False)
    )
    others = tuple(Entry(image=Path(f"{name}.png")) for name in unlabelled)
    return Datalist(
        path=Path("data.json"), labelled=labelled, unlabelled=others, validation=(), test={}, is_binary=True
    )


def names(entries: tuple[Entry, ...]) -> str:
    return "".join(entry.image.stem for entry in entries)


def test_the_lowest_ranks_keep_their_labels() -> None:
    data = listed([5, 2, 2, 9], unlabelled="xd")

    found = [with_labels(data, count) for count in (1, 2, 3)]

    assert [names(part.labelled) for part in found] == ["bc", "abc", "abcd"]
    assert [names(part.unlabelled) for part in found] == ["xda", "xd", "xd"], "an image is in the list once"
    assert found[0].unlabelled[-1] == Entry(image=Path("a.png")), "without its label"
    assert count_labels(data) == 3


def test_without_ranks_the_order_of_the_list_counts() -> None:
    data = listed([None, None, None])
    assert names(with_labels(data, 2).labelled) == "ab" and names(with_labels(data, 2).unlabelled) == "c"
    assert [names(group) for group in label_order(data)] == ["a", "b", "c"]


@pytest.mark.parametrize("count", [0, 3, -1])
def test_no_more_labels_than_there_are(count: int) -> None:
    with pytest.raises(InputError, match=rf"`labels` must be from 1 to the 2 .* got {count}"):
        with_labels(listed([1, 2]), count)


def test_half_a_ranking_is_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 have none"):
        with_labels(listed([1, None, 2]), 1)
