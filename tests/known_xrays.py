"""Many small X-rays, and bundles that know them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.segmentation.ood import OodReference
from monai_semigan.segmentation.ood_fit import learn_reference
from monai_semigan.workflows.trust_storing import store_trust

CPU = torch.device("cpu")


def prepared(preset, make_xray, seeds: range) -> torch.Tensor:
    """Prepare drawn X-rays, each of its own size and seed."""
    images = [preset.prepare(make_xray(70 + seed % 9, 90 + seed % 7, seed=seed)[0])[0] for seed in seeds]
    return torch.from_numpy(np.stack(images))


def learned(bundle: Path, make_xray, count: int = 60) -> OodReference:
    """Learn what a bundle's network makes of drawn X-rays."""
    opened = open_bundle(bundle)
    preset = next(iter(opened.chains.values())).preset
    known, validation = (prepared(preset, make_xray, seeds) for seeds in (range(count), range(count, count + 20)))
    return learn_reference(load_network(opened, device=CPU), known, validation)


def knowing(bundle: Path, make_xray) -> Path:
    """Let a bundle know drawn X-rays."""
    store_trust(bundle, {next(iter(open_bundle(bundle).chains)): learned(bundle, make_xray)})
    return bundle
