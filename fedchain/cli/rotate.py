"""`fedchain node rotate`: other keys for a node, without a pause."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import AsJson
from fedchain.cli.output import note, print_json

app = typer.Typer(name="rotate", no_args_is_help=True)

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder, with its node.toml; it may run.")]


@app.callback()
def group() -> None:
    """Replace a node's certificate, its key, or the passphrase of its keystore; a running node goes on without a pause.

    Example: fedchain node rotate certificate nodes/operator
    """


@app.command()
def certificate(folder: _Folder = Path("."), as_json: AsJson = False) -> None:
    """Make a new certificate and key, register the certificate, and put both in the place of the old ones.

    A running node serves old and new while its peers read the registry's change; jobs and transfers go on. Peers refuse
    the old certificate within five seconds of the block that holds the new one. What was interrupted is gone on with:
    run it again, or start the node.

    Example: fedchain node rotate certificate nodes/operator
    """
    from fedchain.errors import ChainError
    from fedchain.node.certificate_files import CertificateFiles
    from fedchain.node.config import load_config
    from fedchain.node.rotating import rotate_certificate

    config = load_config(folder / "node.toml")
    try:
        done = rotate_certificate(config)
    except ChainError:
        if CertificateFiles.of(config).staged_file.exists():
            note("the new certificate is made and perhaps not registered: run this again, or start the node")
        raise
    if as_json:
        print_json(
            {
                "name": config.name,
                "earlier": "0x" + done.earlier.hex() if done.earlier else None,
                "fingerprint": "0x" + done.fingerprint.hex(),
                "registered": done.registered,
                "overlap_seconds": done.overlap_seconds,
            }
        )
        return
    print(f"node '{config.name}' has certificate 0x{done.fingerprint.hex()} now")
    if done.earlier:
        note(f"before it: 0x{done.earlier.hex()}; backups made until now hold that one: make a new backup")
    if not done.registered:
        note("the node is not in the registry yet: it registers itself at its first start")


@app.command()
def key(folder: _Folder = Path("."), as_json: AsJson = False) -> None:
    """Make a new account key, signed for by the old one; the party keeps its address, name, standing and jobs.

    The old key acts for nobody from then on, for ever. What it has left of the chain's money goes to the new one. A
    running node acts with the new key at once. What was interrupted is gone on with: run it again, or start the node.

    Example: fedchain node rotate key nodes/operator
    """
    from fedchain.errors import ChainError
    from fedchain.node.config import load_config
    from fedchain.node.key_files import staged_keystore
    from fedchain.node.rotating import rotate_key

    config = load_config(folder / "node.toml")
    try:
        done = rotate_key(config)
    except ChainError:
        if staged_keystore(config).exists():
            note("the new key is made and perhaps not registered: run this again, or start the node")
        raise
    if as_json:
        print_json(
            {
                "name": config.name,
                "party": done.party,
                "earlier": done.earlier,
                "signer": done.signer,
                "registered": done.registered,
            }
        )
        return
    print(f"node '{config.name}' acts with the key {done.signer} now; its party is {done.party}")
    note(f"before it: {done.earlier}; backups made until now hold that one: make a new backup")
    if not done.registered:
        note("the node is not in the registry yet: it registers itself at its first start")


@app.command()
def passphrase(
    folder: _Folder = Path("."),
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help="File with the new passphrase, one line, mode 0600; default: a generated one.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Encrypt the node's keystore under a new passphrase, and write that into \\[keys] passphrase_file.

    The key, and so the account, stays the same: a running node goes on. Old copies of the keystore, in backups too,
    open with the old passphrase on. The passphrase is never printed.

    Example: fedchain node rotate passphrase nodes/operator
    """
    from fedchain.node.config import load_config
    from fedchain.node.keystore import rotate_passphrase
    from fedchain.node.secret import secret_line

    config = load_config(folder / "node.toml")
    chosen = None
    if new_passphrase_file is not None:
        chosen = secret_line(new_passphrase_file, "--new-passphrase-file", "the new passphrase")
    account = rotate_passphrase(config, chosen)
    if as_json:
        print_json(
            {
                "name": config.name,
                "address": account.address,
                "keystore": str(config.keys.keystore),
                "passphrase_file": str(config.keys.passphrase_file),
                "generated": chosen is None,
            }
        )
        return
    print(f"the keystore of node '{config.name}' ({account.address}) has a new passphrase now")
    note(f"it is in {config.keys.passphrase_file}; backups made until now open with the old one: make a new backup")
