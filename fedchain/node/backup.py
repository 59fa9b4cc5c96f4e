"""A node's folder in one encrypted archive: what cannot be had again, and nothing else.

In it: node.toml, keystore (and the one of a key rotation that is under way), certificate and its key, encryption key,
the deployment file where it lies inside, the state file, what the node keeps of its jobs (journals, shards, sessions,
reports), and the receipts of its requests; payload files where asked for. Not in it: the keystore's passphrase, so that
an archive and its passphrase alone are not the node's account; and the table.

The node may run. Journals are copied before the state file: a restored party then goes on from a checkpoint that is not
later than the record of what it has sent, and sends the recorded bytes again. The state file is copied through SQLite's
online backup (https://www.sqlite.org/backup.html).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

from fedchain.errors import ConfigError
from fedchain.node.archive import ArchiveWriter
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.key_files import staged_keystore
from fedchain.node.manifest import NAME, FileEntry, Manifest

STATE_FILE = "node.sqlite"
JOBS = "jobs"
RECEIPTS = "receipts"
PAYLOADS = ("outgoing", "incoming")


def back_up(folder: Path, file: Path, passphrase: str, *, with_payloads: bool = False) -> Manifest:
    """Write an archive of a node, mode 0600, whole or not at all.

    Args:
        folder: the node's, with its node.toml.
        file: to write; must not exist.
        passphrase: of the archive.
        with_payloads: payload files, too.

    Returns:
        What is in it.

    Raises:
        ConfigError: the file exists or cannot be written, the passphrase is too short, or a part of the node lies
            outside its folder.
    """
    config = load_config(folder / "node.toml")
    base = folder.resolve()
    state = _inside(base, config.state.folder, "[state] folder")
    if file.exists():
        raise ConfigError(f"{file}: exists already; choose another name, archives are never overwritten")
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            manifest = _write(config, base, state, out, passphrase, with_payloads)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, file)  # unlike a rename, fails where the file has appeared meanwhile
    except FileExistsError:
        raise ConfigError(f"{file}: exists already; choose another name, archives are never overwritten") from None
    except OSError as error:
        raise ConfigError(f"{error.filename or file}: cannot be backed up ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return manifest


def _write(
    config: NodeConfig, base: Path, state: Path, out: BinaryIO, passphrase: str, with_payloads: bool
) -> Manifest:
    writer = ArchiveWriter(out, passphrase)
    entries: dict[str, FileEntry] = {}
    with tarfile.open(fileobj=cast(IO[bytes], writer), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in _settings(config, base):
            entries[path.relative_to(base).as_posix()] = _add(tar, base, path)
        for path, content in CertificateFiles.of(config).read().items():
            entries[path.relative_to(base).as_posix()] = _add_bytes(tar, path.relative_to(base).as_posix(), content)
        for path in (*_files_below(state / JOBS), *_files_below(state / RECEIPTS)):
            with contextlib.suppress(FileNotFoundError):  # a job has ended, and its journal was deleted
                entries[path.relative_to(base).as_posix()] = _add(tar, base, path)
        if (state / STATE_FILE).exists():
            with tempfile.TemporaryDirectory(prefix="fedchain-backup-", dir=state) as scratch:
                copy = Path(scratch) / STATE_FILE
                _snapshot(state / STATE_FILE, copy)
                name = (state / STATE_FILE).relative_to(base).as_posix()
                entries[name] = _add_as(tar, name, copy)
        for kind in PAYLOADS if with_payloads else ():
            for path in _files_below(state / kind):
                with contextlib.suppress(FileNotFoundError):
                    entries[path.relative_to(base).as_posix()] = _add(tar, base, path)
        manifest = Manifest(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            node=config.name,
            payloads=with_payloads,
            files=entries,
        )
        raw = manifest.model_dump_json(indent=1).encode()
        tar.addfile(_member(NAME, len(raw)), BytesIO(raw))
    writer.finish()
    return manifest


def _settings(config: NodeConfig, base: Path) -> list[Path]:
    """node.toml, keystore, encryption key, and the deployment file if it lies inside; certificate and key must, too."""
    keys = config.keys
    found = [base / "node.toml", _inside(base, keys.keystore, "[keys] keystore")]
    if staged_keystore(config).exists():
        found.append(staged_keystore(config))
    for key, path in (("certificate", keys.certificate), ("certificate_key", keys.certificate_key)):
        _inside(base, path, f"[keys] {key}")
    encryption_key = _inside(base, keys.encryption_key, "[keys] encryption_key")
    if encryption_key.exists():
        found.append(encryption_key)
    deployment = config.chain.deployment.resolve()
    if deployment.is_relative_to(base) and deployment.exists():
        found.append(deployment)
    return found


def _inside(base: Path, path: Path, what: str) -> Path:
    resolved = path.resolve()
    if resolved == base or not resolved.is_relative_to(base):
        raise ConfigError(
            f"{what} {path}: is not below {base}, and a backup holds one folder; move it there, or back it up by itself"
        )
    return resolved


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files, in order; not links, and not what is just being written."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(path.lstat().st_mode) and path.suffix != ".part" and not path.name.startswith("."):
                yield path


def _add(tar: tarfile.TarFile, base: Path, path: Path) -> FileEntry:
    return _add_as(tar, path.relative_to(base).as_posix(), path)


def _add_as(tar: tarfile.TarFile, name: str, path: Path) -> FileEntry:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        hashed = _Hashed(file)
        tar.addfile(_member(name, size), cast(IO[bytes], hashed))
    return FileEntry(size=size, sha256=hashed.digest.hexdigest())


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> FileEntry:
    tar.addfile(_member(name, len(content)), BytesIO(content))
    return FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A member that tells nothing of this machine: no owner, no time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class _Hashed:
    """Reads a file and hashes what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _snapshot(path: Path, copy: Path) -> None:
    """A consistent copy of a database that another process may be writing to."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=10.0)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            (found,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: cannot be copied ({error}); restore it, or move it away") from error
    if found != "ok":
        raise ConfigError(f"{path}: is damaged ({found}); restore it, or move it away")
