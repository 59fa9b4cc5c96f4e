"""`fedchain steward`: who takes part in the consortium, and who decides that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.acting import Acting, sends
from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    Rpc,
    opened,
)
from fedchain.cli.output import note, print_json, print_rows
from fedchain.errors import ConfigError
from fedchain.types import Status

if TYPE_CHECKING:
    from fedchain.chain import Consortium, Participant, Vote

app = typer.Typer(name="steward", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Registered name, or 0x address, of a participant.", show_default=False)
]


@app.callback()
def group() -> None:
    """Decide on participants; the sending account must be a steward, and each call is its vote.

    Example: fedchain steward accredit operator --rpc http://127.0.0.1:8545
    """


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the key.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Make a steward's key: an encrypted keystore and its passphrase, in files with mode 0600; prints its address.

    Whoever deploys, or votes, on a chain that is no development chain needs one.

    Example: fedchain steward init my-steward
    """
    from fedchain.chain import Account, new_keystore

    path = folder / "keystore.json"
    account: Account = new_keystore(path, folder / "passphrase")
    if as_json:
        print_json({"address": account.address, "keystore": str(path), "passphrase_file": str(folder / "passphrase")})
    else:
        print(f"steward {account.address} in {folder}; back it up: nobody else can vote in its place")


@app.command()
@sends
def accredit(
    name: Name,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote to let a registered participant take part in jobs; nothing changes where it does already.

    Example: fedchain steward accredit operator --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with by.opened() as consortium:
        _decide(consortium, name, Status.ACCREDITED, lambda one: consortium.stewards.accredit(one.address), as_json)


@app.command()
@sends
def suspend(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Public, on chain.", show_default=False)],
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote to stop a participant: its uplinks are rejected, and it enters no new roster.

    Example: fedchain steward suspend media_partner --reason "contract ended" --rpc http://127.0.0.1:8545
    """
    with by.opened() as consortium:
        _decide(
            consortium, name, Status.SUSPENDED, lambda one: consortium.stewards.suspend(one.address, reason), as_json
        )


@app.command()
@sends
def reinstate(
    name: Name,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote to accredit a suspended participant again; its strikes are then forgotten.

    Example: fedchain steward reinstate media_partner --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with by.opened() as consortium:
        _decide(
            consortium,
            name,
            Status.ACCREDITED,
            lambda one: consortium.stewards.reinstate(one.address),
            as_json,
            again=True,
        )


@app.command()
@sends
def ban(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Public, on chain.", show_default=False)],
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Vote to exclude a participant for ever; its name and its certificate stay taken.

    Example: fedchain steward ban media_partner --reason "forged payloads" --rpc http://127.0.0.1:8545
    """
    with by.opened() as consortium:
        _decide(consortium, name, Status.BANNED, lambda one: consortium.stewards.ban(one.address, reason), as_json)


@app.command("list")
def show_all(rpc: Rpc = DEFAULT_RPC, deployment: DeploymentFile = DEFAULT_DEPLOYMENT, as_json: AsJson = False) -> None:
    """Show who is registered, and who of them is accredited, suspended or banned.

    Example: fedchain steward list --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with opened(rpc, deployment) as consortium:
        found = consortium.participants()
    if as_json:
        print_json({"participants": [as_dict(one) for one in found]})
        return
    print_rows(
        f"{len(found)} participants",
        ("name", "status", "strikes", "address", "endpoint"),
        [(one.name, one.status.name.lower(), one.strikes, one.address, one.endpoint) for one in found],
    )


def find_participant(consortium: Consortium, name: str) -> Participant:
    """The participant of a registered name or address.

    Raises:
        ConfigError: nobody registered it.
    """
    address: str | None = name if name.startswith("0x") else consortium.address_of(name)
    participant = consortium.participant(address) if address is not None else None
    if participant is None or not participant.name:
        raise ConfigError(
            f"no participant '{name}' is registered in this consortium; a node registers itself when it first runs, "
            "and `fedchain steward list` shows who did"
        )
    return participant


def as_dict(participant: Participant) -> dict[str, object]:
    """A registry entry for JSON."""
    return {
        "name": participant.name,
        "address": participant.address,
        "status": participant.status.name.lower(),
        "strikes": participant.strikes,
        "endpoint": participant.endpoint,
    }


def _decide(
    consortium: Consortium,
    name: str,
    proposed: Status,
    decide: Callable[[Participant], Vote],
    as_json: bool,
    *,
    again: bool = False,
) -> None:
    """Vote, unless the participant has that status or this steward has voted for it; then say how it stands."""
    participant = find_participant(consortium, name)
    sender = consortium.sender
    steward = "" if sender is None else sender.address
    voters = consortium.stewards.voters(participant.address, proposed)
    votes, threshold, carried, voted = len(voters), consortium.stewards.threshold(), False, False
    if (participant.status is not proposed or again) and steward not in voters:
        vote = decide(participant)
        votes, threshold, carried, voted = vote.votes, vote.threshold, vote.carried, True
        participant = consortium.participant(participant.address)
    if as_json:
        counted = {"voted": voted, "votes": votes, "threshold": threshold, "carried": carried}
        print_json({**as_dict(participant), **counted})
        return
    line = f"{participant.name} ({participant.address}) is {participant.status.name.lower()}"
    if votes and threshold > 1:
        line += f": {votes} of {threshold} votes" + ("" if carried else f" that it be {proposed.name.lower()}")
    print(line)
    if votes and not voted:
        note("your vote is among them already; nothing was sent")
