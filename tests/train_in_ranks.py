# SPDX-License-Identifier: Apache-2.0
"""A tiny run of each training: alone, or as one of the processes that `torchrun` starts.

Started as ``train_in_ranks.py FOLDER KIND TOTAL [--resume]``. Alone, it draws its random numbers as if it were two
processes (`TwoRanksRandom`), so that both runs must come to the same numbers.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.encoder_task import EncoderTask
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep
from monai_semigan.training.gan_task import GanTask
from monai_semigan.training.loop import RANK_SEED, RunSettings, TrainingLoop
from monai_semigan.training.perturb import PerturbSettings
from monai_semigan.training.pool import ImagePool, LabelledPool
from monai_semigan.training.ranks import Ranks, joined_ranks
from monai_semigan.training.teacher import TeacherSettings

NUM_RANKS, BATCH_SIZE = 2, 8
DRAWS = {torch.rand, torch.randn, torch.randint, torch.rand_like, torch.randn_like}


class TwoRanksRandom(TorchFunctionMode):
    """Draw each half of a batch from its own generator, dealt out as `Ranks.share` deals images."""

    def __init__(self, seed: int) -> None:
        self.rngs = [torch.Generator().manual_seed(seed + rank * RANK_SEED) for rank in range(NUM_RANKS)]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func not in DRAWS or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        if func in (torch.rand_like, torch.randn_like):
            shape, kwargs = tuple(args[0].shape), {"dtype": args[0].dtype}
            func, bounds = (torch.rand if func is torch.rand_like else torch.randn), ()
        elif func is torch.randint:
            bounds, shape = args[:2], tuple(args[2])
        else:
            bounds, shape = (), tuple(args[0] if isinstance(args[0], (tuple, list, torch.Size)) else args)
        part = (shape[0] // NUM_RANKS, *shape[1:])
        drawn = [func(*bounds, part, **{**kwargs, "generator": rng}) for rng in self.rngs]
        return torch.stack(drawn, dim=1).reshape(shape)


def trainer(folder: Path, kind: str, total: int, ranks: Ranks, *, resume: bool) -> TrainingLoop:
    """Build a run with everything that is random turned on."""
    torch.manual_seed(0)
    segmenter = SemiGanSegmenter(
        image_size=32, num_classes=2, z_dim=8, w_dim=8, num_mapping_layers=1, channels=[4] * 4,
        encoder_channels=[4] * 4, head_channels=4, feature_sizes=[8, 16],
    )  # fmt: skip
    for name, parameter in segmenter.generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.1)
    images = torch.rand(20, 1, 32, 32) * 2 - 1
    targets = torch.cat([(images <= 0).float(), (images > 0).float()], dim=1)
    run = RunSettings(total_kimg=total / 1000, batch_size=BATCH_SIZE, tick_kimg=0.008, num_samples=2)
    common: dict[str, Any] = {"settings": run}
    common |= {"unlabelled": ImagePool(images), "labelled": LabelledPool(images[:9], targets[:9])}
    if kind == "encoder":
        step = EncoderStep(segmenter, EncoderSettings(), ranks=ranks, started=["stem.weight"])
        task = EncoderTask(step, validation=LabelledPool(images[:4], targets[:4]), **common)
        return TrainingLoop(task, folder, resume=resume)
    networks = GanNetworks(
        segmenter.generator,
        copy.deepcopy(segmenter.generator).requires_grad_(False),
        segmenter.d_image,
        MultiscaleDiscriminator(num_scales=1, base_channels=4),
    )
    augment = AugmentSettings(probability=0.5, ramp_kimg=0.1)
    gan = GanStep(
        networks,
        GanSettings(r1_interval=2, path_length_interval=3),
        augment_image=augment,
        augment_pair=augment,
        perturb_pair=PerturbSettings(),
        ranks=ranks,
    )
    task = GanTask(gan, teacher=TeacherSettings(steps=1, features=(4, 4)), **common)
    return TrainingLoop(task, folder, resume=resume)


def main() -> None:
    """Run as the command line says."""
    torch.set_num_threads(1)
    folder, kind, total, resume = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), "--resume" in sys.argv
    with joined_ranks() as ranks:
        run = trainer(folder, kind, total, ranks, resume=resume)
        folder.mkdir(parents=True, exist_ok=True)
        run.task.prepare(folder, None)  # the teacher, before the random numbers are dealt out
        if ranks.size > 1:
            run.run()
        else:
            with TwoRanksRandom(run.task.settings.seed):
                run.run()


if __name__ == "__main__":
    main()
