"""What the commands of `fedchain bench` have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.output import print_json, print_pairs
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.bench.report import BenchReport

Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, metavar="N", help="Workers; default: one per core.")
]


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers with commas between.

    Raises:
        ConfigError: they are not; names the option.
    """
    try:
        return tuple(int(one) for one in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} is '{text}'; give whole numbers with commas between, as in 42,43") from None


def print_report(report: BenchReport, as_json: bool) -> None:
    """What a benchmark found, as JSON or line by line."""
    if as_json:
        print_json(report.as_json())
    else:
        print_pairs("settings", report.settings.items())
        print_pairs("metrics", report.metrics.items())
