"""Unpacks a node's backup; see `fedchain.node.backup`."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from fedchain.errors import ConfigError, CryptoError
from fedchain.node.archive import ArchiveReader
from fedchain.node.manifest import MAX_BYTES, NAME, FileEntry, Manifest

MAX_FILES = 1_000_000
_MAX_NAME = 1024
_BLOCK_BYTES = 1 << 20


def restore(file: Path, folder: Path, passphrase: str) -> Manifest:
    """Unpack an archive, whole or not at all; files get mode 0600, folders 0700.

    Args:
        file: what `back_up` wrote.
        folder: to make; may be there if it is empty.
        passphrase: of the archive.

    Returns:
        What was in it.

    Raises:
        ConfigError: the folder is not empty or cannot be written, the file is no archive, or the passphrase is wrong.
        CryptoError: the archive is damaged, cut off, holds what its manifest does not say, or a path that leads out.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there and not empty; choose another folder, nothing is overwritten")
    target = folder.resolve()
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with file.open("rb") as raw:
            reader = ArchiveReader(raw, passphrase, str(file))
            part.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir(mode=0o700)
            manifest = _unpack(reader, part, str(file))
        os.replace(part, target)  # takes the place of an empty folder, and of no other
    except OSError as error:
        raise ConfigError(f"{error.filename or file}: cannot be restored ({error.strerror or error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _unpack(reader: ArchiveReader, base: Path, where: str) -> Manifest:
    found: dict[str, FileEntry] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or manifest is not None or len(found) >= MAX_FILES:
                    raise CryptoError(f"{where}: holds more than a backup does ({member.name[:100]!r})")
                if member.name == NAME:
                    manifest = Manifest.read(content.read(MAX_BYTES))
                    continue
                path = safe_path(base, member.name)
                found[member.name] = _extract(cast(BinaryIO, content), path)
        reader.finish()
    except tarfile.TarError as error:
        raise CryptoError(f"{where}: what is in it is no backup ({error})") from error
    if manifest is None or manifest.files != found:
        raise CryptoError(f"{where}: does not hold what its manifest says; take another copy")
    return manifest


def safe_path(base: Path, name: str) -> Path:
    """Where a member of an archive belongs.

    Raises:
        CryptoError: its name is malformed, or leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    is_plain = name == "/".join(parts) and not any(part in ("", ".", "..", "/") for part in parts)
    if not parts or len(name) > _MAX_NAME or not is_plain or "\0" in name or "\\" in name:
        raise CryptoError(f"the archive holds the path {name[:100]!r}, which does not belong into a node's folder")
    return base.joinpath(*parts)


def _extract(content: BinaryIO, path: Path) -> FileEntry:
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700)  # `parents` alone would not give them that mode
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return FileEntry(size=size, sha256=digest.hexdigest())
