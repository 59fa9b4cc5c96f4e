"""`fedchain bench`: numbers, each from a command that anybody can repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.bench_trust import anomaly, contribution
from fedchain.cli.benching import Threads, numbers, print_report
from fedchain.cli.options import AsJson
from fedchain.cli.output import note, print_json, print_pairs
from fedchain.errors import ConfigError

app = typer.Typer(name="bench", no_args_is_help=True)

Active = Annotated[
    Path | None, typer.Option("--active", metavar="FILE", help="Active party's CSV.", show_default=False)
]
Passive = Annotated[
    list[Path] | None,
    typer.Option("--passive", metavar="FILE", help="A passive party's CSV; repeatable.", show_default=False),
]
Id = Annotated[str, typer.Option("--id", metavar="COLUMN", help="Id column.")]
Label = Annotated[str, typer.Option("--label", metavar="COLUMN", help="Label column, at the active party.")]
ActiveFeatures = Annotated[
    int | None, typer.Option("--active-features", metavar="N", help="Made-up columns of the active party.")
]
PassiveFeatures = Annotated[
    list[int] | None,
    typer.Option("--passive-features", metavar="N", help="Made-up columns of a passive party; repeatable."),
]
Bins = Annotated[int, typer.Option("--bins", help="Value bins per column.")]
LearningRate = Annotated[float, typer.Option("--learning-rate", help="Shrinks each tree.")]


@app.callback()
def group() -> None:
    """Measure. With --json each prints {"settings": …, "metrics": …}.

    Example: fedchain bench boosting --active active.csv --passive passive.csv --json
    """


@app.command()
def boosting(
    active: Active = None,
    passive: Passive = None,
    id_column: Id = "id",
    label: Label = "y",
    rows: Annotated[int | None, typer.Option("--rows", metavar="N", help="Make up so many rows, for no files.")] = None,
    active_features: ActiveFeatures = None,
    passive_features: PassiveFeatures = None,
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="layered, standard or mix.")] = "standard",
    objective: Annotated[str, typer.Option("--objective", metavar="NAME", help="As in a job file.")] = "binary",
    classes: Annotated[int | None, typer.Option("--classes", metavar="K", help="With multiclass.")] = None,
    depth: Annotated[int, typer.Option("--depth", help="Of each tree.")] = 3,
    growth: Annotated[str, typer.Option("--growth", metavar="HOW", help="depth_wise or leaf_wise.")] = "depth_wise",
    max_leaves: Annotated[
        int | None, typer.Option("--max-leaves", metavar="N", help="Of each tree, with leaf_wise; default 31.")
    ] = None,
    trees: Annotated[int, typer.Option("--trees", help="How many.")] = 10,
    bins: Bins = 32,
    learning_rate: LearningRate = 0.3,
    holdout_seed: Annotated[int, typer.Option("--holdout-seed", help="Of the stratified 20 % hold-out.")] = 42,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="N,N,…", help="Several hold-out seeds: a job for each, and means.")
    ] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Seconds per tree of a whole federation in this process: no chain, no network.

    Example: fedchain bench boosting --active active.csv --passive passive.csv --id id --label y --trees 10 --json

    Example: fedchain bench boosting --rows 100000 --active-features 10 --passive-features 12 --mode layered --json
    """
    from fedchain.bench.boosting import BoostingBench, run
    from fedchain.bench.jobs import source_of
    from fedchain.cli.progress import StageBars

    files = (active, passive or (), id_column, label)
    bench = BoostingBench(
        source_of(files, rows, active_features, passive_features or (), objective=objective, classes=classes),
        mode=mode,
        objective=objective,
        classes=classes,
        depth=depth,
        growth=growth,
        max_leaves=max_leaves,
        trees=trees,
        bins=bins,
        learning_rate=learning_rate,
        seeds=(holdout_seed,) if seeds is None else numbers("--seeds", seeds),
    )
    with StageBars() as bars:
        report = run(bench, on_stage=bars.on_stage, on_run=note if seeds is not None else None, threads=threads)
    print_report(report, as_json)


