"""`fedchain simulate`: a whole job in this process, without a chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import note, print_json, print_pairs, size_text
from fedchain.contribution.gain import gain_shares
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.data.table import Table
    from fedchain.federation.spec import JobSpec
    from fedchain.model.shard import Shard
    from fedchain.simulation.federation import SimulationResult
    from fedchain.types import PartyId

_METRIC_WORDS = {
    "auc": "AUC",
    "mlogloss": "log loss",
    "rmse": "RMSE",
    "poisson_deviance": "Poisson deviance",
    "tweedie_deviance": "Tweedie deviance",
}


def simulate(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="Job file (job.toml).", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder with one <party name>.csv (or .parquet) per party."),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME=FILE", help="One party's CSV or Parquet file; goes before --data."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Save each party's shard as DIR/<party name>.shard.json."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="DIR", help="Shards of the model that the job continues, as of --out."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=1024, metavar="N", help="Workers; default: one per core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a job with all parties in this process, without a chain.

    The parties' code is the nodes' code: same tables, same job, same model digest. A job with \\[warm_start] needs
    --checkpoint.

    Example: fedchain simulate nodes/examples/telco/job.toml --data data/telco --json
    """
    from fedchain.cli.progress import StageBars
    from fedchain.compute.executor import Executor
    from fedchain.federation.spec import JobSpec
    from fedchain.federation.tables import read_party_table
    from fedchain.simulation.federation import simulate as run

    spec = JobSpec.from_toml(job)
    files = table_files(spec, data, table or ())
    tables = {name: read_party_table(files[name], spec, name) for name in spec.names}
    checkpoints = _checkpoints(spec, checkpoint)
    executor = Executor(threads)
    with StageBars() as bars:
        result = run(spec, tables, executor=executor, checkpoints=checkpoints, on_stage=bars.on_stage)
    saved = _save(result, out) if out is not None else None
    report = report_of(spec, tables, result)
    if saved is not None:
        report["shards"] = saved
    if as_json:
        print_json(report)
    else:
        _print(report)


def table_files(spec: JobSpec, data: Path | None, named: Sequence[str]) -> dict[PartyId, Path]:
    """Each party's file, from `--data` and `--table`.

    Raises:
        ConfigError: a party has none or several, or `--table` names no party of the job.
    """
    from fedchain.data.source import table_file

    files: dict[PartyId, Path] = {}
    for one in named:
        name, separator, path = one.partition("=")
        if not separator or not path:
            raise ConfigError(f"--table '{one}' is not NAME=FILE")
        party = next((party for party in spec.names if party == name), None)
        if party is None:
            raise ConfigError(
                f"--table '{one}': job '{spec.name}' has no party '{name}'; it has {', '.join(spec.names)}"
            )
        if party in files:
            raise ConfigError(f"--table names party '{name}' twice; give one file per party")
        files[party] = Path(path)
    missing = [name for name in spec.names if name not in files]
    if missing and data is None:
        raise ConfigError(f"no table for party {', '.join(missing)}; give --data DIR or --table {missing[0]}=FILE")
    if missing and data is not None and not data.is_dir():
        raise ConfigError(f"--data {data}: no such folder; it holds one <party name>.csv or .parquet per party")
    for name in missing:
        assert data is not None
        files[name] = table_file(data, name)
    return files


