# SPDX-License-Identifier: Apache-2.0
"""Open a bundle as data: its metadata, its weights. Nothing in it is executed.

Of a bundle's files only ``configs/metadata.json`` (see `description`) and the weights are used here; the other
configs, which MONAI's own runner would execute, are checked by `audit` and left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from monai_semigan.bundle.audit import MAX_CONFIG_BYTES, METADATA, require_clean
from monai_semigan.bundle.description import MAX_NAME_LENGTH, Color, OodSettings, read_metadata
from monai_semigan.bundles import bundle_root
from monai_semigan.domains.base import IMAGE, Domain, Preset
from monai_semigan.errors import BundleError
from monai_semigan.files import parse_json, read_regular
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.checkpoint import build_with_weights
from monai_semigan.networks.checkpoint_file import file_digest, read_state_dict
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.components import ComponentRules
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.types import PathLike
from monai_semigan.writers.terminology import SegmentInfo

__all__ = ["Bundle", "load_network", "open_bundle"]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle whose description was read and checked; its weights were not loaded yet.

    Attributes:
        root: The folder.
        name: From the metadata.
        version: From the metadata.
        task: What it segments, from the metadata.
        terms: Under which terms its weights may be used, from the metadata.
        class_names: Name of each class, background first.
        colors: RGB of each class, 0 to 255.
        domain: Kind of sources.
        network: Arguments of `SemiGanSegmenter`.
        chains: By modality (DICOM), for volumes; one under ``image`` for single images.
        slicewise: How a stack of slices is worked through.
        segments: What DICOM says of each class, background left out.
        components: Which pieces of a class stay in a label map, and which holes are filled; none if not given.
        weights_file: The weights, inside the bundle; None if it has none yet, and can only be trained.
        weights_sha256: What their digest must be; None likewise.
        ood: What says which images it knows; None if it does not say.
        digest: SHA-256 over description and weights: names what made a result.
    """

    root: Path
    name: str
    version: str
    task: str
    terms: str
    class_names: tuple[str, ...]
    colors: tuple[Color, ...]
    domain: Domain
    network: NetworkSettings
    chains: Mapping[str, Chain]
    slicewise: SlicewiseSettings
    segments: tuple[SegmentInfo, ...]
    components: ComponentRules
    weights_file: Path | None
    weights_sha256: str | None
    ood: OodSettings | None
    plausible_ml: Mapping[str, tuple[float, float]]
    num_labels: int | None
    digest: str

    @property
    def takes_volumes(self) -> bool:
        """Whether the bundle is for volumes; else it is for single images."""
        return self.domain.takes_volumes

    @property
    def preset(self) -> Preset:
        """The preparation of single images.

        Raises:
            BundleError: The bundle is for volumes.
        """
        return self.image_chain.preset

    @property
    def inversion(self) -> InversionSettings:
        """The test-time optimization of single images; raises as `preset` does."""
        return self.image_chain.inversion

    @property
    def image_chain(self) -> Chain:
        """The chain of single images; raises as `preset` does."""
        if self.takes_volumes:
            raise BundleError(f"`bundle` must be for images, but `{self.name}` is for volumes.")
        return self.chains[IMAGE]

    def segmenter(
        self, *, device: str = "auto", steps: int | None = None, options: SegmenterOptions | None = None
    ) -> Segmenter:
        """Load the weights into a segmenter that stays warm.

        Args:
            device: ``auto``, ``cpu`` or ``cuda``.
            steps: Steps of the inversion; None for the bundle's number, 0 for the encoder alone.
            options: What else is changed; its ``steps`` count where ``steps`` is None.

        Raises:
            BundleError: The weights are missing, or are not those that the bundle was made with.
            CheckpointError: They carry code or do not fit.
            ConfigError: The device or an option is unknown.
        """
        from monai_semigan.bundle.serving import bundle_segmenter  # noqa: PLC0415  (it takes this class)

        options = options or SegmenterOptions()
        if steps is not None:
            options = replace(options, steps=steps)
        return bundle_segmenter(self, device=device, options=options)


def open_bundle(name_or_path: PathLike) -> Bundle:
    """Open a shipped bundle by its name, or a bundle folder.

    Raises:
        BundleError: The bundle is missing, incomplete, wrong, or holds something that must not be trusted.
    """
    path = Path(name_or_path)
    is_folder = path.is_dir() or path.is_absolute() or len(path.parts) != 1
    root = path if is_folder else bundle_root(str(name_or_path))
    if not root.is_dir():
        raise BundleError(f"`bundle` must be a folder or a shipped bundle's name, but `{root}` does not exist.")
    path = root / METADATA
    if not path.is_file():  # asked first: the audit looks at every file, and this may be any folder
        raise BundleError(f"`{root}` must be a bundle, but has no configs/metadata.json.")
    raw = read_regular(path, MAX_CONFIG_BYTES, error=BundleError)
    require_clean(root, raw)  # before anything of it is taken
    content = parse_json(raw, path, error=BundleError)
    metadata = read_metadata(content, path)
    described, weights = metadata.semigan, metadata.semigan.weights
    return Bundle(
        root=root,
        name=metadata.name or _name_of(root),
        version=metadata.version,
        task=metadata.task,
        terms=metadata.terms,
        class_names=described.class_names,
        colors=described.colors,
        domain=described.kind,
        network=described.network,
        chains=described.chains(),
        slicewise=described.slicewise,
        segments=described.segments(),
        components=described.rules(),
        weights_file=None if weights is None else root / weights.file,
        weights_sha256=None if weights is None else weights.sha256,
        ood=described.ood,
        plausible_ml=described.plausible_ml,
        num_labels=described.num_labels,
        digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )


def _name_of(root: Path) -> str:
    """Make a name that DICOM takes out of the folder's."""
    name = "".join(
        letter if letter.isascii() and letter.isprintable() and letter != "\\" else "_" for letter in root.name
    )
    return name.strip()[:MAX_NAME_LENGTH] or "bundle"


def load_network(bundle: Bundle, *, device: torch.device) -> SemiGanSegmenter:
    """Build the network and load its weights, in evaluation mode and frozen.

    Raises:
        BundleError: The weights are missing, or are not those that the bundle was made with.
        CheckpointError: They carry code or do not fit.
    """
    if bundle.weights_file is None or bundle.weights_sha256 is None:
        raise BundleError(
            f"`bundle` must have weights, but `{bundle.name}` has none yet. Train them: semigan train gan, "
            "semigan train encoder, semigan pack."
        )
    name = f"`{bundle.weights_file.relative_to(bundle.root)}` of the bundle `{bundle.root.name}`"
    if not bundle.weights_file.is_file():
        raise BundleError(f"{name} must hold the weights, but is missing. Train them, or copy the complete bundle.")
    actual = file_digest(bundle.weights_file)
    if actual != bundle.weights_sha256:
        raise BundleError(
            f"{name} must have the SHA-256 {bundle.weights_sha256[:12]}..., got {actual[:12]}...: it is damaged or was "
            "exchanged. Copy the bundle again."
        )
    network = build_with_weights(
        lambda: SemiGanSegmenter(**bundle.network.arguments()),
        read_state_dict(bundle.weights_file),
        source=bundle.weights_file,
    )
    network.require_trained()
    return network.eval().requires_grad_(False).to(device)
