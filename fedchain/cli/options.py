"""Options that several commands share, and what they open. Chain code is imported only when it is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.output import note
from fedchain.errors import ConfigError, UnknownJobError
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.chain import Account, ChainClient, Consortium, JobView

DEFAULT_RPC = "http://127.0.0.1:8545"
DEFAULT_DEPLOYMENT = Path("deployment.json")
DEV_CHAIN_IDS = (131277322940537, 31337, 1337)
"""Chain ids of the embedded chain, anvil and Ganache: there, and only there, a publicly known key is a default."""

_MAX_PASSPHRASE_BYTES = 4096

Rpc = Annotated[str, typer.Option("--rpc", metavar="URL", envvar="FEDCHAIN_RPC", help="HTTP address of a chain node.")]
DeploymentFile = Annotated[
    Path,
    typer.Option(
        "--deployment", metavar="FILE", envvar="FEDCHAIN_DEPLOYMENT", help="What `fedchain deploy` wrote.",
    ),
]  # fmt: skip
Keystore = Annotated[
    Path | None, typer.Option("--keystore", metavar="FILE", help="Encrypted key of the account that sends and pays.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="File with the keystore's passphrase; default: ask for it."),
]
DevAccount = Annotated[
    int | None,
    typer.Option("--dev-account", min=0, max=9, metavar="N", help="Use development account N; its key is public."),
]
NodeFolder = Annotated[
    Path,
    typer.Option("--node", metavar="DIR", envvar="FEDCHAIN_NODE", help="Folder of a running node (with node.toml)."),
]
NodeDirectory = Annotated[
    Path, typer.Argument(metavar="DIR", envvar="FEDCHAIN_NODE", help="The node's folder, with its node.toml.")
]
JobIdArgument = Annotated[str, typer.Argument(metavar="JOB", help="Job id: 0x and 64 hex digits.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Seconds = Annotated[float | None, typer.Option("--timeout", min=0.0, metavar="SECONDS", help="Give up after that.")]


@contextmanager
def opened(rpc: str, deployment: Path) -> Iterator[Consortium]:
    """A consortium to read from."""
    from fedchain.chain import ChainClient, Consortium, Deployment

    recorded = Deployment.load(deployment)
    with ChainClient(rpc, expected_chain_id=recorded.chain_id) as client:
        yield Consortium(client, recorded)


@contextmanager
def acting(
    rpc: str, deployment: Path, keystore: Path | None, passphrase_file: Path | None, dev_account: int | None
) -> Iterator[Consortium]:
    """A consortium with the account that the options name as its sender."""
    from fedchain.chain import ChainClient, Consortium, Deployment, Sender

    recorded = Deployment.load(deployment)
    with ChainClient(rpc, expected_chain_id=recorded.chain_id) as client:
        account = open_account(client, keystore, passphrase_file, dev_account)
        yield Consortium(client, recorded, Sender(client, account))


def open_account(
    client: ChainClient, keystore: Path | None, passphrase_file: Path | None, dev_account: int | None
) -> Account:
    """The account that the options name; on a development chain, development account 0 when they name none.

    Raises:
        ConfigError: two accounts are named, or none on a chain that matters, or the keystore does not open.
    """
    from fedchain.chain import Account, dev_accounts

    if keystore is not None and dev_account is not None:
        raise ConfigError("--keystore and --dev-account name two accounts; give one of them")
    if keystore is not None:
        return Account.from_keystore(keystore, read_passphrase(keystore, passphrase_file))
    if passphrase_file is not None:
        raise ConfigError("--passphrase-file is for --keystore FILE; give that as well")
    if dev_account is None:
        if client.chain_id not in DEV_CHAIN_IDS:
            raise ConfigError(
                f"chain {client.chain_id} is no development chain; give --keystore FILE of a funded account "
                "(or --dev-account N for a publicly known key)"
            )
        dev_account = 0
        note("no --keystore: sending from development account 0, whose key is public")
    return dev_accounts(dev_account + 1)[dev_account]


def read_passphrase(keystore: Path, passphrase_file: Path | None) -> str:
    """A keystore's passphrase: the first line of a file, or asked for at the terminal.

    Raises:
        ConfigError: the file cannot be read or is empty, or there is no terminal.
    """
    if passphrase_file is None:
        if not sys.stdin.isatty():
            raise ConfigError(f"keystore {keystore}: its passphrase is needed; give --passphrase-file FILE")
        import getpass

        return getpass.getpass(f"passphrase of {keystore}: ")
    return _first_line(passphrase_file)


def backup_passphrase(passphrase_file: Path | None) -> str:
    """An archive's passphrase: the first line of a file, or what FEDCHAIN_BACKUP_PASSPHRASE says.

    Raises:
        ConfigError: neither is given, or the file cannot be read.
    """
    import os

    if passphrase_file is not None:
        return _first_line(passphrase_file)
    found = os.environ.get("FEDCHAIN_BACKUP_PASSPHRASE", "")
    if not found:
        raise ConfigError(
            "the archive's passphrase is needed; give --passphrase-file FILE or set FEDCHAIN_BACKUP_PASSPHRASE"
        )
    return found


def _first_line(passphrase_file: Path) -> str:
    try:
        with passphrase_file.open("rb") as file:
            text = file.read(_MAX_PASSPHRASE_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"passphrase file {passphrase_file}: {words}") from None
    lines = text.splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"passphrase file {passphrase_file}: its first line is empty; write the passphrase there")
    return lines[0]


def known_job(consortium: Consortium, job: str) -> JobView:
    """A job that exists.

    Raises:
        ConfigError: malformed id.
        UnknownJobError: no such job in this consortium.
    """
    from fedchain.types import Phase

    view = consortium.job(JobId(job.lower()))
    if view.phase is Phase.NONE:
        jobs = consortium.jobs()
        newest = f"the newest of its {len(jobs)} jobs is {jobs[-1]}" if jobs else "it has no job yet"
        raise UnknownJobError(f"no job {job} in this consortium; {newest}")
    return view
