"""`fedchain contributions`: who contributed how much, as the contract has it."""

from __future__ import annotations

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
from fedchain.cli.output import print_json, print_rows
from fedchain.errors import ConfigError

_E6 = 1_000_000


def contributions(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="Job id; with --history a party's name, or nothing for all parties.")
    ] = "",
    history: Annotated[
        bool, typer.Option("--history", help="Show contributions, audits and points over all jobs instead.")
    ] = False,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show each party's contribution to a job's model, read back from the contribution ledger.

    Shares are Shapley values over parties of the model's gain on the held-out rows; they sum to the whole gain.

    Example: fedchain contributions 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    if history:
        show_history(job, rpc, deployment, as_json=as_json)
        return
    if not job:
        raise ConfigError("name a job; or give --history for all jobs")
    from fedchain.node.contributions import read_contributions

    with opened(rpc, deployment) as consortium:
        found = read_contributions(consortium, known_job(consortium, job))
    if as_json:
        print_json(found.as_dict())
        return
    print_rows(
        f"job {found.job_id}, block {found.block}: utility (minus squared error) {found.empty_e6 / _E6:.6f} "
        f"of nobody, {found.full_e6 / _E6:.6f} of all",
        ("party", "gain", "share"),
        [(name, f"{share / _E6:+.6f}", f"{found.parts[name]:.1%}") for name, share in found.shares_e6.items()],
    )
