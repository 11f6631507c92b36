# SPDX-License-Identifier: Apache-2.0
"""An image takes another one's look and keeps its own anatomy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.training.style_mixing import StyleMixingSettings, mix_styles

ALWAYS = StyleMixingSettings(probability=1.0)


def noise(seed: int, *, level: float = 0.0, height: int = 12, width: int = 16) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (torch.rand(3, 2, height, width, generator=rng) * 0.2 - 0.1) + level


def test_nothing_happens_with_probability_zero() -> None:
    image = noise(1)
    mixed = mix_styles(image, noise(2), StyleMixingSettings(probability=0.0))
    torch.testing.assert_close(mixed, image, rtol=0, atol=1e-6)


def test_the_mean_moves_towards_the_other_and_no_further() -> None:
    torch.manual_seed(0)
    dark, bright = noise(1, level=-0.6), noise(2, level=0.5)
    mean = mix_styles(dark, bright, ALWAYS).mean(dim=(1, 2, 3))
    assert bool((mean > -0.601).all()) and bool((mean < 0.501).all())
    assert float(mean.max()) > -0.5


def test_frequencies_above_the_limit_stay() -> None:
    torch.manual_seed(0)
    image, settings = noise(1), StyleMixingSettings(probability=1.0, max_frequency=2)
    before, after = (np.fft.fft2(x.numpy() + 1.0) for x in (image, mix_styles(image, noise(2, level=0.3), settings)))
    rows, columns = (np.abs(np.fft.fftfreq(count, 1 / count)) for count in (12, 16))
    is_low = np.maximum(rows[:, None], columns[None]) <= 2
    assert np.allclose(before[..., ~is_low], after[..., ~is_low], atol=1e-4)
    assert not np.allclose(before[..., is_low], after[..., is_low], atol=1e-1)


def test_phases_stay() -> None:
    torch.manual_seed(0)
    image = noise(1)
    before, after = (np.fft.fft2(x.numpy() + 1.0) for x in (image, mix_styles(image, noise(2), ALWAYS)))
    assert np.abs(np.angle(before * after.conj())).max() < 1e-3


def test_an_empty_image_stays_finite() -> None:
    torch.manual_seed(0)
    black = torch.full((3, 2, 12, 16), -1.0)
    assert torch.equal(mix_styles(black, noise(2), ALWAYS), black)
    assert bool(mix_styles(noise(2), black, ALWAYS).isfinite().all())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="`others`"):
        mix_styles(noise(1), noise(2)[:2], ALWAYS)
    with pytest.raises(ConfigError, match="max_frequency"):
        StyleMixingSettings(max_frequency=-1)
