# SPDX-License-Identifier: Apache-2.0
"""The command ``semigan``: subcommands loaded on use, errors to one line and an exit code.

Exit codes: 0 done, 1 a known error (one line; the traceback with ``-vv``), 2 wrong usage, 3 some cases failed or copies
were found, 4 some cases were refused as out of distribution, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

import click

from monai_semigan import __version__
from monai_semigan.errors import SemiGanError
from monai_semigan.ops.backends import SHIPPED

__all__ = ["main"]

COMMANDS = {
    "segment": "Segment images with a bundle.",
    "cohort": "Segment thousands of cases, on one machine or many.",
    "dicom": "Stand beside a PACS: receive, segment, send back.",
    "view": "Open results in the browser, also large volumes.",
    "module": "Do one task as a container of mercure, XNAT or MONAI Deploy.",
    "series": "List DICOM series, and why each is taken or left.",
    "evaluate": "Score label maps against references, by case and patient.",
    "adapt": "Adapt a bundle to a hospital with a few labelled images.",
    "data": "Make a data list of your own images and masks.",
    "fit": "Train a bundle of your own on a data list, start to end.",
    "compare": "Compare methods by how many labels they need.",
    "train": "Train a generator, then its encoder, on your own images.",
    "watch": "Watch a training: curves, samples, time to go.",
    "prepare": "Make a data list of a public data set, or of drawn phantoms.",
    "convert": "Convert weights trained elsewhere to start from.",
    "pack": "Put trained weights into a bundle of your own.",
    "tune": "Find how many inversion steps a bundle needs.",
    "synthesize": "Generate images with labels: a data set without patients.",
    "interpolate": "Show the path between two images, with their labels.",
    "explain": "Show how an image's label was found, step by step.",
    "audit-memory": "Look for training images that a generator repeats.",
    "site-report": "Tell how two sites' images differ for a bundle.",
    "info": "Show versions, devices, backends and shipped bundles.",
}
"""Commands and their one-line help: the list is shown without importing any of them."""


def module_of(name: str) -> str:
    """Return the module of a command."""
    return f"monai_semigan.cli.{name.replace('-', '_')}"


class LazyGroup(click.Group):
    """Import a subcommand's module when it is called: ``semigan --help`` needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(module_of(cmd_name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="semigan")
@click.option(
    "-v", "--verbose", count=True, help="Log more; twice: with tracebacks. Before the command: semigan -vv ..."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no warnings.")
@click.option(
    "--op-backend",
    type=click.Choice(["auto", *SHIPPED]),
    default="auto",
    show_default=True,
    help="What computes the network's ops; see `semigan info`. Before the command.",
)
@click.option(
    "--stylegan-ops",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SEMIGAN_STYLEGAN_OPS",
    show_envvar=True,
    help="Your checkout of StyleGAN2-ADA-PyTorch or StyleGAN3, for --op-backend stylegan (research use only).",
)
@click.pass_context
def cli(ctx: click.Context, verbose: int, quiet: bool, op_backend: str, stylegan_ops: Path | None) -> None:
    """Segment medical images with a generator that learned images and labels together.

    \b
    Examples:
      semigan segment xray.png -b lung_cxr_segmentation -o out
      semigan evaluate --predictions out --references masks -o scores
      semigan info

    Research use only. Everything runs on this computer; nothing is sent but to a PACS or a cluster that you name.
    """
    from monai_semigan.logs import enable_logging

    usual = logging.ERROR if quiet else logging.WARNING
    enable_logging({0: usual, 1: logging.INFO}.get(verbose, logging.DEBUG))
    if op_backend != "auto" or stylegan_ops is not None:
        from monai_semigan.ops.backend import use_backend  # imports torch

        ctx.with_resource(use_backend(op_backend, checkout=stylegan_ops))


class Terminated(KeyboardInterrupt):
    """The system asked the process to end: whatever is half written is removed on the way out, as after Ctrl-C."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Threads that wait by spinning take the processor from the one they wait for when the machine is shared: tens of
    # times slower. Read when torch is loaded, hence set here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(ValueError):  # not in the main thread, as under some test runners
        signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(args=arguments, prog_name="semigan", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        is_terminated = isinstance(error.__cause__, Terminated) or isinstance(error, Terminated)  # click wraps it
        click.echo("terminated" if is_terminated else "interrupted", err=True)
        sys.exit(143 if is_terminated else 130)
    except SemiGanError as error:
        if logging.getLogger("monai_semigan").isEnabledFor(logging.DEBUG):  # -vv
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # of the terminal or the file behind it; files of ours raise errors of ours
        with contextlib.suppress(OSError):
            click.echo(f"error: the output could not be written: {error.strerror}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
