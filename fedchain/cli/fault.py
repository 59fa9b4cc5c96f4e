"""`fedchain fault`: what the chain holds against whom, proofs, votes, and the stewards' last word."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
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
from fedchain.cli.steward import find_participant
from fedchain.errors import ConfigError
from fedchain.types import Answer, Reason, VotePhase

if TYPE_CHECKING:
    from fedchain.chain import Consortium, Fault

app = typer.Typer(name="fault", no_args_is_help=True)
Number = Annotated[
    int, typer.Argument(metavar="NUMBER", min=1, help="The fault's number, as `list` shows it.", show_default=False)
]


@app.callback()
def group() -> None:
    """Faults on the chain's record: show, prove, vote on, overturn them. Nodes prove by themselves what they find.

    Example: fedchain fault list --deployment deployment.json --rpc http://127.0.0.1:8545
    """


@app.command("list")
def show_all(
    party: Annotated[str, typer.Option("--party", metavar="NAME", help="Of this participant only.")] = "",
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="Of this job only.")] = "",
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show every fault on record, the newest last: whose, why, what was done, and whether it was overturned.

    Example: fedchain fault list --party media_partner --deployment deployment.json
    """
    with opened(rpc, deployment) as consortium:
        address = find_participant(consortium, party).address if party else None
        job_id = known_job(consortium, job).job_id if job else None
        faults = [
            fault
            for fault in map(consortium.faults.fault, range(1, consortium.faults.count() + 1))
            if address in (None, fault.party) and job_id in (None, fault.job_id)
        ]
        names = _names(consortium, faults)
    if as_json:
        print_json({"faults": [_as_dict(fault, names[fault.party]) for fault in faults]})
        return
    print_rows(
        f"{len(faults)} faults",
        ("number", "party", "reason", "answer", "round", "block", "job"),
        [
            (one.fault_id, names[one.party], one.reason.name, _answer(one), one.round, one.block_number, one.job_id)
            for one in faults
        ],
    )


