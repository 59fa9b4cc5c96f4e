"""`fedchain`: the command and its options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fedchain.cli import (
    alignment,
    anomalies,
    audit,
    bench,
    chain,
    contributions,
    demo,
    deploy,
    fault,
    job,
    model,
    node,
    predict,
    receipt,
    report,
    settlement,
    simulate,
    steward,
    stewards,
)
from fedchain.cli.guard import SETTINGS, Guarded
from fedchain.cli.logs import LEVELS, configure_logging

app = typer.Typer(
    name="fedchain",
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"fedchain {version('fedchain')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; also after COMMAND.")] = False,
    log_level: Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="|".join(LEVELS))] = "",
    log_json: Annotated[bool, typer.Option("--log-json", help="Log as JSON lines; also after COMMAND.")] = False,
) -> None:
    """Vertical federated learning without a trusted centre: a permissioned EVM chain is the coordinator.

    Results go to stdout, progress and logs to stderr.

    Example: fedchain demo
    """
    if log_level and log_level not in LEVELS:
        raise typer.BadParameter(f"'{log_level}' is none of {', '.join(LEVELS)}", param_hint="--log-level")
    SETTINGS.debug = debug
    SETTINGS.log_level = log_level
    SETTINGS.log_json = log_json
    configure_logging(log_level or ("debug" if debug else "warning"), as_json=log_json)


for command in (demo, simulate, deploy, predict, contributions, anomalies, report, audit):
    app.command()(getattr(command, command.__name__.rpartition(".")[2]))
steward.app.command()(stewards.status)
steward.app.command()(stewards.change)
steward.app.command()(stewards.cancel)
for group in (chain, steward, fault, settlement, node, job, model, receipt, alignment, bench):
    app.add_typer(group.app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; ends the process with the command's exit code."""
    app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="fedchain")


if __name__ == "__main__":
    main()
