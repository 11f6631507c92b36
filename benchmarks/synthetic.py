# SPDX-License-Identifier: Apache-2.0
"""What drawn images alone teach a plain U-Net, scored on real validation images against the mean mask.

    python -m benchmarks.synthetic BUNDLE LIST.json OUT.json --images 600 --steps 400

The U-Net is MONAI's `BasicUNet`, at the network's size. The mean mask is that of the list's labelled images, cut at
0.5: what somebody who never looks at an image would draw. For comparison the same U-Net learns the labelled images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.evaluation.overlap import dice
from monai_semigan.io.datalist import load_datalist
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.teacher import BASIC_UNET_FEATURES, TeacherSettings
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize
from monai_semigan.workflows.training_data import labelled_pool, training_preset

CPU = torch.device("cpu")


def scores(probability: Tensor, target: Tensor) -> dict[str, float]:
    """Return mean Dice over images and foreground classes, and its standard error, at the network's size."""
    found, wanted = (part.argmax(dim=1).numpy() for part in (probability, target))
    values = [
        [dice(a == index, b == index) for index in range(1, target.shape[1])]
        for a, b in zip(found, wanted, strict=True)
    ]
    per_image = np.mean(values, axis=1)
    return {"dice": float(per_image.mean()), "standard_error": float(per_image.std(ddof=1) / len(per_image) ** 0.5)}


def predicted(pool: LabelledPool, learned_from: LabelledPool, settings: TeacherSettings, seed: int) -> Tensor:
    """Train a U-Net on one pool and label the images of another."""
    teacher = train_teacher(learned_from, settings, device=CPU, seed=seed)
    return torch.cat([teacher(part) for part in pool.images.float().split(16)])


def measure(bundle: str, datalist: Path, *, images: int, steps: int, seed: int, real: bool) -> dict[str, Any]:
    """Return the scores of the mean mask, of drawn images and of real ones."""
    opened, data = open_bundle(bundle), load_datalist(datalist, warn=False)
    preset, num_classes = training_preset(opened), len(opened.class_names)
    validation = labelled_pool(data, data.validation, preset, num_classes)
    labelled = labelled_pool(data, data.labelled, preset, num_classes)
    settings = TeacherSettings(network="basic_unet", features=BASIC_UNET_FEATURES, steps=steps, batch_size=8)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, bundle=bundle, options=SynthesisOptions(num_items=images, seed=seed, device="cpu"))
        pool = drawn_pool(Path(folder), num_classes)
    mean = labelled.targets.float().mean(dim=0, keepdim=True).expand(len(validation), -1, -1, -1)
    target = validation.targets.float()
    found = {
        "mean mask": scores(mean, target),
        "drawn images": scores(predicted(validation, pool, settings, seed), target),
    }
    if real:
        found["labelled images"] = scores(predicted(validation, labelled, settings, seed), target)
    return {
        "bundle": opened.name,
        "version": opened.version,
        "digest": opened.digest,
        "images": images,
        "steps": steps,
        "batch_size": settings.batch_size,
        "seed": seed,
        "labelled": len(labelled),
        "validation": len(validation),
        "scores": found,
    }


def drawn_pool(folder: Path, num_classes: int) -> LabelledPool:
    """Read a folder of drawn images as it is: they are the network's square already, framed and equalized."""
    data = load_datalist(folder / "data.json", warn=False)
    images, labels = [], []
    for entry in data.labelled:
        pixels = np.atleast_3d(read_image(entry.image).pixels)
        images.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1)
        assert entry.label is not None
        labels.append(torch.from_numpy(read_label(entry.label, num_classes=num_classes)).long())
    targets = one_hot(torch.stack(labels), num_classes).permute(0, 3, 1, 2).half()
    return LabelledPool(torch.stack(images).half(), targets)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="also train on the labelled images")
    given = parser.parse_args()
    torch.set_num_threads(1)
    content = measure(
        given.bundle, given.datalist, images=given.images, steps=given.steps, seed=given.seed, real=given.real
    )
    given.output.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["scores"]))


if __name__ == "__main__":
    main()
