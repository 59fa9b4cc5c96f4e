"""`fedchain steward`: who takes part in the consortium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    DevAccount,
    Keystore,
    PassphraseFile,
    Rpc,
    open_account,
    opened,
)
from fedchain.cli.output import print_json, print_rows
from fedchain.errors import ConfigError
from fedchain.types import Status

if TYPE_CHECKING:
    from fedchain.chain import Consortium, Participant

app = typer.Typer(name="steward", no_args_is_help=True)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Registered name, or 0x address, of a participant.", show_default=False)
]


@app.callback()
def group() -> None:
    """Accredit, suspend and reinstate participants; the sending account must be a steward.

    Example: fedchain steward accredit operator --rpc http://127.0.0.1:8545
    """


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the key.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Make a steward's key: an encrypted keystore and its passphrase, in files with mode 0600; prints its address.

    Whoever deploys, or accredits, on a chain that is no development chain needs one.

    Example: fedchain steward init my-steward
    """
    from fedchain.chain import Account, new_keystore

    path = folder / "keystore.json"
    account: Account = new_keystore(path, folder / "passphrase")
    if as_json:
        print_json({"address": account.address, "keystore": str(path), "passphrase_file": str(folder / "passphrase")})
    else:
        print(f"steward {account.address} in {folder}; back it up: nobody else can accredit in its place")


@app.command()
def accredit(
    name: Name,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    keystore: Keystore = None,
    passphrase_file: PassphraseFile = None,
    dev_account: DevAccount = None,
    as_json: AsJson = False,
) -> None:
    """Let a registered participant take part in jobs; nothing changes where it does already.

    Example: fedchain steward accredit operator --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with _acting(rpc, deployment, keystore, passphrase_file, dev_account) as consortium:
        participant = find_participant(consortium, name)
        if participant.status is not Status.ACCREDITED:
            consortium.accredit(participant.address)
        _show(consortium, participant.address, as_json)


@app.command()
def suspend(
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Public, on chain.", show_default=False)],
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    keystore: Keystore = None,
    passphrase_file: PassphraseFile = None,
    dev_account: DevAccount = None,
    as_json: AsJson = False,
) -> None:
    """Stop a participant: its uplinks are rejected, and it enters no new roster.

    Example: fedchain steward suspend media_partner --reason "contract ended" --rpc http://127.0.0.1:8545
    """
    with _acting(rpc, deployment, keystore, passphrase_file, dev_account) as consortium:
        participant = find_participant(consortium, name)
        consortium.suspend(participant.address, reason)
        _show(consortium, participant.address, as_json)


@app.command()
def reinstate(
    name: Name,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    keystore: Keystore = None,
    passphrase_file: PassphraseFile = None,
    dev_account: DevAccount = None,
    as_json: AsJson = False,
) -> None:
    """Accredit a suspended participant again; its strikes are forgotten.

    Example: fedchain steward reinstate media_partner --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    with _acting(rpc, deployment, keystore, passphrase_file, dev_account) as consortium:
        participant = find_participant(consortium, name)
        consortium.reinstate(participant.address)
        _show(consortium, participant.address, as_json)


@app.command("list")
def show_all(rpc: Rpc = DEFAULT_RPC, deployment: DeploymentFile = DEFAULT_DEPLOYMENT, as_json: AsJson = False) -> None:
    """Show who is registered, and who of them is accredited or suspended.

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


@contextmanager
def _acting(
    rpc: str, deployment: Path, keystore: Path | None, passphrase_file: Path | None, dev_account: int | None
) -> Iterator[Consortium]:
    from fedchain.chain import ChainClient, Consortium, Deployment, Sender

    recorded = Deployment.load(deployment)
    with ChainClient(rpc, expected_chain_id=recorded.chain_id) as client:
        account = open_account(client, keystore, passphrase_file, dev_account)
        yield Consortium(client, recorded, Sender(client, account))


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


def _show(consortium: Consortium, address: str, as_json: bool) -> None:
    participant = consortium.participant(address)
    if as_json:
        print_json(as_dict(participant))
    else:
        print(f"{participant.name} ({participant.address}) is {participant.status.name.lower()}")
