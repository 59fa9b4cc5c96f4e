"""`fedchain contributions`: who contributed how much, as the contract has it."""

from __future__ import annotations

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
from fedchain.cli.output import gain_shares, print_json, print_rows
from fedchain.errors import ConfigError

_E6 = 1_000_000


def contributions(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show each party's contribution to a job's model, read back from the contribution ledger.

    Shares are Shapley values over parties of the model's gain on the held-out rows; they sum to the whole gain.

    Example: fedchain contributions 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with opened(rpc, deployment) as consortium:
        view = known_job(consortium, job)
        record = consortium.contribution(view.job_id)
        if record is None:
            raise ConfigError(
                f"job {view.job_id} has no contribution recorded: it is {view.phase.name.lower()}; "
                "the active party records it when it evaluates the finished model"
            )
        names = [consortium.participant(address).name for address in record.roster]
    shares = dict(zip(names, record.shares_e6, strict=True))
    parts = gain_shares(shares)
    if as_json:
        print_json(
            {
                "job_id": view.job_id,
                "contributions": parts,
                "contributions_e6": shares,
                "utility_full_e6": record.full,
                "utility_empty_e6": record.empty,
                "block": record.block_number,
            }
        )
        return
    print_rows(
        f"job {view.job_id}, block {record.block_number}: utility (minus squared error) {record.empty / _E6:.6f} "
        f"of nobody, {record.full / _E6:.6f} of all",
        ("party", "gain", "share"),
        [(name, f"{share / _E6:+.6f}", f"{parts[name]:.1%}") for name, share in shares.items()],
    )
