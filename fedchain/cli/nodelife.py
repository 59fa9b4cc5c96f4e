"""`fedchain node status`, `register`, `doctor`, `backup` and `restore`: a node's life beside its runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import DEV_CHAIN_IDS, AsJson, NodeDirectory, Seconds
from fedchain.cli.output import note, print_json, print_rows

_STATUS_SECONDS = 5.0
_BackupPassphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File with the archive's passphrase; default: FEDCHAIN_BACKUP_PASSPHRASE.",
    ),
]


class Standing(str, Enum):
    """How far a running node has come, at least."""

    RUNNING = "running"
    REGISTERED = "registered"
    READY = "ready"


def status(
    folder: NodeDirectory = Path("."),
    require: Annotated[
        Standing,
        typer.Option("--require", help="Fail where the node has not come so far; ready: accredited, and takes jobs."),
    ] = Standing.RUNNING,
    as_json: AsJson = False,
) -> None:
    """Ask a running node how it stands; exit code 2 where none answers. Light enough for a health check.

    Example: fedchain node status nodes/operator --require ready
    """
    from fedchain.errors import NotAccreditedError
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    config = load_config(folder / "node.toml")
    with ControlClient(config.control_socket, connect_seconds=_STATUS_SECONDS) as client:
        lines = list(client.status())
    line = next((one for one in lines if one["event"] == "node"), None)
    standing = "starting" if line is None else str(line["status"])
    is_ready = line is not None and bool(line["ready"])
    running = sorted(str(one["job"]) for one in lines if one["event"] == "job" and one.get("status") == "running")
    if as_json:
        print_json({"name": config.name, "status": standing, "ready": is_ready, "running_jobs": running})
    else:
        print(f"node '{config.name}': {standing}{', ready' if is_ready else ''}; {len(running)} jobs under way")
    if (require is Standing.READY and not is_ready) or (require is Standing.REGISTERED and line is None):
        raise NotAccreditedError(f"node '{config.name}' is {standing}, not {require.value}")


def register(
    folder: NodeDirectory = Path("."),
    wait: Annotated[bool, typer.Option("--wait", help="Wait until a steward has accredited the node.")] = False,
    timeout: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """Enter a node's name, endpoint and certificate in the registry, and say whether it is accredited.

    They are public from then on. Needs a fixed \\[serve] endpoint or port. Run again, it changes nothing.

    Example: fedchain node register nodes/operator --wait
    """
    from fedchain.node.config import load_config
    from fedchain.node.register import register_node
    from fedchain.types import Status

    config = load_config(folder / "node.toml")
    done = register_node(config, wait=wait, limit_seconds=timeout)
    accredited = done.status is Status.ACCREDITED
    if as_json:
        print_json(
            {
                "name": done.name,
                "address": done.address,
                "endpoint": done.endpoint,
                "fingerprint": "0x" + done.fingerprint.hex(),
                "status": done.status.name.lower(),
                "accredited": accredited,
                "changed": done.changed,
            }
        )
        return
    what = "is registered now" if done.changed else "was registered already"
    print(f"node '{done.name}' ({done.address}) {what}, at {done.endpoint}: {done.status.name.lower()}")
    if not accredited:
        note(f"ask a steward: `fedchain steward accredit {done.address}`")


def doctor(
    folder: NodeDirectory = Path("."),
    id_column: Annotated[str, typer.Option("--id-column", metavar="NAME", help="Column with ids in its table.")] = "id",
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME", help="Must be in its table, too; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a node, running or not: files, keys, chain, contracts, clock, registry entry, table, disk, peers.

    Writes nothing and sends no transaction. Exit code 1 when a check fails, 0 otherwise, with warnings too.

    Example: fedchain node doctor nodes/operator
    """
    from fedchain.node.doctor.examine import examine
    from fedchain.node.doctor.finding import Level

    diagnosis = examine(
        folder / "node.toml", dev_chain_ids=DEV_CHAIN_IDS, id_column=id_column, columns=tuple(column or ())
    )
    if as_json:
        print_json(
            {
                "level": diagnosis.level.value,
                "running": diagnosis.running,
                "checks": [
                    {"check": one.check, "level": one.level.value, "found": one.found, "fix": one.fix}
                    for one in diagnosis.findings
                ],
            }
        )
    else:
        print_rows(
            f"node in {folder}: {diagnosis.level.value}",
            ("check", "level", "found", "fix"),
            [(one.check, one.level.value, one.found, one.fix) for one in diagnosis.findings],
        )
    if diagnosis.level is Level.FAIL:
        raise typer.Exit(1)


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder; it may run.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Archive to write.", show_default=False)],
    passphrase_file: _BackupPassphrase = None,
    with_payloads: Annotated[
        bool, typer.Option("--with-payloads", help="Payload files, too: needed where jobs are under way.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a node's folder into one encrypted archive: node.toml, keys, certificate, state; not its passphrase.

    Whoever has archive and passphrase reads the node's model shards and can pose as it to its peers; with the
    keystore's passphrase, which is not in it, whoever has it is the node. The table is not in it either.

    Never run two copies of one node: both use one key, cross each other's transactions, and may show two digests for
    one slot, which is equivocation.

    Example: fedchain node backup nodes/operator operator.backup --passphrase-file backup-passphrase
    """
    from fedchain.cli.options import backup_passphrase
    from fedchain.node.backup import back_up

    made = back_up(folder, file, backup_passphrase(passphrase_file), with_payloads=with_payloads)
    if as_json:
        print_json({"archive": str(file), "bytes": file.stat().st_size, "files": sorted(made.files)})
        return
    print(f"{len(made.files)} files of {folder} in {file}")
    note("the keystore's passphrase is not in it: keep that elsewhere, or the account is lost with this machine")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to make; empty.", show_default=False)],
    passphrase_file: _BackupPassphrase = None,
    as_json: AsJson = False,
) -> None:
    """Unpack an archive of `backup` into an empty folder, whole or not at all.

    Make sure that the node of which it is a copy will never run again: two copies of one node use one key, cross each
    other's transactions, and may show two digests for one slot, which is equivocation. A restored older state reads on
    from the chain; jobs that were under way since the backup should be aborted first.

    Example: fedchain node restore operator.backup nodes/operator --passphrase-file backup-passphrase
    """
    from fedchain.cli.options import backup_passphrase
    from fedchain.node.restore import restore as unpack

    manifest = unpack(file, folder, backup_passphrase(passphrase_file))
    if as_json:
        print_json({"folder": str(folder), "created": manifest.created, "files": sorted(manifest.files)})
        return
    print(f"{len(manifest.files)} files of {manifest.created} in {folder}")
    note(f"put the keystore's passphrase back, then look at it with `fedchain node doctor {folder}`")
