# SPDX-License-Identifier: Apache-2.0
"""From the checkpoints of another code base to weights that a training here can start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.extras.importers import rosinality, semanticgan, stylegan2_ada
from monai_semigan.extras.importers.adapt import (
    State,
    fresh_label_heads,
    grey,
    mean_style,
    two_label_channels,
)
from monai_semigan.extras.importers.kinds import FoundNetwork, Kind, find_networks
from monai_semigan.extras.importers.transfer import ForeignState, Shape, raise_problems
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.official_encoder import OfficialEncoder
from monai_semigan.networks.start_weights import StartWeights

__all__ = ["Imported", "import_weights"]

AVERAGES = ("g_ema", "G_ema", "")
"""Names under which the averaged generator is saved; the empty one is of a file that is a bare state dict."""

LATENT_AVG = "latent_avg"
"""Name of a mean of w beside the generator, as public converters write it."""


@dataclass(frozen=True)
class Imported(StartWeights):
    """Imported networks, and what became of everything in the sources.

    Attributes:
        fresh: What was not in the sources and is new: label heads, the mean of w.
        ignored: What was in the sources and is not needed: optimizers, filters, a second generator.
    """

    fresh: tuple[str, ...]
    ignored: tuple[str, ...]


def import_weights(
    kind: Kind,
    sources: Mapping[str, Mapping[str, Any]],
    *,
    num_classes: int | None = None,
    to_grey: bool = False,
    seed: int = 0,
) -> Imported:
    """Import generator, and image discriminator, pair discriminator and encoder where there are any.

    Args:
        kind: The layout.
        sources: Loaded checkpoints by file name. A generator that lies beside an encoder is taken before others,
            an averaged one before one that is not.
        num_classes: Label classes, background included. Needed for an image-only generator. If it is another number
            than a generator's own, its label heads are fresh and its pair discriminator is left out.
        to_grey: Turn networks of color images into networks of grey ones.
        seed: Of the fresh label heads and of the latent codes that the mean of w is estimated from.

    Raises:
        CheckpointError: A network is missing, of another kind or not complete; every key that does not fit is named.
        ConfigError: ``num_classes`` is missing or below 2, or ``to_grey`` was asked for grey networks.
    """
    return _Import(kind, sources, seed).run(num_classes, to_grey)


class _Import:
    """The state of one import: networks found, keys accounted for."""

    def __init__(self, kind: Kind, sources: Mapping[str, Mapping[str, Any]], seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.source = "`, `".join(sources)
        self.layout: ModuleType = stylegan2_ada if kind == "stylegan2-ada" else rosinality
        self.latent_avg: Any = None
        self.fresh: list[str] = []
        self.ignored: list[str] = []
        self.foreign: list[ForeignState] = []
        self.found: dict[str, FoundNetwork] = {}
        self._choose(sources)

    def _choose(self, sources: Mapping[str, Mapping[str, Any]]) -> None:
        """Choose one network per role, and list everything else."""
        candidates: list[tuple[int, FoundNetwork]] = []
        for source, content in sources.items():
            networks = find_networks(content, kind=self.kind, source=source)
            has_encoder = any(network.role == "encoder" for network in networks)
            for network in networks:
                rank = -2 * has_encoder - (network.name in AVERAGES)
                candidates.append((rank, network))
            names = {network.name for network in networks}
            if LATENT_AVG in content and "" not in names:
                self.latent_avg = content[LATENT_AVG]
                names.add(LATENT_AVG)
            self.ignored += [str(name) for name in content if name not in names and "" not in names]
        for _, network in sorted(candidates, key=lambda candidate: candidate[0]):
            if network.role in self.found:
                self.ignored.append(f"{network.name} (another {network.role})")
            else:
                self.found[network.role] = network
        if "generator" not in self.found:
            raise CheckpointError(f"`{self.source}` must hold a generator, but only has {', '.join(self.found)}.")

    def run(self, num_classes: int | None, to_grey: bool) -> Imported:
        generator = self._foreign("generator")
        arguments = self.layout.generator_arguments(generator)
        own_classes = arguments.pop("num_classes", None)
        kept_classes = self._kept_classes(own_classes, num_classes)
        if to_grey and arguments["image_channels"] != 3:
            raise ConfigError(
                f"`to_grey` must be for color networks, but this one has {arguments['image_channels']} channel(s)."
            )
        pair_discriminator = None
        try:
            states = {"generator": self._generator(generator, arguments, own_classes)}
            if "d_image" in self.found:
                states["d_image"] = self._image_discriminator(arguments)
            if "d_pair" in self.found and kept_classes is not None:
                states["d_pair"], pair_discriminator = self._pair_discriminator(
                    arguments["image_channels"], own_classes
                )
            encoder_arguments: dict[str, Any] = {}
            if "encoder" in self.found:
                states["encoder"], encoder_arguments = self._encoder(arguments)
        except ConfigError as error:
            raise CheckpointError(f"`{self.source}` must hold networks that can be built here, but {error}") from error
        raise_problems(self.foreign, source=self.source, kind=self.kind)
        self._labels(states, arguments, own_classes, kept_classes, num_classes)
        self._mean(states["generator"], arguments)
        if to_grey:
            grey(states)
            arguments["image_channels"] = 1
        self.ignored += [key for state in self.foreign for key in state.ignored]
        classes = kept_classes or num_classes
        return Imported(
            network={"image_size": arguments["image_size"], "num_classes": classes, **arguments, **encoder_arguments},
            pair_discriminator=pair_discriminator,
            states=states,
            fresh=tuple(self.fresh),
            ignored=tuple(self.ignored),
        )

    def _kept_classes(self, own: int | None, asked: int | None) -> int | None:
        """Return the classes of label heads that are kept; None if they will be fresh."""
        if asked is not None and asked < 2:
            raise ConfigError(f"`num_classes` must be >= 2 (background counts), got {asked}.")
        if own is None and asked is None:
            raise ConfigError("`num_classes` must be given, as the generator makes images alone: --num-classes.")
        kept = None if own is None else max(own, 2)  # one channel tells two classes apart
        return kept if asked in (None, kept) else None

    def _foreign(self, role: str) -> ForeignState:
        network = self.found[role]
        state = ForeignState(network.name or role, network.tensors)
        self.foreign.append(state)
        return state

    def _generator(self, state: ForeignState, arguments: dict[str, Any], own_classes: int | None) -> State:
        with torch.device("meta"):
            shapes = _shapes(Generator(**arguments, num_classes=max(own_classes or 0, 2)))
        if own_classes == 1:
            labels = (".to_label.weight", ".to_label.bias")
            shapes = {key: (1, *shape[1:]) if key.endswith(labels) else shape for key, shape in shapes.items()}
        sizes = {"num_blocks": len(arguments["channels"]), "num_mapping_layers": arguments["num_mapping_layers"]}
        if self.layout is stylegan2_ada:
            rules = stylegan2_ada.generator_rules(**sizes, has_average=state.has("mapping.w_avg"))
        else:
            rules = rosinality.generator_rules(**sizes, has_label=own_classes is not None)
        taken = state.take(rules, shapes)
        self.layout.drop_buffers(state)
        return taken

    def _image_discriminator(self, arguments: dict[str, Any]) -> State:
        state = self._foreign("d_image")
        channels = self.layout.discriminator_channels(state)
        if channels != arguments["channels"]:
            raise CheckpointError(
                f"`{state.name}` must have the generator's channels {arguments['channels']} at 4, 8, ... pixels, got "
                f"{channels}. Save the generator alone and convert that."
            )
        with torch.device("meta"):
            shapes = _shapes(
                ImageDiscriminator(
                    image_size=arguments["image_size"], image_channels=arguments["image_channels"], channels=channels
                )
            )
        taken = state.take(self.layout.discriminator_rules(num_blocks=len(channels) - 1), shapes)
        self.layout.drop_buffers(state)
        return taken

    def _pair_discriminator(self, image_channels: int, num_classes: int) -> tuple[State, dict[str, Any]]:
        state = self._foreign("d_pair")
        arguments = semanticgan.pair_discriminator_arguments(state)
        with torch.device("meta"):
            shapes = _shapes(
                MultiscaleDiscriminator(image_channels=image_channels, num_classes=num_classes, **arguments)
            )
        return state.take(semanticgan.pair_discriminator_rules(num_scales=arguments["num_scales"]), shapes), arguments

    def _encoder(self, arguments: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        state = self._foreign("encoder")
        sizes = semanticgan.encoder_arguments(state)
        with torch.device("meta"):
            encoder = OfficialEncoder(
                image_size=arguments["image_size"],
                image_channels=arguments["image_channels"],
                num_layers=2 * len(arguments["channels"]),
                w_dim=arguments["w_dim"],
                **sizes,
            )
        state.ignore(r"FPN_module\..*\.num_batches_tracked")
        taken = state.take(semanticgan.encoder_rules(encoder.head_convs), _shapes(encoder))
        return taken, {
            "encoder_kind": "official",
            "encoder_channels": sizes["channels"],
            "head_channels": sizes["head_channels"],
        }

    def _labels(
        self,
        states: dict[str, State],
        arguments: dict[str, Any],
        own_classes: int | None,
        kept_classes: int | None,
        num_classes: int | None,
    ) -> None:
        generator = states["generator"]
        if kept_classes is not None:
            if own_classes == 1:
                two_label_channels(generator, states.get("d_pair"))
            return
        assert num_classes is not None
        heads = fresh_label_heads(
            arguments["channels"], num_classes=num_classes, w_dim=arguments["w_dim"], seed=self.seed
        )
        dtype = generator["synthesis.const"].dtype
        generator |= {key: tensor.to(dtype) for key, tensor in heads.items()}
        self.fresh.append(f"label heads for {num_classes} classes")
        if own_classes is not None:
            self.ignored.append(f"label heads for {own_classes} classes")
            if "d_pair" in self.found:
                self.ignored.append(f"{self.found['d_pair'].name} (judges {own_classes} classes)")

    def _mean(self, generator: State, arguments: dict[str, Any]) -> None:
        if "mapping.latent_avg" in generator:
            return
        given, w_dim = self.latent_avg, arguments["w_dim"]
        if isinstance(given, torch.Tensor) and given.numel() == w_dim and bool(torch.isfinite(given).all()):
            generator["mapping.latent_avg"] = given.detach().reshape(w_dim).to(generator["synthesis.const"].dtype)
            return
        if given is not None:
            raise CheckpointError(f"`{LATENT_AVG}` in `{self.source}` must be {w_dim} finite numbers. Leave it out.")
        sizes = {key: arguments[key] for key in ("z_dim", "w_dim", "num_mapping_layers")}
        generator["mapping.latent_avg"] = mean_style(generator, **sizes, seed=self.seed)
        self.fresh.append("the mean of w, estimated from the mapping network")


def _shapes(network: nn.Module) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
