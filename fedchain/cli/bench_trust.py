"""`fedchain bench contribution` and `fedchain bench anomaly`: what trust between parties costs, and what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.benching import Threads, numbers, print_report
from fedchain.cli.options import AsJson
from fedchain.cli.output import note


def contribution(
    rows: Annotated[int, typer.Option("--rows", min=400, metavar="N", help="Held-out rows of the timed models.")] = (
        6000
    ),
    trees: Annotated[int, typer.Option("--trees", min=1, help="Of the timed models.")] = 50,
    depth: Annotated[int, typer.Option("--depth", min=1, max=8, help="Of each tree.")] = 5,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder of real tables: telco/, fate/.", show_default=False),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="N,N,…", help="Hold-outs that are compared with retraining.")
    ] = "42,43,44,45,46",
    gas: Annotated[bool, typer.Option("--gas/--no-gas", help="Measure settlements on an embedded chain.")] = True,
    as_json: AsJson = False,
) -> None:
    """Seconds and gas of contribution scores and their audit, and how far they are from those of retraining.

    Without --data, made-up tables of three parties. Everything it starts is stopped again.

    Example: fedchain bench contribution --json

    Example: fedchain bench contribution --data data --seeds 42,43 --no-gas
    """
    from fedchain.bench.contribution import ContributionBench, run

    bench = ContributionBench(rows, trees, depth, data, numbers("--seeds", seeds), gas)
    print_report(run(bench, on_run=note), as_json)


def anomaly(
    honest_runs: Annotated[int, typer.Option("--honest-runs", metavar="N", help="Jobs of honest parties.")] = 200,
    fault_runs: Annotated[int, typer.Option("--fault-runs", metavar="N", help="Jobs with each fault.")] = 40,
    free_rider_runs: Annotated[
        int, typer.Option("--free-rider-runs", metavar="N", help="Jobs with each kind of free rider.")
    ] = 200,
    audits: Annotated[
        int, typer.Option("--audits", metavar="N", help="Audits of contributions with tampered rows.")
    ] = 300,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of all that is drawn; 1 is the one that was tuned with.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="FAULT", help="This fault, honest or audits; repeatable.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="FILE", help="Keeps each run; what is in it is not run again.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Start no run after so long: a part, with --resume.")
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How often each fault of the injector is found, and honest parties are not: whole jobs before the real contracts.

    A quarter of an hour on two cores. The chain is in the process; nothing is sent.

    Example: fedchain bench anomaly --json

    Example: fedchain bench anomaly --resume runs.txt --seconds 60

    Example: fedchain bench anomaly --only dropped_rows --only honest --honest-runs 20 --json
    """
    from fedchain.bench.anomaly import DEFAULT_SEED, AnomalyBench, run

    bench = AnomalyBench(
        honest_runs=honest_runs,
        fault_runs=fault_runs,
        free_rider_runs=free_rider_runs,
        audits=audits,
        seed=DEFAULT_SEED if seed is None else seed,
        only=tuple(only or ()),
    )
    print_report(run(bench, resume=resume, seconds=seconds, workers=threads, on_run=note), as_json)
