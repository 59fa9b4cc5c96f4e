"""`fedchain deploy`: puts the contracts on a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import DEFAULT_RPC, AsJson, DevAccount, Keystore, PassphraseFile, Rpc, open_account
from fedchain.cli.output import note, print_json, print_rows, short
from fedchain.errors import ConfigError


def deploy(
    rpc: Rpc = DEFAULT_RPC,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Deployment file to write, or to check.")] = Path(
        "deployment.json"
    ),
    keystore: Keystore = None,
    passphrase_file: PassphraseFile = None,
    dev_account: DevAccount = None,
    steward: Annotated[
        list[str] | None,
        typer.Option("--steward", metavar="ADDRESS", help="May accredit participants; repeatable. Default: deployer."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Only compare chain, file and this package's contracts; fails on a difference."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy and wire the five contracts. Run again against the same chain and file, it changes nothing.

    Killed or failed half-way, it goes on when it is run again: what it has sent is in FILE.progress until then.

    --verify sends nothing: it computes the code that this version deploys, and compares it with what is on the chain.

    Without --keystore, on a development chain, development account 0 deploys.

    Example: fedchain deploy --rpc http://127.0.0.1:8545 --keystore key.json --passphrase-file pass --out my.json
    """
    from fedchain.chain import ChainClient, Deployment
    from fedchain.chain import deploy as put_on_chain

    if verify:
        if keystore is not None or dev_account is not None or passphrase_file is not None or steward:
            raise ConfigError("--verify sends nothing; leave --keystore, --dev-account and --steward away")
        _verify(rpc, out, as_json=as_json)
        return
    with ChainClient(rpc) as client:
        if out.exists() and keystore is None and dev_account is None and not steward:
            deployment, created = Deployment.load(out), False
            deployment.check(client)
        else:
            account = open_account(client, keystore, passphrase_file, dev_account)
            deployment, created = put_on_chain(client, account, steward or None, out, progress=note)
        url = client.rpc_url
    note(f"deployed and recorded in {out}" if created else f"already deployed as recorded in {out}: nothing changed")
    if as_json:
        print_json(
            {
                "created": created,
                "deployment": str(out),
                "rpc_url": url,
                "chain_id": deployment.chain_id,
                "genesis_hash": deployment.genesis_hash,
                "deployer": deployment.deployer,
                "stewards": deployment.stewards,
                "contracts": {name: one.model_dump() for name, one in deployment.contracts.items()},
            }
        )
        return
    print_rows(
        f"chain {deployment.chain_id}, deployer {deployment.deployer}, stewards {', '.join(deployment.stewards)}",
        ("contract", "address"),
        [(name, one.address) for name, one in deployment.contracts.items()],
    )


def _verify(rpc: str, out: Path, *, as_json: bool) -> None:
    """Print what was found of each contract; a difference is an error after that."""
    from dataclasses import asdict

    from fedchain.chain import ChainClient, Deployment, check_contracts, require_sound

    deployment = Deployment.load(out)
    with ChainClient(rpc) as client:
        checks = check_contracts(client, deployment)
        url = client.rpc_url
    if as_json:
        print_json(
            {
                "sound": not any(one.problem for one in checks),
                "deployment": str(out),
                "rpc_url": url,
                "chain_id": deployment.chain_id,
                "contracts": {one.name: asdict(one) for one in checks},
            }
        )
    else:
        print_rows(
            f"chain {deployment.chain_id} at {url}, compared with {out} and with this version's contracts",
            ("contract", "address", "code", "result"),
            [(one.name, one.address, short(one.found), one.problem or "as packaged") for one in checks],
        )
    require_sound(checks)
