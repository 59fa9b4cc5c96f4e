"""`fedchain demo`: the whole job on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import console, note, print_json, print_pairs

if TYPE_CHECKING:
    from fedchain.demo.report import DemoReport


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Folder with one <party name>.csv or .parquet per party; default: built in."
        ),
    ] = None,
    job: Annotated[
        Path | None,
        typer.Option("--job", metavar="FILE", help="Job file; default: nodes/examples/<name of DIR>/job.toml."),
    ] = None,
    chain: Annotated[
        str,
        typer.Option(
            "--chain", metavar="KIND|URL", help="embedded, anvil or ganache; or a running development chain's address."
        ),
    ] = "embedded",
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="Where the numbers go.")] = Path(
        "demo-report.json"
    ),
    workdir: Annotated[
        Path | None, typer.Option("--workdir", metavar="DIR", help="Keep chain, nodes and logs in this new folder.")
    ] = None,
    holdout_seed: Annotated[
        int | None, typer.Option("--holdout-seed", min=0, metavar="N", help="Instead of the job's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole job for real: a chain, the contracts, one node process per party, one model, scores.

    Everything it starts is stopped again, whatever happens. Where the extra `report` is installed, the job is drawn as
    a page, too, beside the numbers.

    Example: fedchain demo --data data/telco --report demo-report.json
    """
    from fedchain.demo.options import DemoOptions
    from fedchain.demo.progress import DemoProgress
    from fedchain.demo.run import run_demo
    from fedchain.node.reporting.page import can_draw

    options = DemoOptions(data=data, job=job, chain=chain, report=report, workdir=workdir, holdout_seed=holdout_seed)
    with DemoProgress(console(stderr=True)) as progress:
        result = run_demo(options, progress)
    note(f"wrote {report}" + (f", and {options.page}: the job as a page with pictures" if can_draw() else ""))
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        show_demo(result)


def show_demo(report: DemoReport) -> None:
    """The numbers as a table on stdout."""
    seconds = report.seconds.model_dump()
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    use = report.chain
    print_pairs(
        f"demo: {report.dataset}",
        (
            ("parties", ", ".join(report.parties)),
            ("aligned rows", f"{report.aligned_rows} ({report.holdout_rows} held out)"),
            ("trees", f"{report.trees} of depth {report.depth}, {report.mode} mode"),
            ("AUC federated", f"{report.auc_federated:.4f}"),
            ("AUC joined plaintext", f"{report.auc_plaintext:.4f} (XGBoost, what pooling all data would give)"),
            ("AUC active party alone", f"{report.auc_active_only:.4f}"),
            ("contributions", ", ".join(f"{name} {share:.1%}" for name, share in report.contributions.items())),
            ("free-rider test", ", ".join(f"{name} p {value:.3f}" for name, value in report.p_values.items()) or "-"),
            ("anomalies", ", ".join(f"{count} {name}" for name, count in report.anomalies.items()) or "none on record"),
            ("chain", f"{use.kind}: {use.transactions} transactions, {use.blocks} blocks, {use.gas:,} gas"),
            ("uplinks", f"{use.uplinks_accepted} accepted, {use.uplinks_rejected} rejected"),
            ("model digest", report.model_digest),
            ("seconds", f"{sum(seconds.values()):.1f} ({parts})"),
        ),
    )
