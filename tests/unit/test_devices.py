# SPDX-License-Identifier: Apache-2.0
"""How many threads compute."""

from __future__ import annotations

import contextlib

import torch

from monai_semigan.devices import one_thread


def test_one_thread_computes_inside_and_as_many_as_before_after_it_whatever_happens():
    seen: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with contextlib.suppress(ValueError), one_thread():
            seen.append(torch.get_num_threads())
            raise ValueError
        assert seen == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
