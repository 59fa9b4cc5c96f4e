"""The one place where errors become a line on stderr and an exit code."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from fedchain.errors import FedchainError
from fedchain.printable import one_line

EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

_ANYWHERE = ("--debug", "--log-json")
_SIGNALS: tuple[type[BaseException], ...] = (
    typer.Exit,
    typer.Abort,
    next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException"),
)


@dataclass
class Settings:
    """What the options before the command say.

    Attributes:
        debug: errors show their traceback.
        log_level: as asked for, empty for the command's own default.
        log_json: log lines are JSON.
    """

    debug: bool = False
    log_level: str = ""
    log_json: bool = False


SETTINGS = Settings()


class Guarded(TyperGroup):
    """The root of all commands.

    Errors of ours become `error: …` and their own exit code, unexpected ones `internal error: …` and 70, Ctrl-C 130;
    usage errors stay typer's, with 2. `--debug` and `--log-json` are understood after the command as well.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        _let_flow(self)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the options before the command, with those that may stand anywhere moved to the front."""
        SETTINGS.debug, SETTINGS.log_level, SETTINGS.log_json = False, "", False
        end = args.index("--") if "--" in args else len(args)
        moved = [one for one in args[:end] if one in _ANYWHERE]
        return super().parse_args(ctx, moved + [one for one in args[:end] if one not in _ANYWHERE] + args[end:])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except _SIGNALS:
            raise
        except FedchainError as error:
            _say(f"error: {error}", error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as error:
            _say("interrupted", error)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            _say(f"internal error: {what}; run again with --debug", error)
            raise typer.Exit(EXIT_INTERNAL) from None


def _let_flow(command: Any) -> None:
    """Let the paragraphs of help texts fill the reader's terminal, and not break where they do in the source."""
    if command.help:
        command.help = re.sub(r"(?<!\n)\n(?!\n|Example:)", " ", inspect.cleandoc(command.help))
    for child in getattr(command, "commands", {}).values():
        _let_flow(child)


def _say(line: str, error: BaseException) -> None:
    if SETTINGS.debug:
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    print(one_line(line), file=sys.stderr, flush=True)