@app.command()
def show(
    number: Number,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show one fault with its evidence and, where it is a flagged statistic, the votes on it.

    Example: fedchain fault show 3 --deployment deployment.json
    """
    with opened(rpc, deployment) as consortium:
        _show(consortium, _known(consortium, number), as_json)


@app.command()
@sends
def prove(
    job: JobIdArgument,
    state: Annotated[
        Path,
        typer.Option("--state", metavar="DIR", help="State folder of the node that kept them.", show_default=False),
    ],
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Prove what a node kept as evidence and could not prove itself: two signed digests for one slot.

    Anybody may: a proof convicts by the culprit's own signatures. What is proven already is left out.

    Example: fedchain fault prove 0x5c…e1 --state my-node/state --deployment deployment.json
    """
    from fedchain.exchange.prover import prove_kept

    with by.opened() as consortium:
        job_id = known_job(consortium, job).job_id
        numbers = prove_kept(consortium, state, job_id)
        faults = [consortium.faults.fault(number) for number in numbers]
        names = _names(consortium, faults)
    if as_json:
        print_json({"proven": [_as_dict(fault, names[fault.party]) for fault in faults]})
    elif not faults:
        print(f"job {job_id}: nothing is left to prove")
    for fault in [] if as_json else faults:
        print(f"fault {fault.fault_id}: {names[fault.party]}, {fault.reason.name}: {_answer(fault)}")


@app.command()
@sends
def vote(
    number: Number,
    is_false: Annotated[
        bool,
        typer.Option(
            "--false/--sound", help="Whether the declared statistic, recomputed, is false.", show_default=False
        ),
    ],
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Commit to a vote on a flagged statistic, within an hour of it; `fedchain fault reveal` reveals it in the next.

    For the parties of the job's roster but the one that is flagged. Until then nobody sees what the vote says.

    Example: fedchain fault vote 3 --false --keystore my-node/keystore.json --passphrase-file my-node/passphrase
    """
    from fedchain.chain.fault_votes import commit_vote

    with by.opened() as consortium:
        _require_votes(consortium, number, VotePhase.COMMITTING, "votes are committed within an hour of the flag")
        commit_vote(consortium, number, is_false=is_false)
        _show(consortium, _known(consortium, number), as_json)


@app.command()
@sends
def reveal(
    number: Number,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Reveal the vote that the same key committed to, in the second hour after the flag.

    Example: fedchain fault reveal 3 --keystore my-node/keystore.json --passphrase-file my-node/passphrase
    """
    from fedchain.chain.fault_votes import reveal_vote

    with by.opened() as consortium:
        _require_votes(consortium, number, VotePhase.REVEALING, "votes are revealed in the second hour after the flag")
        reveal_vote(consortium, number)
        _show(consortium, _known(consortium, number), as_json)


@app.command()
@sends
def tally(
    number: Number,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Count the votes on a flagged statistic, two hours after it. Where two thirds confirm, its party gets a strike.

    Anybody may. With fewer than two votes it stays a flag.

    Example: fedchain fault tally 3 --deployment deployment.json
    """
    with by.opened() as consortium:
        _require_votes(consortium, number, VotePhase.TALLYING, "votes are counted once, two hours after the flag")
        consortium.faults.tally(number)
        _show(consortium, _known(consortium, number), as_json)


@app.command()
@sends
def overturn(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Public, on chain.", show_default=False)],
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Steward: vote that a fault be overturned. Once enough stewards do, for the same reason, its strike is forgiven.

    The fault stays on record, marked. A suspension is lifted by `fedchain steward reinstate`.

    Example: fedchain fault overturn 3 --reason "the node was restored from a backup" --keystore steward/keystore.json
    """
    with by.opened() as consortium:
        fault = _known(consortium, number)
        if fault.overturned:
            raise ConfigError(f"fault {number} was overturned already")
        vote = consortium.faults.overturn(number, reason)
        fault, name = consortium.faults.fault(number), _name(consortium, fault.party)
    if as_json:
        print_json({**_as_dict(fault, name), "vote": vote.as_dict()})
    else:
        print(f"fault {number} of {name}: {_answer(fault)}; {vote} to overturn it for this reason")


def _known(consortium: Consortium, number: int) -> Fault:
    count = consortium.faults.count()
    if number > count:
        raise ConfigError(
            f"there is no fault {number} on record; the newest is {count}" if count else "no fault is on record"
        )
    return consortium.faults.fault(number)


def _require_votes(consortium: Consortium, number: int, wanted: VotePhase, rule: str) -> None:
    fault = _known(consortium, number)
    if fault.reason is not Reason.STATISTIC_OUTLIER:
        raise ConfigError(f"fault {number} is {fault.reason.name}, which nobody votes on; only a flagged statistic is")
    if fault.overturned:
        raise ConfigError(f"fault {number} was overturned: there is nothing left to vote on")
    from fedchain.chain.overdue import next_block_time

    found = consortium.faults.ballot(number).phase_at(next_block_time(consortium))
    if found is not wanted:
        raise ConfigError(f"fault {number} is in its phase {found.name.lower()}; {rule}")


def _names(consortium: Consortium, faults: Iterable[Fault]) -> dict[str, str]:
    """Of whom the faults are, by address; each is asked for once."""
    return {party: _name(consortium, party) for party in {fault.party for fault in faults}}


def _name(consortium: Consortium, address: str) -> str:
    return consortium.participant(address).name or address


def _answer(fault: Fault) -> str:
    done = {Answer.RECORDED: "recorded", Answer.STRIKE: "strike", Answer.SUSPENSION: "suspended"}[fault.answer]
    return f"{done}, overturned" if fault.overturned else done


def _as_dict(fault: Fault, name: str) -> dict[str, object]:
    return {
        "number": fault.fault_id,
        "party": name,
        "address": fault.party,
        "job": fault.job_id,
        "round": fault.round,
        "reason": fault.reason.name,
        "answer": fault.answer.name.lower(),
        "overturned": fault.overturned,
        "block": fault.block_number,
        "evidence": "0x" + fault.evidence.hex(),
    }


def _show(consortium: Consortium, fault: Fault, as_json: bool) -> None:
    found = _as_dict(fault, _name(consortium, fault.party))
    ballot = consortium.faults.ballot(fault.fault_id)
    if ballot.phase is not VotePhase.NONE:
        found["votes"] = {
            "phase": ballot.phase.name.lower(),
            "opened": ballot.opened,
            "committed": ballot.committed,
            "revealed": ballot.voting,
            "confirming": ballot.confirming,
        }
    if as_json:
        print_json(found)
        return
    votes = found.pop("votes", None)
    rows = [(name, value) for name, value in found.items() if name not in ("number", "answer", "overturned")]
    rows.append(("answer", _answer(fault)))
    if votes is not None:
        rows.append(
            (
                "votes",
                f"{ballot.phase.name.lower()}: {ballot.committed} committed, {ballot.voting} revealed, "
                f"{ballot.confirming} of them find it false",
            )
        )
    print_pairs(f"fault {fault.fault_id}", rows)
