"""`fedchain settlement`: a job's contributions as points: shown, settled, disputed, resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.acting import Acting, sends
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
from fedchain.cli.output import print_json, print_pairs, print_rows
from fedchain.cli.waiting import clock
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.chain import Consortium, JobView, Vote
    from fedchain.node.settlements import JobSettlement

app = typer.Typer(name="settlement", no_args_is_help=True)
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Public, on chain.", show_default=False)]


@app.callback()
def group() -> None:
    """Settlements of audited jobs: points by contribution, what is withheld, disputes. Nodes settle by themselves.

    Example: fedchain settlement show 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """


@app.command()
def show(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show who gets how many points of a job's budget, who does not and why, and whether that can still change.

    Example: fedchain settlement show 0x5c…e1 --deployment deployment.json
    """
    with opened(rpc, deployment) as consortium:
        view = known_job(consortium, job)
        _show(view, _read(consortium, view), as_json)


@app.command()
@sends
def conclude(job: JobIdArgument, *, by: Acting, as_json: AsJson = False) -> None:
    """Conclude a job's audit whose votes are in, or whose window is over: also of a job that was ended. Anybody may.

    The nodes of the job do it by themselves; whoever kept silent has a fault on record from then on.

    Example: fedchain settlement conclude 0x5c…e1 --keystore my-node/keystore.json --passphrase-file my-node/passphrase
    """
    from fedchain.errors import TransactionError
    from fedchain.node.settlements import read_audit

    with by.opened() as consortium:
        view = known_job(consortium, job)
        state = read_audit(consortium, view.job_id)
        if state is None:
            raise ConfigError(f"job {view.job_id} has no audit of contributions")
        if state.outcome:
            raise ConfigError(f"job {view.job_id}: its audit is concluded already: {state.outcome}")
        try:
            consortium.audits.conclude(view.job_id)
        except TransactionError as error:
            if not error.reason.startswith("NotConcludable("):
                raise
            until = f" until {clock(state.deadline)}" if state.deadline else ""
            raise ConfigError(
                f"job {view.job_id}: its audit still waits for losses, seeds or votes{until}; try again then"
            ) from error
        found = read_audit(consortium, view.job_id)
    outcome = "" if found is None else found.outcome
    if as_json:
        print_json({"job_id": view.job_id, "outcome": outcome})
    else:
        print(f"audit of job {view.job_id}: {outcome}")


@app.command()
@sends
def settle(
    job: JobIdArgument,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Settle a completed job whose audit is concluded, if its active party's node has not done so. Anybody may.

    Example: fedchain settlement settle 0x5c…e1 --keystore my-node/keystore.json --passphrase-file my-node/passphrase
    """
    with by.opened() as consortium:
        view = known_job(consortium, job)
        found = _read(consortium, view)
        if found.lines:
            raise ConfigError(f"job {view.job_id} is settled already; `fedchain settlement show` shows how")
        consortium.settlements.settle(view.job_id)
        _show(view, _read(consortium, view), as_json)


@app.command()
@sends
def dispute(
    job: JobIdArgument,
    reason: Why = "",
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Party of the job: dispute its settlement in time (`dispute_seconds`). No points count until stewards decide.

    Example: fedchain settlement dispute 0x5c…e1 --reason "our columns were cut" --keystore my-node/keystore.json
    """
    _check_reason(reason)
    with by.opened() as consortium:
        view = known_job(consortium, job)
        found = _settled(consortium, view)
        if found.disputed_by:
            raise ConfigError(f"job {view.job_id}: {found.disputed_by} has disputed its settlement already")
        consortium.settlements.dispute(view.job_id, reason)
        _show(view, _read(consortium, view), as_json)


@app.command()
@sends
def resolve(
    job: JobIdArgument,
    stands: Annotated[
        bool | None,
        typer.Option("--stands/--rejected", help="Whether it counts; a rejected one pays nobody.", show_default=False),
    ] = None,
    reason: Why = "",
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Steward: vote on a disputed settlement. It is decided once enough stewards say the same, for the same reason.

    Example: fedchain settlement resolve 0x5c…e1 --stands --reason "it was sound" --keystore steward/keystore.json
    """
    if stands is None:
        raise ConfigError("say how you vote: --stands or --rejected")
    _check_reason(reason)
    with by.opened() as consortium:
        view = known_job(consortium, job)
        found = _settled(consortium, view)
        if not found.disputed_by:
            raise ConfigError(f"job {view.job_id}: nobody disputes its settlement, so there is nothing to resolve")
        if found.state != "disputed":
            raise ConfigError(f"job {view.job_id}: stewards have resolved this dispute already")
        vote = consortium.settlements.resolve(view.job_id, stands, reason)
        _show(view, _read(consortium, view), as_json, vote)


def _read(consortium: Consortium, view: JobView) -> JobSettlement:
    from fedchain.node.audit.names import Names
    from fedchain.node.settlements import read_settlement

    found = read_settlement(consortium, view.job_id, Names(consortium))
    if found is None:
        raise ConfigError(
            f"job {view.job_id} has nothing to settle: only jobs with `[contribution] audit = true` and a budget have"
        )
    return found


def _check_reason(reason: str) -> None:
    from fedchain.chain.settlements import MAX_SETTLEMENT_REASON_BYTES as MOST

    if not 1 <= len(reason.encode()) <= MOST:
        raise ConfigError(f"give --reason a text of 1 to {MOST} bytes: it is public, on chain")


def _settled(consortium: Consortium, view: JobView) -> JobSettlement:
    found = _read(consortium, view)
    if not found.lines:
        raise ConfigError(f"job {view.job_id} is not settled yet, it is {view.phase.name.lower()}")
    return found


def _show(view: JobView, found: JobSettlement, as_json: bool, vote: Vote | None = None) -> None:
    from fedchain.node.reporting.words import utc

    if as_json:
        print_json({"job_id": view.job_id, **found.as_dict(), **({} if vote is None else {"vote": vote.as_dict()})})
        return
    title = f"settlement of job {view.job_id}: {found.state}"
    if found.lines:
        print_rows(
            title,
            ("party", "gets", "withheld", "of the budget", "why withheld"),
            [
                (
                    one.party,
                    one.paid,
                    one.points - one.paid or "-",
                    f"{one.points / found.budget:.1%}",
                    one.withheld or "-",
                )
                for one in found.lines
            ],
        )
    pairs: list[tuple[str, object]] = [("budget", f"{found.budget} points")]
    if found.settled_at is not None and found.final_at is not None:
        pairs += [("settled", f"{utc(found.settled_at)} UTC"), ("disputable until", f"{utc(found.final_at)} UTC")]
    if found.disputed_by:
        pairs.append(("disputed", f"by {found.disputed_by}: {found.dispute}"))
    if found.resolution:
        pairs.append(("resolved", found.resolution))
    if vote is not None:
        pairs.append(("vote", f"{vote}"))
    print_pairs("" if found.lines else title, pairs)
