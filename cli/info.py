# SPDX-License-Identifier: Apache-2.0
"""``semigan info``."""

from __future__ import annotations

import json

import click

from monai_semigan.cli import options

__all__ = ["command"]


@click.command(name="info")
@click.option("--path", "bundle", metavar="NAME", help="Print the folder of a shipped bundle, and nothing else.")
@options.as_json
def command(bundle: str | None, as_json: bool) -> None:
    """Show versions, devices, which op backend runs, and the shipped bundles with task, modality and terms.

    \b
    Examples:
      semigan info
      semigan info --path lung_cxr_segmentation      # for python -m monai.bundle
    """
    if bundle is not None:
        from monai_semigan.bundles import bundle_root

        click.echo(bundle_root(bundle))
        return
    import torch

    from monai_semigan.bundles import list_bundles
    from monai_semigan.ops.backend import describe_backends
    from monai_semigan.ops.precision import bfloat16_obstacle
    from monai_semigan.versions import environment

    facts: dict[str, dict[str, object]] = {
        "versions": dict(environment()),
        "devices": {
            "cpu_threads": torch.get_num_threads(),
            "bfloat16": bfloat16_obstacle(torch.device("cpu")) or "has instructions for it on the CPU",
            "cuda": [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())],
        },
        "op_backends": dict(describe_backends()),
        "bundles": {name: _describe(name) for name in list_bundles()},
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for title, entries in facts.items():
        click.echo(title.replace("_", " "))
        for name, value in entries.items():
            click.echo(f"  {name.replace('_', ' ') if title == 'devices' else name}: {_text(value)}")


def _describe(name: str) -> dict[str, str]:
    from monai_semigan.bundle.bundle import open_bundle
    from monai_semigan.bundles import bundle_root
    from monai_semigan.errors import SemiGanError

    folder = str(bundle_root(name))
    try:
        bundle = open_bundle(name)
    except SemiGanError as error:
        return {"state": f"unusable: {error}", "folder": folder}
    state = "ready"
    if bundle.weights_file is None:
        state = "no weights yet: train it first"
    elif not bundle.weights_file.is_file():
        state = "its weight file is missing: copy the complete bundle"
    return {
        "version": bundle.version,
        "state": state,
        "task": bundle.task,
        "takes": ", ".join(bundle.chains) + (" volumes" if bundle.takes_volumes else "s"),
        "terms": bundle.terms,
        "folder": folder,
        "digest": bundle.digest,
    }


def _text(value: object) -> str:
    if isinstance(value, dict):  # a bundle
        first = ", ".join(value[key] for key in ("version", "state") if key in value)
        first += f", digest {value['digest'][:12]}" if "digest" in value else ""
        about = "; ".join(value[key] for key in ("task", "takes", "terms") if key in value)
        return "\n    ".join(line for line in (first, about, value["folder"]) if line)
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)
