"""`fedchain deploy`: puts the contracts on a chain."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import (
    DEFAULT_RPC,
    DEV_CHAIN_IDS,
    AsJson,
    DevAccount,
    Keystore,
    PassphraseFile,
    Rpc,
    open_account,
)
from fedchain.cli.output import note, print_json, print_rows, short
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.chain import Account, ChainClient


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
        typer.Option("--steward", metavar="ADDRESS", help="Votes on members; repeatable. Default: the deployer."),
    ] = None,
    threshold: Annotated[
        int | None,
        typer.Option("--threshold", min=1, metavar="K", help="So many stewards decide. Default: more than half."),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option(
            "--delay",
            min=0,
            metavar="SECONDS",
            help="Before an upgrade comes into force. Default: two days; 0 on a development chain.",
        ),
    ] = None,
    upgrade: Annotated[
        bool,
        typer.Option("--upgrade", help="Move to this version's contracts: deploy them, vote, apply after the delay."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Only compare chain, file and this package's contracts; fails on a difference."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy and wire the contracts. Run again against the same chain and file, it changes nothing.

    Killed or failed half-way, it goes on when it is run again: what it has sent is in FILE.progress until then.

    --upgrade is run by each steward: the first deploys and votes, the others vote on the candidate beside FILE, and
    whoever runs it after the delay puts it into force. Members and their standing stay; the old file is kept.

    --verify sends nothing: it computes the code that this version deploys, and compares it with what is on the chain.

    Without --keystore, on a development chain, development account 0 deploys.

    Example: fedchain deploy --rpc http://127.0.0.1:8545 --keystore key.json --passphrase-file pass --out my.json
    """
    from fedchain.chain import ChainClient, Deployment
    from fedchain.chain import deploy as put_on_chain
    from fedchain.chain.deploylog import progress_path

    has_terms = bool(steward) or threshold is not None or delay is not None
    if verify:
        if keystore is not None or dev_account is not None or passphrase_file is not None or has_terms or upgrade:
            raise ConfigError("--verify sends nothing; leave all options but --rpc, --out and --json away")
        _verify(rpc, out, as_json=as_json)
        return
    if upgrade:
        if has_terms:
            raise ConfigError(
                "--upgrade keeps stewards, threshold and delay; leave --steward, --threshold and --delay away "
                "(`fedchain steward change` votes for other stewards)"
            )
        with ChainClient(rpc) as client:
            _upgrade(client, open_account(client, keystore, passphrase_file, dev_account), out, as_json=as_json)
        return
    with ChainClient(rpc) as client:
        if out.exists() and keystore is None and dev_account is None and not has_terms:
            deployment, created = Deployment.load(out), False
            deployment.check(client)
        else:
            account = open_account(client, keystore, passphrase_file, dev_account)
            if delay is None and client.chain_id in DEV_CHAIN_IDS and not (out.exists() or progress_path(out).exists()):
                delay = 0
            deployment, created = put_on_chain(
                client, account, steward or None, out, threshold=threshold, delay_seconds=delay, progress=note
            )
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
                "version": deployment.version,
                "deployer": deployment.deployer,
                "stewards": deployment.stewards,
                "threshold": deployment.threshold,
                "delay_seconds": deployment.delay_seconds,
                "contracts": {name: one.model_dump(exclude_none=True) for name, one in deployment.contracts.items()},
            }
        )
        return
    print_rows(
        f"chain {deployment.chain_id}, deployer {deployment.deployer}, stewards {', '.join(deployment.stewards)}",
        ("contract", "address"),
        [(name, one.address) for name, one in deployment.contracts.items()],
    )


def _upgrade(client: ChainClient, account: Account, out: Path, *, as_json: bool) -> None:
    """Do what can be done now, and say what is still missing."""
    from fedchain.chain import upgrade
    from fedchain.chain.upgrading import candidate_path

    done = upgrade(client, account, out, progress=note)
    candidate = done.candidate
    when = datetime.fromtimestamp(done.not_before, timezone.utc).isoformat(timespec="seconds")
    if as_json:
        print_json(
            {
                "deployment": str(out),
                "version": candidate.version,
                "changed": done.changed,
                "in_force": done.in_force,
                "gate_admitted": done.gate_admitted,
                "gate_votes": done.gate_votes,
                "change_votes": done.change_votes,
                "threshold": done.threshold,
                "not_before": when if done.not_before else None,
                "candidate": None if done.in_force else str(candidate_path(out)),
                "earlier": None if done.earlier is None else str(done.earlier),
                "contracts": candidate.addresses,
            }
        )
        return
    if done.in_force and not done.changed:
        print(f"version {candidate.version} of {out} is what this version of fedchain deploys: nothing to do")
        return
    if done.in_force:
        print(f"version {candidate.version} is in force, as recorded in {out}; the one before it is in {done.earlier}")
        note("give the file to every node; jobs of the earlier version go on with the earlier file")
        return
    votes = f"{done.change_votes} of {done.threshold} votes for version {candidate.version}"
    if done.gate_votes != done.change_votes:
        votes += f", {done.gate_votes} for its anomaly record"
    print(f"{votes}; {f'not before {when}' if done.not_before else 'not carried yet'}")
    if done.not_before and done.gate_admitted:
        note("run this again then to put it into force; any steward may")
    else:
        note(f"give {candidate_path(out)} to the other stewards, to run this beside their deployment file")


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
