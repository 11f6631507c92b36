# SPDX-License-Identifier: Apache-2.0
"""``semigan view``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command(name="view")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--no-browser", is_flag=True, help="Print the address alone.")
def command(output: Path, no_browser: bool) -> int:
    """Open results in the browser: report and viewers of a folder that `segment`, `cohort` or `evaluate` wrote.

    Small results open without this, as plain files. It is needed for volumes that are too large for their page. Only
    this computer can reach the server (127.0.0.1), at a random port, and only who has the printed address; it gives
    nothing but the results below the folder. Ctrl-C ends it.

    \b
    Examples:
      semigan view out
      semigan view out --no-browser
    """
    import webbrowser

    from monai_semigan.workflows.viewing import ResultServer

    with ResultServer(output) as server:
        click.echo(server.address)
        click.echo("Ctrl-C ends it. The address opens the results to every program of this computer.", err=True)
        if not no_browser:
            webbrowser.open(server.address)
        try:
            server.serve()
        except KeyboardInterrupt:  # the usual end
            click.echo("ended", err=True)
    return 0
