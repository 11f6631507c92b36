# SPDX-License-Identifier: Apache-2.0
"""``semigan watch``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from monai_semigan.workflows.watching import RunState

__all__ = ["command"]


@click.command(name="watch")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Write the page once and end.")
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def command(run: Path, once: bool, no_browser: bool) -> int:
    """Watch a training: curves, samples now and before, images seen, time to go.

    Writes watch.html into the folder of the stage that is trained, again at every tick, and opens it; the page reads
    itself again. Ctrl-C ends the watching, not the training.

    \b
    Examples:
      semigan watch runs/gan
      semigan watch runs/gan --once --no-browser
    """
    import webbrowser

    from monai_semigan.workflows.watching import read_run, watch_run, write_watch_page

    opened: set[Path] = set()

    def say(state: RunState, page: Path) -> None:
        click.echo(f"{state.kimg:.1f} thousand images; {page}")
        if page not in opened and not no_browser:
            webbrowser.open(page.absolute().as_uri())
        opened.add(page)

    if once:
        state = read_run(run)
        say(state, write_watch_page(state))
        return 0
    try:
        watch_run(run, say)
    except KeyboardInterrupt:  # the usual end
        click.echo("ended; the training goes on", err=True)
    return 0
