"""What the commands of the documentation find where they are run: small files under the names that the pages use."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import dataset_trees
import foreign_checkpoints as foreign
import nibabel
import numpy as np
import phantoms
import pytest
import torch
from click.testing import CliRunner, Result
from dicom_series_builder import write_image
from PIL import Image

from monai_semigan.bundles import bundle_root
from monai_semigan.cli.main import cli
from monai_semigan.extras.phantoms.abdomen import abdomen_grid, draw_abdomen
from monai_semigan.workflows.converting import convert

NUM_IMAGES = 10

TARGETS = ("-o", "--output", "gan", "encoder", "phantom")
"""Words before what a command writes."""


def names_in(words: Sequence[str]) -> list[str]:
    """Return what may be a file or a folder that a command takes: the first names of the paths."""
    taken = [word for before, word in zip(["", *words], words, strict=False) if before not in TARGETS]
    return [re.split(r"[:/]", word)[0] for word in taken]


def run(words: Sequence[str]) -> Result:
    return CliRunner().invoke(cli, list(words), standalone_mode=False)


@dataclass(frozen=True)
class Workplace:
    """The current folder: makes what a command takes, when it is asked for."""

    page: str
    tiny_bundle: Path
    edit_bundle: Callable[..., None]
    make_xray: Callable[..., tuple[np.ndarray, np.ndarray]]
    monkeypatch: pytest.MonkeyPatch

    def provide(self, name: str) -> None:
        """Make a file or folder, if it is one that pages take and is not there yet."""
        maker = MAKERS.get(f"{self.page}:{name}") or MAKERS.get(name)
        if maker is not None and not Path(name).exists():
            maker(self, Path(name))

    def use(self, *words: str) -> None:
        """Run a command whose result another one takes."""
        for name in names_in(words):
            self.provide(name)
        result = run(words)
        assert not result.exit_code, (words, result.output, result.exception)


def images(place: Workplace, folder: Path) -> None:
    folder.mkdir()
    for at in range(NUM_IMAGES):
        Image.fromarray(place.make_xray(60 + at, 70, seed=at)[0]).save(folder / f"case{at}.png")


def portraits(place: Workplace, folder: Path) -> None:
    images(place, folder)
    for path in folder.iterdir():
        Image.open(path).convert("RGB").save(path)


def image(place: Workplace, path: Path) -> None:
    Image.fromarray(place.make_xray(60, 71, seed=50)[0]).save(path)


def xray_dicom(_: Workplace, path: Path) -> None:
    pixels = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    grey = {"SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    grey |= {"PhotometricInterpretation": "MONOCHROME2", "PixelData": pixels.tobytes()}
    write_image(path, "DX", rows=40, columns=50, **grey)


def masks(place: Workplace, folder: Path) -> None:
    folder.mkdir()
    for at in range(NUM_IMAGES):
        Image.fromarray(place.make_xray(60 + at, 70, seed=at)[1] * 255).save(folder / f"case{at}.png")
    if place.page == "README.md":  # where `xray.dcm` is scored too
        Image.fromarray(np.eye(40, 50, dtype=np.uint8) * 255).save(folder / "xray.png")


def apart(place: Workplace, folder: Path) -> None:
    folder.mkdir()
    images(place, folder / "images")
    masks(place, folder / "masks")


def pairs_by_name(place: Workplace, folder: Path) -> None:
    folder.mkdir()
    for at in range(NUM_IMAGES):
        for name, pixels in zip(("", "_mask"), place.make_xray(60 + at, 70, seed=at), strict=True):
            Image.fromarray(pixels * (255 if name else 1)).save(folder / f"p{at}_view{name}.png")


def volume(modality: str) -> Callable[[Workplace, Path], None]:
    def write(_: Workplace, path: Path) -> None:
        drawn = draw_abdomen(abdomen_grid((40, 32, 20)), seed=3)
        path.parent.mkdir(parents=True, exist_ok=True)
        array = drawn.label if modality == "label" else drawn.voxels_ct if modality == "CT" else drawn.voxels_mr
        nibabel.save(nibabel.Nifti1Image(array, drawn.grid.affine), path)

    return write


def series(_: Workplace, folder: Path) -> None:
    phantoms.write_series(folder, phantoms.phantom())


def zipped(_: Workplace, path: Path) -> None:
    phantoms.write_series(Path("zipped"), phantoms.phantom())
    with ZipFile(path, "w") as archive:
        for file in Path("zipped").rglob("*.dcm"):
            archive.write(file)


def bids(place: Workplace, folder: Path) -> None:
    volume("MR")(place, folder / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    (folder / "dataset_description.json").write_text('{"Name": "study", "BIDSVersion": "1.9.0"}')


def volume_masks(place: Workplace, folder: Path) -> None:
    """Labels for the volumes that `docs/volumes.md` segments."""
    place.provide("study.zip")
    drawn = phantoms.phantom()
    place.use("segment", "study.zip", "-b", "liver_ct_segmentation", "-o", "named")
    (case,) = (path.name for path in Path("named").iterdir() if path.is_dir())
    phantoms.write_nifti(folder / f"{case}.nii.gz", drawn.label, drawn.grid)
    volume("label")(place, folder / "more.nii.gz")


def bundle(place: Workplace, folder: Path) -> None:
    shutil.copytree(place.tiny_bundle, folder)
    path = folder / "configs" / "train_encoder.json"
    config = json.loads(path.read_text())
    config["trainer"]["run"] = {"total_kimg": 0.008, "batch_size": 4, "tick_kimg": 0.008, "num_samples": 2}
    path.write_text(json.dumps(config))
    place.edit_bundle(folder, max_image_error=10.0)  # random weights redraw nothing


def volume_bundle(place: Workplace, folder: Path) -> None:
    bundle(place, folder)
    shutil.copy(bundle_root("liver_ct_segmentation") / "configs" / "inference.json", folder / "configs")
    sizes = {"CT": {"image_size": 32}, "MR": {"image_size": 32}}
    steps = {"CT": {"steps": 1}, "MR": {"steps": 1, "correlation_weight": 1.0}}
    names = {"class_names": ["background", "liver"], "colors": [[0, 0, 0], [221, 130, 101]], "components": {}}
    place.edit_bundle(folder, domain="abdomen", preprocessing=sizes, inversion=steps, **names)


def face_bundle(place: Workplace, folder: Path) -> None:
    bundle(place, folder)
    for name in ("metadata.json", "inference.json"):
        shutil.copy(bundle_root("face_parts_segmentation") / "configs" / name, folder / "configs")
    network: dict[str, Any] = json.loads((place.tiny_bundle / "configs" / "metadata.json").read_text())["semigan"][
        "network"
    ]
    network |= {"num_classes": 6, "image_channels": 3}
    place.edit_bundle(folder, network=network, preprocessing={"image_size": 32})


def bundle_of_weights(kind: str, *sources: str) -> Callable[[Workplace, Path], None]:
    """A bundle whose network is the one that `semigan convert` prints."""

    def write(place: Workplace, folder: Path) -> None:
        bundle(place, folder)
        for source in names_in(sources):
            place.provide(source)
        grey = {"num_classes": 2, "to_grey": True} if kind == "rosinality" else {}
        place.edit_bundle(folder, network=convert(kind, list(sources), f"{kind}.again.pt", **grey).network)

    return write


def rosinality(_: Workplace, path: Path) -> None:
    channels = foreign.CHANNELS
    torch.save({"g_ema": foreign.rosinality_generator(channels), "d": foreign.rosinality_discriminator(channels)}, path)


def semanticgan(_: Workplace, path: Path) -> None:
    path.mkdir()
    gan, encoder = foreign.semanticgan_files(num_classes=2, image_channels=1)
    is_gan = path.name == "ckpt_gan"
    torch.save(gan if is_gan else encoder, path / ("100000.pt" if is_gan else "050000.pt"))


def download(name: str, parent: str) -> Callable[[Workplace, Path], None]:
    def write(place: Workplace, _: Path) -> None:
        dataset_trees.TREES[name](Path(parent), place.monkeypatch)

    return write


def downloads(place: Workplace, _: Path) -> None:
    for name, folder in (("jsrt", "JSRT"), ("montgomery", "Montgomery"), ("chaos-t2spir", "CHAOS")):
        download(name, f"downloads/{folder}")(place, Path())
    for at, path in enumerate(Path("downloads/JSRT/All247images").iterdir()):  # the trees' images are constant
        np.random.default_rng(at).integers(0, 4096, path.stat().st_size // 2).astype(">u2").tofile(path)


def datalist(place: Workplace, path: Path) -> None:
    place.use("data", "images", "--masks", "masks", "-o", str(path))


def long_list(place: Workplace, path: Path) -> None:
    """More images than other commands need: limits and copies are told from many."""
    for name, kind in (("many", 0), ("many_masks", 1)):
        Path(name).mkdir()
        for at in range(60):
            pixels = place.make_xray(40, 50, seed=at)[kind] * (255 if kind else 1)
            Image.fromarray(pixels).save(f"{name}/x{at}.png")
    place.use("data", "many", "--masks", "many_masks", "--validation", "0.2", "-o", str(path))


def drawn_patients(place: Workplace, folder: Path) -> None:
    place.use("prepare", "phantom", str(folder), "--mr-patients", "4", "--size", "32", "--slices", "16")


def table(columns: dict[str, Callable[[int], object]]) -> Callable[[Workplace, Path], None]:
    def write(place: Workplace, path: Path) -> None:
        place.provide("images")
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, columns)
            rows.writeheader()
            rows.writerows({name: value(at) for name, value in columns.items()} for at in range(NUM_IMAGES))

    return write


def segmented(place: Workplace, folder: Path) -> None:
    place.use("segment", "images", "-b", "lung_cxr_segmentation", "-o", str(folder))


def segmented_volumes(place: Workplace, folder: Path) -> None:
    place.use("segment", "mr.nii.gz", "-b", "liver_ct_segmentation", "-o", str(folder))


def organs(place: Workplace, folder: Path) -> None:
    volume("label")(place, folder / "mr.nii.gz")


def cohort(place: Workplace, folder: Path) -> None:
    place.use("cohort", "run", "cases.csv", "-b", "lung_cxr_segmentation", "-o", str(folder))


def trained(place: Workplace, folder: Path) -> None:
    place.use("train", "gan", str(folder / "gan"), "-b", "lung_cxr_segmentation", "--data", "data.json")


def references(place: Workplace, folder: Path) -> None:
    place.provide("phantoms")
    folder.mkdir()
    for path in Path("phantoms/volumes").glob("phantom_mr_*_label.nii.gz"):
        shutil.copy(path, folder / path.name.replace("_label", ""))


MAKERS: dict[str, Callable[[Workplace, Path], None]] = {
    **dict.fromkeys(("images", "folder", "more_images", "new_xrays"), images),
    **dict.fromkeys(("xray.png", "image.png", "adult.jpg", "child.jpg"), image),
    "PORTRAITS": portraits,
    "xray.dcm": xray_dicom,
    "masks": masks,
    "apart": apart,
    "docs/compare.md:images": portraits,  # for the photographs of its second command
    "docs/volumes.md:masks": volume_masks,
    "study": series,
    "docs/training.md:study": pairs_by_name,
    "docs/cohort.md:study": bids,
    "study.zip": zipped,
    "ct.nii.gz": volume("CT"),
    "mr.nii.gz": volume("MR"),
    "more.nii.gz": volume("MR"),
    **dict.fromkeys(("lung_cxr_segmentation", "lesion_dermoscopy_segmentation", "my_bundle", "my_lungs"), bundle),
    "liver_ct_segmentation": volume_bundle,
    "face_parts_segmentation": face_bundle,
    "docs/convert.md:my_bundle": bundle_of_weights("rosinality", "ffhq.pt"),
    "edited_bundle": bundle_of_weights("semanticgan", "ckpt_gan/100000.pt", "ckpt_encoder/050000.pt"),
    "ffhq.pt": rosinality,
    **dict.fromkeys(("ckpt_gan", "ckpt_encoder"), semanticgan),
    "DOWNLOAD": download("celebamask-hq", "DOWNLOAD"),
    "downloads": downloads,
    **dict.fromkeys(("data.json", "ours.json", "theirs.json"), datalist),
    **dict.fromkeys(("docs/figures.md:data.json", "docs/trust.md:data.json"), long_list),
    "docs/tutorial-ct-to-mr.md:phantoms": drawn_patients,
    "my_livers": volume_bundle,
    "cases.csv": table(
        {"case": "case{}".format, "path": "images/case{}.png".format, "patient": str, "site": lambda at: "AB"[at % 2]}
    ),
    "patients.csv": table({"case": "case{}".format, "patient": str}),
    "out": segmented,
    **dict.fromkeys(("docs/cohort.md:out", "docs/deploy.md:out"), cohort),
    "livers": segmented_volumes,
    "organs": organs,
    **dict.fromkeys(("runs", "my_lungs-run"), trained),
    "references": references,
}
"""By name, or by page and name where a page means something else by it."""
