"""Tiny synthetic downloads in the published layouts of the data sets that `semigan prepare` knows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from phantoms import phantom, write_nifti, write_series
from PIL import Image

from monai_semigan.extras.datasets import DATASETS

Tree = Callable[[Path, pytest.MonkeyPatch], None]
HEIGHT, WIDTH = 24, 32


def picture(path: Path, *, seed: int = 0, color: bool = False, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if color else size
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, np.uint8)).save(path)


def mask(path: Path, *, rows: slice, columns: slice, size: tuple[int, int] = (HEIGHT, WIDTH), value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[rows, columns] = value
    Image.fromarray(pixels).save(path)


def set_module(monkeypatch: pytest.MonkeyPatch, name: str, **constants: object) -> None:
    """Make a data set as small as its tree."""
    for key, value in constants.items():
        monkeypatch.setattr(import_module(f"monai_semigan.extras.datasets.{name}"), key, value)


def jsrt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "jsrt", SIDE=64, NUM_NODULE=5, NUM_NORMAL=3)
    (root / "All247images").mkdir(parents=True)
    for at, name in enumerate([f"JPCLN{n:03d}" for n in range(1, 6)] + [f"JPCNN{n:03d}" for n in range(1, 4)]):
        stored = np.full((64, 64), 300 + at, ">u2")
        stored[5, 9] = 4095  # black film
        stored.tofile(root / "All247images" / f"{name}.IMG")
        folder = root / "scratch" / f"fold{1 + at % 2}" / "masks"
        mask(folder / "left lung" / f"{name}.gif", rows=slice(4, 20), columns=slice(18, 28), size=(32, 32))
        mask(folder / "right lung" / f"{name}.gif", rows=slice(6, 24), columns=slice(2, 12), size=(32, 32))


def montgomery(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "montgomery", NUM_IMAGES=6)
    for at in range(6):
        name = f"MCUCXR_{at:04d}_{at % 2}.png"
        picture(root / "MontgomerySet/CXR_png" / name, seed=at)
        folder = root / "MontgomerySet/ManualMask"
        mask(folder / "leftMask" / name, rows=slice(4, 20), columns=slice(18, 28))
        mask(folder / "rightMask" / name, rows=slice(4, 18), columns=slice(2, 12))


def shenzhen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "shenzhen", NUM_IMAGES=9, NUM_MASKS=6)
    for at in range(9):
        name = f"CHNCXR_{at:04d}_{at % 2}"
        picture(root / "ChinaSet_AllFiles/CXR_png" / f"{name}.png", seed=at)
        if at < 6:
            mask(root / "mask" / f"{name}_mask.png", rows=slice(4, 20), columns=slice(3, 28))


def nih(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del monkeypatch
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age"]
    for at, (patient, follow_up) in enumerate([(1, 0), (1, 1), (2, 0), (3, 0)]):
        name = f"{patient:08d}_{follow_up:03d}.png"
        picture(root / f"images_{1 + at // 2:03d}/images" / name, seed=at)
        lines.append(f"{name},No Finding,{follow_up},{patient},58")
    (root / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")


def isic(year: str) -> Tree:
    def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        module = import_module("monai_semigan.extras.datasets.isic")
        parts = {part: (*folders[:2], 6 if part == "train" else 2) for part, folders in module.PARTS[year].items()}
        monkeypatch.setitem(module.PARTS, year, parts)
        number = 0
        for images, masks, count in parts.values():
            for _ in range(count):
                name = f"ISIC_{number:07d}"
                picture(root / images / f"{name}.jpg", seed=number, color=True)
                ending = module.ENDING[year]
                mask(root / masks / f"{name}{ending}.png", rows=slice(4, 20), columns=slice(3, 20))
                number += 1
            if year == "2017":
                picture(root / images / "ISIC_0000000_superpixels.png", color=True)

    return build


def ph2(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "ph2", NUM_IMAGES=6)
    for at in range(6):
        folder, name = root / "PH2Dataset/PH2 Dataset images" / f"IMD{at:03d}", f"IMD{at:03d}"
        picture(folder / f"{name}_Dermoscopic_Image" / f"{name}.bmp", seed=at, color=True)
        path = folder / f"{name}_lesion" / f"{name}_lesion.bmp"
        path.parent.mkdir(parents=True)
        lesion = np.zeros((HEIGHT, WIDTH), bool)
        lesion[5:15, 8:20] = True
        Image.fromarray(lesion).save(path)  # 1 bit per pixel, as published


def waterloo(site: str) -> Tree:
    def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        set_module(monkeypatch, "waterloo_skin", NUM_IMAGES={site: 6})
        for at in range(6):
            number, kind = (1, "melanoma") if at % 2 else (2, "notmelanoma")
            folder = root / f"Skin Image Data Set-{number}" / "skin_data" / kind / site
            picture(folder / f"{at}_orig.jpg", seed=at, color=True)
            mask(folder / f"{at}_contour.png", rows=slice(4, 20), columns=slice(3, 20))

    return build


def lits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "lits", NUM_VOLUMES=5)
    for at in range(5):
        drawn = phantom(("axial", "reversed_order", "negated_column_cosine")[at % 3], seed=at)
        folder = root / f"Training Batch {1 + at // 3}"
        write_nifti(folder / f"volume-{at}.nii", drawn.voxels_ct, drawn.grid)
        liver = (drawn.label == 1).astype(np.uint8)
        tumor = np.argwhere(liver)[int(liver.sum()) // 2]
        liver[tuple(tumor)] = 2
        write_nifti(folder / f"segmentation-{at}.nii", liver, drawn.grid)


CHAOS_GREY = {0: 0, 1: 63, 2: 252, 3: 126, 4: 189}
"""Of the phantom's classes in the masks of CHAOS MR."""


