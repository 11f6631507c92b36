# SPDX-License-Identifier: Apache-2.0
"""What says which images a bundle knows is read whole and checked, or refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from known_xrays import CPU, knowing

from monai_semigan.bundle.audit import MAX_OOD_BYTES, OOD_FILE, audit_bundle
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.ood_file import known_chains, read_references
from monai_semigan.errors import BundleError
from monai_semigan.networks.checkpoint_file import file_digest


@pytest.fixture
def bundle(tiny_bundle: Path, make_xray) -> Path:
    return knowing(tiny_bundle, make_xray)


def read(bundle: Path):
    opened = open_bundle(bundle)
    return read_references(opened, load_network(opened, device=CPU))


def rewrite(bundle: Path, edit_bundle, change) -> None:
    """Change the file's tensors, and give the description its digest."""
    tensors = torch.load(bundle / OOD_FILE, weights_only=True)
    change(tensors)
    torch.save(tensors, bundle / OOD_FILE)
    edit_bundle(bundle, ood={"file": str(OOD_FILE), "sha256": file_digest(bundle / OOD_FILE)})


def test_it_comes_back_and_is_small(bundle: Path) -> None:
    opened = open_bundle(bundle)
    (chain,) = known_chains(opened, load_network(opened, device=CPU)).values()
    assert chain.ood is not None and chain.ood.limit > 0 and chain.max_ood == 0.5
    assert (bundle / OOD_FILE).stat().st_size < 300_000 and audit_bundle(bundle) == []


def test_a_stricter_limit_can_be_set(bundle: Path, edit_bundle) -> None:
    rewrite(bundle, edit_bundle, lambda tensors: None)
    settings = open_bundle(bundle).ood
    edit_bundle(bundle, ood={"file": settings.file, "sha256": settings.sha256, "max_ood": 0.3})
    assert open_bundle(bundle).image_chain.max_ood == 0.3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("image.styles.center"), "`image.styles.center` must be there"),
        (lambda tensors: tensors.update({"image.extra": torch.zeros(2)}), "nothing else, got 1"),
        (lambda tensors: tensors.update({"image.limit": torch.tensor(0.0)}), "`limit` must be a number above 0"),
        (lambda tensors: tensors.update({"image.limit": torch.tensor(float("inf"))}), "`limit` must be"),
        (lambda tensors: tensors.update({"image.label.scale": torch.zeros(64)}), "`scale` must be above 0"),
        (lambda tensors: tensors["image.image.center"].fill_(float("nan")), "`center` must be finite"),
        (lambda tensors: tensors.update({"image.image.axes": torch.zeros(3, 7)}), "`axes` must be finite and of shape"),
        (lambda tensors: tensors.update({"CT.limit": torch.tensor(1.0)}), "nothing else"),
    ],
)
def test_what_does_not_fit_is_refused(bundle: Path, edit_bundle, change, said: str) -> None:
    rewrite(bundle, edit_bundle, change)
    with pytest.raises(BundleError, match=said):
        read(bundle)


def test_an_exchanged_missing_or_huge_file_is_refused(bundle: Path, edit_bundle) -> None:
    content = (bundle / OOD_FILE).read_bytes()
    (bundle / OOD_FILE).write_bytes(content[:-1] + b"x")
    with pytest.raises(BundleError, match="damaged or was exchanged"):
        read(bundle)
    with (bundle / OOD_FILE).open("wb") as stream:
        stream.truncate(MAX_OOD_BYTES + 1)
    assert any("models/ood.pt" in finding and "at most" in finding for finding in audit_bundle(bundle))
    with pytest.raises(BundleError, match="must be at most"):
        open_bundle(bundle)
    (bundle / OOD_FILE).unlink()
    with pytest.raises(BundleError, match="Copy the complete bundle"):
        read(bundle)


def test_a_file_that_carries_code_is_refused(bundle: Path, edit_bundle) -> None:
    (bundle / OOD_FILE).write_bytes(pickle.dumps(print))
    edit_bundle(bundle, ood={"file": str(OOD_FILE), "sha256": file_digest(bundle / OOD_FILE)})
    with pytest.raises(BundleError, match="must describe images of this network"):
        read(bundle)


@pytest.mark.parametrize(
    "block",
    [
        {"file": "../ood.pt", "sha256": "0" * 64},
        {"file": "models/ood.pt", "sha256": "0"},
        {"file": "models/ood.pt", "sha256": "0" * 64, "max_ood": 1.5},
        {"file": "models/ood.pt", "sha256": "0" * 64, "url": "x"},
        [],
    ],
)
def test_a_wrong_description_is_refused(tiny_bundle: Path, edit_bundle, block) -> None:
    edit_bundle(tiny_bundle, ood=block)
    with pytest.raises(BundleError, match="ood"):
        open_bundle(tiny_bundle)
