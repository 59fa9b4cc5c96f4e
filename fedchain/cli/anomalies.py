"""`fedchain anomalies`: what the chain holds against whom in a job, in order."""

from __future__ import annotations

from typing import Annotated

import typer

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    JobIdArgument,
    Rpc,
    known_job,
    opened,
)
from fedchain.cli.output import print_json, print_rows
from fedchain.errors import ConfigError


def anomalies(
    job: JobIdArgument,
    party: Annotated[str, typer.Option("--party", metavar="NAME", help="About this participant only.")] = "",
    category: Annotated[
        str,
        typer.Option("--category", metavar="NAME", help="Of this category only, such as provable or statistical."),
    ] = "",
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show a job's anomalies as a timeline: rejected uplinks, faults, flags, votes, overturned faults, strikes, aborts.

    Whose fault an entry is, `fedchain audit` says: an uplink that was overtaken, for example, is nobody's. Why a party
    ended the job, or disputes its settlement, is what that party claims.

    Example: fedchain anomalies 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.node.anomalies import CATEGORIES, NOBODYS_MARK, counts_by_party, read_anomalies
    from fedchain.node.audit.names import Names
    from fedchain.node.reporting.words import utc

    if category and category not in CATEGORIES:
        raise ConfigError(f"--category {category}: there are {', '.join(CATEGORIES)}")
    with opened(rpc, deployment) as consortium:
        view = known_job(consortium, job)
        name_of = Names(consortium)
        roster = [name_of(address) for address in view.roster]
        found = read_anomalies(consortium, view.job_id)
    if party and party not in (*roster, *(one.party for one in found)):
        raise ConfigError(f"--party {party}: the job's parties are {', '.join(roster)}")
    shown = [one for one in found if party in ("", one.party) and category in ("", one.category)]
    counts = counts_by_party(shown, [party] if party else roster)
    if as_json:
        print_json(
            {
                "job_id": view.job_id,
                "phase": view.phase.name.lower(),
                "parties": {name: dict(count) for name, count in counts.items()},
                "anomalies": [one.as_dict() for one in shown],
            }
        )
        return
    title = (
        f"{len(shown)} {'entry' if len(shown) == 1 else 'entries'} about job {view.job_id}, {view.phase.name.lower()}"
    )
    if not shown:
        print(title)
        return
    print_rows(
        title,
        ("time (UTC)", "block", "category", "what", "party", "reason", "detail"),
        [
            (utc(one.time), one.block, one.category, one.what.replace("_", " "), one.party, one.reason, one.detail)
            for one in shown
        ],
    )
    columns = [one for one in CATEGORIES if one not in NOBODYS_MARK]
    print_rows(
        "incidents by party",
        ("party", *columns),
        [(name, *(count[one] or "-" for one in columns)) for name, count in counts.items()],
    )