@app.command()
def leakage(
    active: Active = None,
    passive: Passive = None,
    id_column: Id = "id",
    label: Label = "y",
    rows: Annotated[int | None, typer.Option("--rows", metavar="N", help="Rows; 4000 if made up, else all.")] = None,
    active_features: ActiveFeatures = None,
    passive_features: PassiveFeatures = None,
    depth: Annotated[int, typer.Option("--depth", help="Of each tree.")] = 5,
    trees: Annotated[int, typer.Option("--trees", help="How many.")] = 20,
    bins: Bins = 32,
    learning_rate: LearningRate = 0.3,
    known: Annotated[int, typer.Option("--known", metavar="N", help="Labels that the attacker knows.")] = 200,
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,N,…", help="A run of each mode for each.")] = "42,43,44",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How well a passive party can tell labels from what it received, in each mode: AUC of a few-shot attack.

    Example: fedchain bench leakage --json

    Example: fedchain bench leakage --active active.csv --passive passive.csv --rows 5000 --json
    """
    from fedchain.bench.jobs import source_of
    from fedchain.bench.leakage import LeakageBench, run

    files = (active, passive or (), id_column, label)
    if active is None and not passive:
        made_up = (rows or 4000, 6 if active_features is None else active_features, passive_features or (4, 4))
        source = source_of(files, *made_up)
    else:
        source = source_of(files, None, active_features, passive_features or ())
    bench = LeakageBench(
        source,
        rows=rows,
        depth=depth,
        trees=trees,
        bins=bins,
        learning_rate=learning_rate,
        known=known,
        seeds=numbers("--seeds", seeds),
    )
    print_report(run(bench, on_run=note, threads=threads), as_json)


@app.command()
def exchange(
    active: Active = None,
    passive: Passive = None,
    id_column: Id = "id",
    label: Label = "y",
    rows: Annotated[int | None, typer.Option("--rows", metavar="N", help="Made-up rows; 30000 by default.")] = None,
    active_features: ActiveFeatures = None,
    passive_features: PassiveFeatures = None,
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="strict or pipelined.")] = "strict",
    chain: Annotated[str, typer.Option("--chain", metavar="KIND", help="embedded, anvil or ganache.")] = "anvil",
    block_time: Annotated[
        float, typer.Option("--block-time", min=0, metavar="S", help="Seconds between blocks; 0 mines at once.")
    ] = 0.0,
    boosting_mode: Annotated[
        str, typer.Option("--boosting-mode", metavar="MODE", help="Of the trees: layered, standard or mix.")
    ] = "standard",
    depth: Annotated[int, typer.Option("--depth", help="Of each tree.")] = 5,
    trees: Annotated[int, typer.Option("--trees", help="How many.")] = 10,
    bins: Bins = 32,
    threads: Threads = None,
    fill_pools: Annotated[
        bool, typer.Option("--fill-pools", help="Make work ahead in idle time, with and without a chain.")
    ] = False,
    payload_mb: Annotated[int, typer.Option("--payload-mb", min=1, max=1000, help="Of the measured payloads.")] = 200,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats", metavar="N", help="Runs over the chain; their median counts. Default 3, with a block time 1."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What the chain costs: a job with real nodes over a chain, beside the same job simulated without one.

    Without tables it makes up 30,000 rows of 13 + 10 columns. Everything it starts is stopped again.

    Example: fedchain bench exchange --mode pipelined --chain anvil --block-time 1 --json

    Example: fedchain bench exchange --rows 2000 --trees 3 --chain embedded
    """
    from fedchain.bench.exchange import DEFAULT_CREDIT, ExchangeBench, run
    from fedchain.bench.jobs import source_of

    files = (active, passive or (), id_column, label)
    if active is None and not passive:
        shape = DEFAULT_CREDIT
        source = source_of(
            files,
            shape.rows if rows is None else rows,
            shape.active_features if active_features is None else active_features,
            passive_features or shape.passive_features,
        )
    else:
        source = source_of(files, rows, active_features, passive_features or ())
    bench = ExchangeBench(
        source,
        mode=mode,
        chain=chain,
        block_seconds=block_time,
        boosting_mode=boosting_mode,
        depth=depth,
        trees=trees,
        bins=bins,
        threads=threads,
        fill_pools=fill_pools,
        payload_bytes=payload_mb * 10**6,
        repeats=repeats,
    )
    print_report(run(bench, note), as_json)


@app.command()
def psi(
    rows: Annotated[str, typer.Option("--rows", metavar="N[,N…]", help="Ids of each party; several: a table.")] = (
        "100000"
    ),
    parties: Annotated[str, typer.Option("--parties", metavar="P[,P…]", help="2 to 8; several: a table.")] = "2",
    overlap: Annotated[float, typer.Option("--overlap", metavar="SHARE", help="Of ids that all parties have.")] = 0.5,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, max=1024, metavar="N", help="Workers of each party; default: the cores, shared out."
        ),
    ] = None,
    pad_to: Annotated[
        str | None, typer.Option("--pad-to", metavar="N", help="As in a job file: a number, or power_of_two.")
    ] = None,
    proven: Annotated[bool, typer.Option("--proven", help="With proven blindings, as in a job file.")] = False,
    cached_rows: Annotated[
        int | None,
        typer.Option(
            "--cached-rows", metavar="N", help="Ids of a larger side whose set is cached; --rows are the smaller one's."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seconds and memory of an alignment between real party processes, beside its curve multiplications alone.

    With --cached-rows: two jobs of a set epoch, beside the ring over the same two sets.

    Example: fedchain bench psi --rows 100000 --parties 2 --json

    Example: fedchain bench psi --rows 10000,100000,1000000

    Example: fedchain bench psi --rows 20000 --cached-rows 1000000 --json
    """
    from fedchain.bench.psi import PsiBench, run, table

    padding = int(pad_to) if pad_to is not None and pad_to.isdecimal() else pad_to
    if not (padding is None or padding == "power_of_two" or (isinstance(padding, int) and padding > 1)):
        raise ConfigError(f"--pad-to {pad_to}: choose a number from 2, or power_of_two")
    if cached_rows is not None:
        from fedchain.bench import psi_cached

        if parties != "2" or not rows.isdecimal():
            raise ConfigError("--cached-rows goes with two parties and one number of --rows, the smaller side's")
        cached = psi_cached.CachedPsiBench(int(rows), cached_rows, overlap, threads, padding, proven)
        print_report(psi_cached.run(cached, note), as_json)
        return
    benches = [
        PsiBench(count, several, overlap, threads, padding, proven)
        for several in numbers("--parties", parties)
        for count in numbers("--rows", rows)
    ]
    if len(benches) == 1:
        print_report(run(benches[0], note), as_json)
        return
    for bench in benches:
        bench.check()
    lines = table(benches, note)
    if as_json:
        print_json({"rows": lines})
        return
    for line in lines:
        print_pairs(f"{line['rows']:.0f} ids, {line['parties']:.0f} parties", line.items())


@app.command()
def inference(
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="online, strict or batch.")] = "online",
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="Rows that train the model.")] = 4000,
    trees: Annotated[int, typer.Option("--trees", help="How many.")] = 50,
    depth: Annotated[int, typer.Option("--depth", help="Of each tree.")] = 5,
    clients: Annotated[int, typer.Option("--clients", metavar="N", help="That ask at a time.")] = 1,
    rate: Annotated[
        float, typer.Option("--rate", metavar="R", help="Requests per second, answered or not, instead of clients.")
    ] = 0.0,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="How long is measured.")] = 20.0,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", metavar="N", help="Ids in the file of a batch.")
    ] = 2_000_000,
    chain: Annotated[str, typer.Option("--chain", metavar="KIND", help="embedded, anvil or ganache.")] = "anvil",
    block_time: Annotated[
        float, typer.Option("--block-time", min=0, metavar="S", help="Seconds between blocks; 0 mines at once.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the ids asked for.")] = 42,
    as_json: AsJson = False,
) -> None:
    """How fast a model of three parties answers, by real nodes, beside bare connections through as many processes.

    Trains the model first, on few made-up rows. Everything it starts is stopped again.

    Example: fedchain bench inference --mode online --clients 32 --json

    Example: fedchain bench inference --mode online --rate 150 --json

    Example: fedchain bench inference --mode batch --chain embedded --block-time 0
    """
    from fedchain.bench.inference import InferenceBench, run

    bench = InferenceBench(
        mode=mode,
        rows=rows,
        trees=trees,
        depth=depth,
        clients=clients,
        rate=rate,
        seconds=seconds,
        batch_rows=batch_rows,
        chain=chain,
        block_seconds=block_time,
        seed=seed,
    )
    print_report(run(bench, note), as_json)


app.command()(contribution)
app.command()(anomaly)
