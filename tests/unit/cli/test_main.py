# SPDX-License-Identifier: Apache-2.0
"""The command ``semigan``: its list of commands, its exit codes, and what it writes where."""

from __future__ import annotations

import errno
import importlib.util
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner
from stylegan_checkout import write_checkout

from monai_semigan import __version__
from monai_semigan.cli import main as main_module
from monai_semigan.cli.main import COMMANDS, cli, main
from monai_semigan.cli.output import progress_bar, text_table
from monai_semigan.errors import InputError
from monai_semigan.ops.backend import _process, resolve_backend

Outcome = Callable[[], int | None]


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    logger = logging.getLogger("monai_semigan")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run ``semigan OPTIONS info`` with a body of the test's, and return the exit code."""

    def run(outcome: Outcome, *options: str) -> int:
        command = click.Command("info", callback=outcome)
        monkeypatch.setattr(main_module, "import_module", lambda _: type("module", (), {"command": command}))
        with pytest.raises(SystemExit) as stop:
            main([*options, "info"])
        return int(stop.value.code or 0)

    return run


def fail_with(error: BaseException) -> Outcome:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])

    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cli {name}")


def test_help_lists_the_commands_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "import_module", fail_with(AssertionError("imported")))

    result = CliRunner().invoke(cli, ["--help"])

    assert result.exit_code == 0
    assert all(f"  {name} " in result.stdout and text in result.stdout for name, text in COMMANDS.items())


def test_the_commands_are_the_modules_that_have_one() -> None:
    assert all(importlib.util.find_spec(main_module.module_of(name)) for name in COMMANDS)


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])

    assert stop.value.code == 0
    assert capsys.readouterr().out.strip().endswith(__version__)


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_exit_code_is_what_the_command_returns(run, returned: int | None, code: int) -> None:
    assert run(lambda: returned) == code


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_a_known_error_is_one_line_and_exit_code_1(run, capsys: pytest.CaptureFixture[str], options) -> None:
    assert run(fail_with(InputError("`x.png` must be an image.")), *options) == 1

    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: `x.png` must be an image.\n")


@pytest.mark.parametrize("options", [("-vv",), ("-v", "-v"), ("-vvv",), ("--verbose", "--verbose")])
def test_twice_verbose_shows_the_traceback(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.Command("info", callback=fail_with(InputError("`x.png` must be an image.")))
    monkeypatch.setattr(main_module, "import_module", lambda _: type("module", (), {"command": command}))

    with pytest.raises(InputError):
        main([*options, "info"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_exit_code_130(run, capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    assert run(fail_with(error)) == 130

    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_closed_pipe_ends_without_a_word(run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail_with(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == 1

    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["segment"], ["info", "--nonsense"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)

    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Usage: semigan")


def test_the_options_of_the_ops_hold_for_the_command_and_end_with_it(run, tmp_path: Path, monkeypatch) -> None:
    checkout = write_checkout(tmp_path, "StyleGAN3")
    seen = []

    def look() -> None:
        seen.append((resolve_backend("bias_act", torch.zeros(1)), _process.checkout))

    assert run(look, "--op-backend", "reference", "--stylegan-ops", str(checkout)) == 0
    monkeypatch.setenv("SEMIGAN_STYLEGAN_OPS", str(checkout))
    assert run(look) == 0

    assert seen == [("reference", checkout), ("torch", checkout)]
    assert resolve_backend("bias_act", torch.zeros(1)) == "torch" and _process.checkout is None


def test_an_unknown_backend_is_refused_with_the_known_ones(run, capsys) -> None:
    assert run(lambda: None, "--op-backend", "fast") == 2

    assert "reference" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--stylegan-ops", "nowhere"]])
def test_stylegan_without_a_checkout_is_one_line(run, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert run(lambda: None, "--op-backend", "stylegan", *options) == 1

    err = capsys.readouterr().err
    assert err.startswith("error: ") and "StyleGAN2-ADA-PyTorch or StyleGAN3" in err and err.count("\n") == 1


def test_info_reports_a_checkout_that_cannot_be_used(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["--stylegan-ops", str(tmp_path), "info"])

    assert result.exit_code == 0
    assert f"`{tmp_path}` must be a checkout of StyleGAN2-ADA-PyTorch or StyleGAN3" in result.stdout
    assert "  torch: cpu: runs" in result.stdout


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


def draw_two() -> None:
    with progress_bar("train", unit=" kimg", divisor=1000) as progress:
        progress(0, 2000)
        progress(2000, 2000)


def test_the_bar_is_drawn_for_a_terminal(run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    run(draw_two)

    assert "train [" in terminal.text and "2.0/2.0 kimg" in terminal.text
    assert terminal.text.endswith("\n")


def test_the_bar_is_not_drawn_when_quiet(run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    run(draw_two, "--quiet")

    assert terminal.text == ""


def test_the_bar_is_not_drawn_into_a_file(run, capsys: pytest.CaptureFixture[str]) -> None:
    run(draw_two)

    assert capsys.readouterr().err == ""


def test_tables_align_text_left_and_numbers_right() -> None:
    table = text_table(("case", "dice"), [("a", 0.5), ("longer", None), ("b", 10.25)])

    assert table.splitlines() == ["case      dice", "a        0.500", "longer       -", "b       10.250"]
