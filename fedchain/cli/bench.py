"""`fedchain bench`: numbers, each from a command that anybody can repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import print_json, print_pairs

app = typer.Typer(name="bench", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Measure. With --json each prints {"settings": …, "metrics": …}.

    Example: fedchain bench boosting --active active.csv --passive passive.csv --json
    """


@app.command()
def boosting(
    active: Annotated[Path, typer.Option("--active", metavar="FILE", help="Active party's CSV.", show_default=False)],
    passive: Annotated[
        list[Path],
        typer.Option("--passive", metavar="FILE", help="A passive party's CSV; repeatable.", show_default=False),
    ],
    id_column: Annotated[str, typer.Option("--id", metavar="COLUMN", help="Id column.")] = "id",
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="Label column, at the active party.")] = "y",
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="As in a job file.")] = "standard",
    depth: Annotated[int, typer.Option("--depth", help="Of each tree.")] = 3,
    trees: Annotated[int, typer.Option("--trees", help="How many.")] = 10,
    bins: Annotated[int, typer.Option("--bins", help="Value bins per column.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Shrinks each tree.")] = 0.3,
    holdout_seed: Annotated[int, typer.Option("--holdout-seed", help="Of the stratified 20 % hold-out.")] = 42,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=1024, metavar="N", help="Workers; default: one per core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seconds per tree of a whole federation in this process: no chain, no network.

    Example: fedchain bench boosting --active active.csv --passive passive.csv --id id --label y --trees 10 --json
    """
    from fedchain.bench.boosting import BoostingBench, run
    from fedchain.cli.progress import StageBars

    bench = BoostingBench(
        active=active,
        passive=passive,
        id=id_column,
        label=label,
        mode=mode,
        depth=depth,
        trees=trees,
        bins=bins,
        learning_rate=learning_rate,
        holdout_seed=holdout_seed,
    )
    with StageBars() as bars:
        report = run(bench, on_stage=bars.on_stage, threads=threads)
    if as_json:
        print_json(report.as_json())
    else:
        print_pairs("settings", report.settings.items())
        print_pairs("metrics", report.metrics.items())