def report_of(spec: JobSpec, tables: dict[PartyId, Table], result: SimulationResult) -> dict[str, Any]:
    """What is printed. The metric is that of the held-out rows, at the active party, which has the labels.

    It is the AUC of a binary objective, else the objective's default metric; rows are not weighted.
    """
    import numpy as np

    from fedchain.training.boosting.metrics import default_metric, metric_of

    active = result.active
    table = tables[spec.names[0]]
    assert table.label is not None
    assert active.holdout_scores is not None
    assert active.shares is not None
    assert active.contribution is not None
    holdout = np.asarray(active.session.holdout, dtype=np.int64)
    labels = table.label[table.rows_of(active.session.ids)][holdout]
    shares = {str(party): share for party, share in zip(spec.names, active.shares.shares_e6, strict=True)}
    params = spec.algorithm
    name = "auc" if params.objective == "binary" else default_metric(params.objective)
    metric = metric_of(name, params.objective, tweedie_variance_power=params.tweedie_variance_power)
    return {
        "job": spec.name,
        "parties": list(spec.names),
        "rows": {
            name: {
                "with_id": len(one),
                "blank_ids": one.blank_ids,
                "unreadable_ids": one.unreadable_ids,
                "repeated_ids": one.repeated_ids,
            }
            for name, one in tables.items()
        },
        "aligned_rows": active.aligned_rows,
        "heldout_rows": len(holdout),
        "trees": len(active.shard.trees),
        "depth": params.depth,
        "mode": params.mode.value,
        "objective": params.objective,
        "metric": name,
        name: round(metric.value(labels, active.holdout_scores), 6),
        "contribution_method": spec.contribution.method,
        "contributions": gain_shares(shares),
        "contributions_e6": shares,
        "split_gain_e6": _by_name(spec, active.contribution.gains_e6),
        "p_values_e6": _by_name(spec, active.contribution.p_values_e6),
        "audit": None if active.audit is None else active.audit.outcome,
        "model_digest": active.model_digest,
        "uplinks": dict(result.traffic.uplinks),
        "payload_bytes": dict(result.traffic.payload_bytes),
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
    }


def _by_name(spec: JobSpec, values: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(map(str, spec.names), values, strict=True)) if values else {}


def _checkpoints(spec: JobSpec, folder: Path | None) -> dict[PartyId, Shard]:
    """Every party's shard of the model that the job continues.

    Raises:
        CheckpointError: the job continues a model and no folder is given, or the other way round.
        ModelFormatError: a party's file is missing or damaged.
    """
    from fedchain.errors import CheckpointError
    from fedchain.model.shard import Shard, model_digest

    if folder is None:
        if spec.warm_start.model is not None:
            raise CheckpointError(
                f"job '{spec.name}' continues model {spec.warm_start.model}; give --checkpoint DIR with its shards"
            )
        return {}
    shards = {name: Shard.load(shard_path(folder, name)) for name in spec.names}
    if spec.warm_start.model is None:
        digest = model_digest([shard.digest() for shard in shards.values()])
        raise CheckpointError(
            f"--checkpoint {folder}: job '{spec.name}' continues no model; add [warm_start] model = \"{digest}\" to it"
        )
    return shards


def shard_path(folder: Path, party: PartyId) -> Path:
    """A party's file in the folder of `--out` and `--checkpoint`."""
    return folder / f"{party}.shard.json"


def _save(result: SimulationResult, folder: Path) -> dict[str, str]:
    saved = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, outcome in result.outcomes.items():
            path = shard_path(folder, name)
            outcome.shard.save(path)
            saved[str(name)] = str(path)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written: {error.strerror}") from error
    note(f"saved {len(saved)} shards in {folder}")
    return saved


def _parts(values: dict[str, int]) -> str:
    parts = ", ".join(f"{name} {value / 1e6:.1%}" for name, value in values.items())
    return f"{parts} (gameable)" if parts else "not known"


def _print(report: dict[str, Any]) -> None:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report["contributions"].items())
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in report["seconds"].items())
    uplinks, size = sum(report["uplinks"].values()), sum(report["payload_bytes"].values())
    metric = report["metric"]
    print_pairs(
        f"job {report['job']}",
        (
            ("parties", ", ".join(report["parties"])),
            ("aligned rows", f"{report['aligned_rows']} ({report['heldout_rows']} held out)"),
            ("trees", f"{report['trees']} of depth {report['depth']}, {report['mode']} mode"),
            (f"{_METRIC_WORDS[metric]}, held-out rows", f"{report[metric]:.4f}"),
            ("contributions", f"{shares} ({report['contribution_method']})"),
            ("split gain", _parts(report["split_gain_e6"])),
            *((("audit", report["audit"]),) if report["audit"] else ()),
            ("model digest", report["model_digest"]),
            ("traffic", f"{uplinks} uplinks, {size_text(size)} of payload"),
            ("seconds", seconds),
        ),
    )
