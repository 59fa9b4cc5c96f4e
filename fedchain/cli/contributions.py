"""`fedchain contributions`: who contributed how much, as the contract has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.history import show_history
from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    Rpc,
    known_job,
    opened,
)
from fedchain.cli.output import print_json
from fedchain.cli.shares import show_contributions, show_verification
from fedchain.errors import AuditError, ConfigError


def contributions(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="Job id; with --history a party's name, or nothing for all parties.")
    ] = "",
    history: Annotated[
        bool, typer.Option("--history", help="Show contributions, audits and points over all jobs instead.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute all that can be; exit code 1 on a mismatch.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="With --verify: a node's state folder, for what was opened to it."),
    ] = None,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show each party's contribution to a job's model: shares, their audit, points; and recompute them.

    Shares are Shapley values over parties of the model's gain on the held-out rows; they sum to the whole gain. Split
    gain stands beside them for comparison alone: whoever has many columns of noise gets a part of it.

    Example: fedchain contributions 0x5c…e1 --verify --state state --deployment deployment.json
    """
    if history:
        show_history(job, rpc, deployment, as_json=as_json)
        return
    if not job:
        raise ConfigError("name a job; or give --history for all jobs")
    from fedchain.node.contribution_checks import verify_contributions
    from fedchain.node.contributions import read_contributions

    if state is not None and not verify:
        raise ConfigError("--state goes with --verify: it is what a node keeps that is checked")
    verified = None
    with opened(rpc, deployment) as consortium:
        found = read_contributions(consortium, known_job(consortium, job))
        if verify:
            verified = verify_contributions(consortium, found, state)
    if as_json:
        print_json(found.as_dict() | ({} if verified is None else {"verification": verified.as_dict()}))
    else:
        show_contributions(found)
        if verified is not None:
            show_verification(verified)
    if verified is not None and not verified.holds:
        first = verified.checks.mismatches[0]
        more = f" (and {len(verified.checks.mismatches) - 1} more)" if len(verified.checks.mismatches) > 1 else ""
        raise AuditError(f"job {found.job_id}: {first.check}: {first.detail}{more}")
