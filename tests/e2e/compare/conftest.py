# SPDX-License-Identifier: Apache-2.0
"""A small comparison: its list of images, and what is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_semigan.baselines.adversarial import AdversarialSettings
from monai_semigan.baselines.frame import FrameSettings
from monai_semigan.baselines.guided import GuidedSettings
from monai_semigan.baselines.methods import BaselineSettings
from monai_semigan.workflows.comparing import CompareOptions

SETTINGS = BaselineSettings(
    frame=FrameSettings(batch_size=2, validations=2),
    unet=(4, 4, 4, 4, 4, 4),
    adv_ssl=AdversarialSettings(base_channels=4),
    gct=GuidedSettings(base_channels=4),
)


@pytest.fixture
def listed(datalist: Path, make_xray) -> Path:
    """The data list with ranks against its order, two validation images of one patient, and a test set."""
    root = datalist.parent
    for at in range(4, 7):
        image, mask = make_xray(70 + 9 * at, 95, seed=at)
        Image.fromarray(image).save(root / "images" / f"case{at}.png")
        Image.fromarray(mask * 255).save(root / "masks" / f"case{at}.png")
    ignore = np.zeros((70 + 9 * 6, 95), np.uint8)
    ignore[:40] = 255
    Image.fromarray(ignore).save(root / "ignore.png")

    def entry(at: int, patient: str, **more: object) -> dict[str, object]:
        return {"image": f"images/case{at}.png", "label": f"masks/case{at}.png", "patient_id": patient, **more}

    content = json.loads(datalist.read_text())
    content["labelled"] = [entry(0, "0", label_rank=2), entry(1, "1", label_rank=1)]
    content["validation"] = [entry(3, "3"), entry(4, "4"), entry(5, "3")]
    content["test"] = {"other hospital": [entry(6, "6", ignore="ignore.png")]}
    datalist.write_text(json.dumps(content))
    return datalist


@pytest.fixture
def options(tiny_bundle: Path) -> CompareOptions:
    return CompareOptions(
        methods=("unet", "mean-teacher"),
        labels=(2, 1),
        seeds=2,
        budget="3 steps",
        base=str(tiny_bundle),
        device="cpu",
        settings=SETTINGS,
    )
