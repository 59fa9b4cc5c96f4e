"""`fedchain chain`: development chains."""

from __future__ import annotations

import re
import signal
import threading
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import DEFAULT_RPC, AsJson, Rpc
from fedchain.cli.output import note, print_json, print_rows

app = typer.Typer(name="chain", no_args_is_help=True)

WEI_PER_ETHER = 10**18
FAULT_TOLERANT = 4
"""Validators with which QBFT bears the loss of one."""

_STATUS_SECONDS = 5.0


class ChainKind(str, Enum):
    """Chains that this command can start."""

    EMBEDDED = "embedded"
    ANVIL = "anvil"
    GANACHE = "ganache"


@app.callback()
def group() -> None:
    """Start development chains, with publicly known keys; the files of a Besu network.

    Example: fedchain chain start
    """


@app.command()
def start(
    chain: Annotated[
        ChainKind, typer.Option("--chain", help="embedded needs nothing; anvil and ganache come with `make tools`.")
    ] = ChainKind.EMBEDDED,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8545,
    host: Annotated[
        str,
        typer.Option("--host", metavar="IP", help="Listen there. Whoever reaches it can act as any of its accounts."),
    ] = "127.0.0.1",
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="PATH", help="Keep the chain there and go on with it: a file (ganache: a folder)."
        ),
    ] = None,
    log: Annotated[Path | None, typer.Option("--log", metavar="FILE", help="Append the chain's output to it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start a development chain and keep it until Ctrl-C. Without --state it is in memory and ends with that.

    Example: fedchain chain start --state chain.sqlite
    """
    from fedchain.chain import ChainClient, dev_accounts, start_dev_chain
    from fedchain.errors import ChainError

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with start_dev_chain(chain.value, host=host, port=port, log_path=log, state=state) as running:
        with ChainClient(running.rpc_url) as client:
            chain_id = client.chain_id
        account = dev_accounts(1)[0].address
        if as_json:
            print_json(
                {
                    "chain": chain.value,
                    "rpc_url": running.rpc_url,
                    "chain_id": chain_id,
                    "process_id": running.process.pid,
                    "dev_account": account,
                }
            )
        else:
            print(
                f"{chain.value} chain {chain_id} at {running.rpc_url}; development account 0 is {account}", flush=True
            )
        note("Ctrl-C stops it")
        while not ended.wait(0.2):
            if running.process.poll() is not None:
                raise ChainError(f"the {chain.value} chain ended by itself with code {running.process.returncode}")


@app.command()
def status(rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """Ask a chain's node which chain it is and where that stands; fails where nothing answers.

    Example: fedchain chain status --rpc http://127.0.0.1:8545
    """
    from fedchain.chain import ChainClient

    with ChainClient(rpc, timeout_seconds=_STATUS_SECONDS) as client:
        genesis = "0x" + client.genesis_hash().hex()
        number, seconds = client.block_time()
        price, url = client.fair_price(), client.rpc_url
    if as_json:
        print_json(
            {
                "rpc_url": url,
                "chain_id": client.chain_id,
                "genesis_hash": genesis,
                "block": number,
                "block_time": seconds,
                "gas_price_wei": price,
            }
        )
        return
    age = time.time() - seconds
    when = f"{age:.0f} s old" if age >= 0 else f"{-age:.0f} s ahead of this machine's clock"
    gas = "gas is free" if price == 0 else f"gas costs {price} wei"
    print(f"chain {client.chain_id} at {url}: block {number}, {when}; {gas}; genesis {genesis}")


@app.command()
def fund(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who is to get it.", show_default=False)],
    ether: Annotated[int, typer.Option("--ether", min=1, max=1000, metavar="N", help="How much.")] = 10,
    rpc: Rpc = DEFAULT_RPC,
    as_json: AsJson = False,
) -> None:
    """Give an account of a development chain play money, where gas has a price (Ganache). From development account 0.

    Example: fedchain chain fund 0x48412387a5f4704670Db9F4Af58A0A53eA92Bb55 --rpc http://127.0.0.1:8545
    """
    from fedchain.chain import ChainClient, Sender, dev_accounts
    from fedchain.errors import ConfigError

    if re.fullmatch("0x[0-9a-fA-F]{40}", address) is None:
        raise ConfigError(f"'{address}' is no address: 0x and 40 hex digits; `fedchain node init` prints a node's")
    with ChainClient(rpc) as client:
        Sender(client, dev_accounts(1)[0]).transfer(address, ether * WEI_PER_ETHER)
        balance = client.balance(address)
    if as_json:
        print_json({"address": address, "balance_wei": balance})
    else:
        print(f"{address} has {balance / WEI_PER_ETHER:g} ether")


@app.command()
def besu(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the files that all nodes share.", show_default=False)
    ],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="DIR", help="Folder with a folder per validator: 1, 2, …; default: DIR/keys."),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="IP", help="A validator's address; one each. Default: four, as in compose.besu.yml."
        ),
    ] = None,
    chain_id: Annotated[int, typer.Option("--chain-id", min=1, metavar="N", help="The chain's id.")] = 65244,
    block_seconds: Annotated[
        int, typer.Option("--block-seconds", min=1, max=3600, metavar="N", help="Between two blocks.")
    ] = 1,
    prefund: Annotated[
        list[str] | None,
        typer.Option("--prefund", metavar="WHO", help="An address, or a keystore, that gets ether; repeatable."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="ENODE", help="A further node that may connect; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the files of a Besu network (QBFT, free gas): genesis, static nodes, allowlist, keys of validators.

    A validator without a folder gets a key. One with key.pub alone is another organisation's, which keeps its key to
    itself. Run again with the same settings, it changes nothing; it never overwrites keys or a genesis file.

    Example: fedchain chain besu network --host 10.0.0.1 --host 10.0.0.2 --host 10.0.0.3 --host 10.0.0.4
    """
    from fedchain.chain import keystore_address
    from fedchain.chain.besu import DEFAULT_HOSTS, write_network

    made = write_network(
        folder,
        keys or folder / "keys",
        host or DEFAULT_HOSTS,
        chain_id=chain_id,
        block_seconds=block_seconds,
        prefunded=[one if one.startswith("0x") else keystore_address(Path(one)) for one in prefund or ()],
        allowed=allow or (),
    )
    note(f"written to {folder}" if made.created else f"{folder} holds this network already: nothing changed")
    if len(made.validators) < FAULT_TOLERANT:
        note(f"{len(made.validators)} validators: the chain stands still when one is down; from four on it goes on")
    if as_json:
        print_json(
            {
                "created": made.created,
                "genesis": str(made.genesis),
                "static_nodes": str(made.static_nodes),
                "permissions": str(made.permissions),
                "validators": [
                    {
                        "number": one.number,
                        "address": "0x" + one.address.hex(),
                        "enode": one.enode,
                        "has_key": one.number not in made.without_key,
                    }
                    for one in made.validators
                ],
            }
        )
        return
    print_rows(
        f"chain {chain_id}, a block each {block_seconds} s",
        ("validator", "address", "host", "key"),
        [
            (one.number, "0x" + one.address.hex(), one.host, "elsewhere" if one.number in made.without_key else "here")
            for one in made.validators
        ],
    )
