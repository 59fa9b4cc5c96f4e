"""`fedchain alignment`: what is on the record of alignments, and the set epochs of a node."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from fedchain.cli.options import DEFAULT_DEPLOYMENT, DEFAULT_RPC, AsJson, DeploymentFile, Rpc, opened
from fedchain.cli.output import print_json, print_rows, short

app = typer.Typer(name="alignment", no_args_is_help=True)


@app.callback()
def group() -> None:
    """See which parties aligned their ids with which, how often, and with how large sets; and a node's set epochs.

    Example: fedchain alignment record --node nodes/operator
    """


@app.command()
def record(
    node: Annotated[
        Path | None,
        typer.Option("--node", metavar="DIR", help="A node's folder: its own alignments alone, and its bounds."),
    ] = None,
    days: Annotated[float, typer.Option("--days", min=0.0, metavar="N", help="How far back to look.")] = 30.0,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """List alignments from the chain alone: each party's set size, the common ids, and runs per pair within a day.

    With --node, chain and deployment are those of its node.toml.

    Example: fedchain alignment record --deployment deployment.json --rpc http://127.0.0.1:8545 --days 7
    """
    from fedchain.node.alignments import pairs_within_a_day, read_alignments
    from fedchain.node.config import load_config

    config = None if node is None else load_config(node / "node.toml")
    if config is not None:
        rpc, deployment = config.chain.rpc, config.chain.deployment
    with opened(rpc, deployment) as consortium:
        runs = read_alignments(consortium, max(days, 1.0))
        _, now = consortium.client.block_time()
    if config is not None:
        runs = [run for run in runs if config.name in run.parties]
    pairs = pairs_within_a_day(runs, now, None if config is None else config.name)
    shown = [run for run in runs if run.time >= now - days * 86_400]
    if as_json:
        document: dict[str, Any] = {
            "runs": [run.as_dict() for run in shown],
            "within_a_day": [{"parties": list(pair), "runs": count} for pair, count in pairs.items()],
        }
        if config is not None:
            document["bounds"] = config.alignment.model_dump()
        print_json(document)
        return
    print_rows(
        f"alignments of the last {days:g} days",
        ("block", "time", "job", "ids sent", "common"),
        [
            (
                run.block,
                run.as_dict()["time"].replace("+00:00", "Z"),
                f"{run.name} {short(run.job_id)}",
                ", ".join(f"{name} {run.sizes.get(name, '-')}" for name in run.parties),
                max(run.rows.values(), default="-"),
            )
            for run in shown
        ],
    )
    most = "" if config is None else f", at most {config.alignment.max_runs_per_peer_and_day} by this node's policy"
    print_rows(
        f"runs within the last day{most}",
        ("parties", "runs"),
        [(" and ".join(pair), count) for pair, count in pairs.items()],
    )


@app.command()
def epochs(
    node: Annotated[Path, typer.Option("--node", metavar="DIR", help="The node's folder; it may run.")],
    as_json: AsJson = False,
) -> None:
    """List a node's own set epochs: with whom, until when, of how many ids, and how many evaluations are left.

    Keys are not shown. Times are UTC.

    Example: fedchain alignment epochs --node nodes/operator
    """
    from fedchain.node.config import load_config
    from fedchain.node.setepochs import SetEpochs
    from fedchain.types import PartyId

    config = load_config(node / "node.toml")
    policy = config.alignment
    kept = SetEpochs(config.state.folder, policy)
    found = kept.epochs()
    used = {one.peer: kept.evaluations.used(PartyId(one.peer), policy.epoch_days) for one in found}
    if as_json:
        lines = [
            {
                "peer": one.peer,
                "epoch": one.salt,
                "began": _time(one.began),
                "ends": _time(one.ends),
                "ids": one.ids,
                "is_whole": one.is_whole,
                "jobs": list(one.jobs),
                "evaluations": used[one.peer],
            }
            for one in found
        ]
        print_json({"epochs": lines, "bounds": policy.model_dump()})
        return
    print_rows(
        f"set epochs of {config.name}",
        ("peer", "epoch", "began", "ends", "ids", "set", "jobs", "evaluations"),
        [
            (
                one.peer,
                short(f"0x{one.salt}"),
                _time(one.began),
                _time(one.ends),
                one.ids,
                "whole" if one.is_whole else "not finished",
                len(one.jobs),
                f"{used[one.peer]} of {policy.max_evaluations_per_epoch}",
            )
            for one in found
        ],
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat().replace("+00:00", "Z")
