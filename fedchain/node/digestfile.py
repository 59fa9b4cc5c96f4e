"""Files of this user alone, with a digest in front: after a kill or a power failure each is whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fedchain.errors import ConfigError

_DIGEST_BYTES = 32


def read_whole(path: Path, magic: bytes, advice: str) -> bytes | None:
    """What `write_whole` wrote there, None if there is no such file.

    Args:
        path: the file.
        magic: of its kind, as it was written with.
        advice: what to do about a damaged one.

    Raises:
        ConfigError: the file is damaged, or was written under another name or for something else.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    content = raw[_DIGEST_BYTES:]
    if _digest(path, magic, content) != raw[:_DIGEST_BYTES]:
        raise ConfigError(f"{path}: damaged; {advice}")
    return content


def write_whole(path: Path, part: Path, magic: bytes, content: bytes) -> None:
    """Write with mode 0600, in one step; the file survives a crash once this returns.

    Args:
        path: the file; its name goes into the digest.
        part: where it is written first, in the same folder; is not there.
        magic: tells kinds of files apart.
        content: any bytes.
    """
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_digest(path, magic, content))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    opened = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _digest(path: Path, magic: bytes, content: bytes) -> bytes:
    return hashlib.sha256(magic + path.name.encode() + content).digest()
