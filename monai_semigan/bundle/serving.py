# SPDX-License-Identifier: Apache-2.0
"""From a bundle to a segmenter that stays loaded."""

from __future__ import annotations

from monai_semigan.bundle.bundle import Bundle, load_network
from monai_semigan.bundle.ood_file import known_chains
from monai_semigan.devices import choose_device
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.segmentation.result import Model
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions

__all__ = ["bundle_segmenter"]


def bundle_segmenter(
    bundle: Bundle,
    *,
    device: str = "auto",
    options: SegmenterOptions | None = None,
    network: SemiGanSegmenter | None = None,
) -> Segmenter:
    """Build the segmenter of a bundle.

    Args:
        bundle: What to segment with.
        device: ``auto``, ``cpu`` or ``cuda``; of the network that is loaded.
        options: What the user changed.
        network: One that is loaded already, as MONAI's runner has it; None loads the bundle's weights.

    Raises:
        BundleError: The weights are missing, or are not those that the bundle was made with.
        CheckpointError: They carry code or do not fit.
        ConfigError: The device or an option is unknown.
    """
    network = network if network is not None else load_network(bundle, device=choose_device(device))
    return Segmenter(
        network,
        bundle=BundleRecord(name=bundle.name, version=bundle.version, digest=bundle.digest),
        model=Model(
            class_names=bundle.class_names,
            colors=bundle.colors,
            segments=bundle.segments,
            plausible_ml=bundle.plausible_ml,
        ),
        domain=bundle.domain,
        chains=known_chains(bundle, network),
        slicewise=bundle.slicewise,
        components=bundle.components,
        options=options,
    )
