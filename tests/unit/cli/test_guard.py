"""Errors become one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner, Result

from fedchain.cli.guard import EXIT_INTERNAL, EXIT_INTERRUPTED, SETTINGS, Guarded
from fedchain.errors import ChainUnreachableError, ConfigError, FedchainError, JobAbortedError

Raiser = Callable[[BaseException], Callable[..., Result]]


@pytest.fixture
def raising() -> Raiser:
    def make(error: BaseException) -> Callable[..., Result]:
        app = typer.Typer(cls=Guarded, pretty_exceptions_enable=False)

        @app.callback()
        def common(debug: bool = typer.Option(False, "--debug"), log_json: bool = typer.Option(False)) -> None:
            SETTINGS.debug = debug

        @app.command()
        def fail(text: str = "") -> None:
            raise error

        return lambda *arguments: CliRunner().invoke(app, list(arguments))

    return make


@pytest.mark.parametrize(
    "error", [ConfigError("a.toml: no key 'b'"), ChainUnreachableError("nobody there"), JobAbortedError("by c")]
)
def test_errors_of_ours_are_one_line_with_their_own_exit_code(raising: Raiser, error: FedchainError) -> None:
    result = raising(error)("fail")
    assert result.stderr == f"error: {error}\n"
    assert result.stdout == ""
    assert result.exit_code == type(error).exit_code


def test_an_error_of_several_lines_is_shown_on_one(raising: Raiser) -> None:
    assert raising(ConfigError("first\n  second"))("fail").stderr == "error: first second\n"


def test_an_unexpected_exception_is_an_internal_error(raising: Raiser) -> None:
    result = raising(KeyError("x"))("fail")
    assert result.stderr == "internal error: KeyError: 'x'; run again with --debug\n"
    assert result.exit_code == EXIT_INTERNAL


def test_interruption_ends_with_130(raising: Raiser) -> None:
    result = raising(KeyboardInterrupt())("fail")
    assert result.stderr == "interrupted\n"
    assert result.exit_code == EXIT_INTERRUPTED


@pytest.mark.parametrize("arguments", [("--debug", "fail"), ("fail", "--debug")])
@pytest.mark.parametrize("error", [ConfigError("wrong"), KeyError("x")])
def test_debug_shows_the_traceback_before_the_line(
    raising: Raiser, error: Exception, arguments: tuple[str, ...]
) -> None:
    result = raising(error)(*arguments)
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.splitlines()[-1].startswith(("error: wrong", "internal error: KeyError"))


def test_debug_of_one_run_does_not_outlive_it(raising: Raiser) -> None:
    run = raising(ConfigError("wrong"))
    run("fail", "--debug")
    assert "Traceback" not in run("fail").stderr


def test_after_two_dashes_debug_is_an_argument_like_any_other(raising: Raiser) -> None:
    result = raising(ConfigError("wrong"))("fail", "--", "--debug")
    assert "unexpected extra argument" in result.stderr.lower()
    assert result.exit_code == 2


def test_usage_errors_stay_with_2(raising: Raiser) -> None:
    result = raising(ConfigError("wrong"))("fail", "--nonsense")
    assert result.exit_code == 2
    assert "--nonsense" in result.stderr
    assert result.stdout == ""