def chaos(series: str) -> Tree:
    def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        set_module(monkeypatch, "chaos", NUM_PATIENTS=4)
        module = import_module("monai_semigan.extras.datasets.chaos")
        modality, slices, masks = module.SERIES[series]
        for at in range(1, 5):
            drawn = phantom("reversed_order" if at % 2 else "axial", seed=at)
            patient = root / "Train_Sets" / modality / str(at)
            files = write_series(patient / slices, drawn, modality, name=f"chaos{at}")
            (patient / masks).mkdir(parents=True, exist_ok=True)
            for k, file in enumerate(files):
                name = f"i{k:04d},0000b" if modality == "CT" else f"IMG-0004-{2 * k + (series != 't1-out'):05d}"
                file.rename(file.with_name(f"{name}.dcm"))
                plane = drawn.label[:, :, k].T
                if modality == "CT":
                    pixels, label = (plane == 1) * np.uint8(255), f"liver_GT_{k:03d}"
                else:
                    pixels = np.vectorize(CHAOS_GREY.get)(plane).astype(np.uint8)
                    label = f"IMG-0004-{2 * k + 1:05d}"
                Image.fromarray(pixels).save(patient / masks / f"{label}.png")

    return build


def celebamask(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "celebamask_hq", NUM_IMAGES=8, PER_FOLDER=4)
    base = root / "CelebAMask-HQ"
    for at in range(8):
        picture(base / "CelebA-HQ-img" / f"{at}.jpg", seed=at, color=True, size=(64, 64))
        folder = base / "CelebAMask-HQ-mask-anno" / str(at // 4)
        mask(folder / f"{at:05d}_skin.png", rows=slice(8, 28), columns=slice(8, 24), size=(32, 32))
        mask(folder / f"{at:05d}_l_eye.png", rows=slice(12, 14), columns=slice(10, 13), size=(32, 32))
        mask(folder / f"{at:05d}_hair.png", rows=slice(0, 10), columns=slice(4, 28), size=(32, 32))
        mask(folder / f"{at:05d}_hat.png", rows=slice(0, 3), columns=slice(4, 28), size=(32, 32))


def metfaces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_module(monkeypatch, "metfaces", NUM_IMAGES=6)
    for at, name in enumerate(["10140-00", "10140-01", "20000-00", "3-00", "4-00", "5-00"]):
        picture(root / "images" / f"{name}.png", seed=at, color=True)


TREES: dict[str, Tree] = {
    "jsrt": jsrt,
    "montgomery": montgomery,
    "shenzhen": shenzhen,
    "nih-chestxray14": nih,
    "isic2016": isic("2016"),
    "isic2017": isic("2017"),
    "isic2018": isic("2018"),
    "ph2": ph2,
    "dermis": waterloo("dermis"),
    "dermquest": waterloo("dermquest"),
    "lits": lits,
    "chaos-ct": chaos("ct"),
    "chaos-t1-in": chaos("t1-in"),
    "chaos-t1-out": chaos("t1-out"),
    "chaos-t2spir": chaos("t2spir"),
    "celebamask-hq": celebamask,
    "metfaces": metfaces,
}
UNLABELLED = ("nih-chestxray14", "metfaces")

assert TREES.keys() == DATASETS.keys()
