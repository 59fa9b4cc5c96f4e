"""Checks of the node's own files: who may read them, whether they open, and whether the disk has room."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path

from fedchain.chain import Account
from fedchain.data.idrules import IdPart, IdRules
from fedchain.data.selection import Selection
from fedchain.errors import ConfigError, DataError, ModelFormatError
from fedchain.exchange import Identity
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.finding import Finding, fail, failed, ok, warn
from fedchain.node.key_files import staged_keystore
from fedchain.node.keystore import open_account, staged_passphrase_file
from fedchain.node.owed import read_owed

LOW_DISK_BYTES = 1 << 30
"""Below this much free space for the state folder, somebody should look at it."""

_SOCKET_SECONDS = 2.0


def check_permissions(config: NodeConfig) -> list[Finding]:
    """Secret files must be their owner's alone; whether they can be read at all is another check."""
    keys = config.keys
    return [
        _file_mode("keystore file", keys.keystore),
        _file_mode("passphrase file", keys.passphrase_file),
        _file_mode("certificate key file", keys.certificate_key),
        _folder_mode("state folder", config.state.folder),
    ]


def _file_mode(check: str, path: Path) -> Finding:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return fail(check, f"{path}: {error.strerror}", f"restore {path.name}, or set its path in node.toml, [keys]")
    if mode & 0o077:
        return fail(check, f"{path}: mode {mode:04o}, others may read or write it", f"chmod 600 {path}")
    return ok(check, f"{path}: mode {mode:04o}")


def _folder_mode(check: str, path: Path) -> Finding:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return ok(check, f"{path}: not there yet, the first start makes it")
    except OSError as error:
        return fail(check, f"{path}: {error.strerror}", "set [state] folder in node.toml to one that can be read")
    if mode & 0o077:
        return warn(check, f"{path}: mode {mode:04o}, others may look into it", f"chmod 700 {path}")
    return ok(check, f"{path}: mode {mode:04o}")


def check_keystore(config: NodeConfig) -> tuple[Finding, Account | None]:
    """Open the keystore with the passphrase; takes about a second. The account is for signing nothing here."""
    try:
        account = open_account(config, mend=False)
    except ConfigError as error:
        return failed("keystore", error, "restore keystore and passphrase that belong together"), None
    if staged_keystore(config).exists():
        found = f"a rotation of the key was interrupted; address {account.address}"
        return warn("keystore", found, "run `fedchain node rotate key DIR` again, or start the node"), account
    if staged_passphrase_file(config).exists():
        found = f"a change of the passphrase was interrupted; address {account.address}"
        return warn("keystore", found, "run `fedchain node rotate passphrase DIR` again"), account
    return ok("keystore", f"the passphrase opens it; address {account.address}"), account


def check_identity(config: NodeConfig) -> tuple[Finding, Identity | None]:
    """Certificate and key: a node's, of this name, and belonging together. Certificates have no end (see `tls`)."""
    keys = config.keys
    try:
        staged = CertificateFiles.of(config).staged()
    except ConfigError as error:
        return failed("certificate", error), None
    if staged is not None:
        found = f"fingerprint 0x{staged.fingerprint.hex()}, of a rotation that was not finished"
        fix = "run `fedchain node rotate certificate DIR` again, or start the node: either finishes it"
        return warn("certificate", found, fix), staged
    if not keys.certificate.exists() and not keys.certificate_key.exists():
        fix = "start the node, or restore both files"
        return warn("certificate", f"{keys.certificate}: not there; the next start makes one", fix), None
    try:
        identity = Identity.load(keys.certificate, keys.certificate_key)
    except ConfigError as error:
        return failed("certificate", error), None
    if identity.name != config.name:
        fix = "move certificate and key away, and start the node: it makes new ones"
        return fail("certificate", f"it is the one of '{identity.name}', this node is '{config.name}'", fix), None
    days = identity.days_left()
    shown = f"fingerprint 0x{identity.fingerprint.hex()}"
    if days is None:
        return ok("certificate", f"{shown}, valid without end"), identity
    if days < 30:
        fix = "run `fedchain node rotate certificate DIR`"
        return warn("certificate", f"{shown}, {days} days left", fix), identity
    return ok("certificate", f"{shown}, {days} days left"), identity


def check_data(config: NodeConfig, *, id_column: str, columns: tuple[str, ...]) -> Finding:
    """Read the table as a job would; counts are shown, values never.

    Args:
        config: of the node.
        id_column: name of the column with ids, where [data.columns] declares none. Several that it declares are
            taken for the parts of one id.
        columns: others that must be there.
    """
    place = str(config.data.path) if config.data.path is not None else "the query"
    try:
        source = config.table
        declared = source.schema.columns if source.schema is not None else {}
        ids = [name for name, kind in declared.items() if kind == "id"]
        own = tuple(ids) or (id_column,)
        rules = IdRules(tuple(IdPart(name) for name in own))
        table = source.read(Selection(id=own, rules=rules, duplicates="first"))
        names = {column.name for column in table.columns} | set(declared)
    except (DataError, ConfigError) as error:
        return failed("data", error, "correct the data, [data] in node.toml, or say --id-column")
    missing = [name for name in columns if name not in names]
    if missing:
        found = f"{place}: no column {', '.join(map(repr, missing))}"
        return fail("data", found, "correct the file's header, or the column names")
    blank = f", {table.blank_ids} rows without an id are left out" if table.blank_ids else ""
    counts = f"{len(table)} rows, {len(table.columns)} columns beside {', '.join(map(repr, own))}{blank}"
    if table.repeated_ids:
        return warn(
            "data",
            f"{place}: {counts}; {table.repeated_ids} rows repeat an earlier row's id",
            'keep one row per id, or take part in jobs with [alignment] duplicates = "first" or "aggregate" alone',
        )
    return ok("data", f"{place}: {counts}")


def check_disk(config: NodeConfig) -> Finding:
    """Free space where the state folder is, or will be."""
    place = config.state.folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return fail("disk", f"{place}: {error.strerror}", "set [state] folder in node.toml to one that can be read")
    found = f"{free / LOW_DISK_BYTES:.1f} GiB free for {config.state.folder}"
    return ok("disk", found) if free >= LOW_DISK_BYTES else warn("disk", found, "make room: a full disk ends jobs")


def check_settlements(config: NodeConfig) -> list[Finding]:
    """Settlements that this node owes; nothing where it owes none."""
    try:
        owed = list(read_owed(config.state.folder))
    except ModelFormatError as error:
        return [failed("settlement", error)]
    return [
        warn(
            "settlement",
            f"job {job_id}: {one.words}" + ("; given up until the next start" if one.is_given_up else ""),
            f"mend the cause, then restart the node or run `fedchain settlement settle {job_id}`"
            if one.is_given_up
            else "keep the node running: it tries again by itself",
        )
        for job_id, one in owed
    ]


def check_process(config: NodeConfig) -> tuple[Finding, bool]:
    """Whether the node runs: whether somebody answers at its control socket. Both is fine."""
    try:
        path = config.control_socket
    except ConfigError as error:
        return failed("process", error), False
    if is_running(path):
        return ok("process", f"running: it answers at {path}"), True
    return ok("process", "not running"), False


def is_running(path: Path) -> bool:
    """Whether a process listens at a control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SOCKET_SECONDS)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
