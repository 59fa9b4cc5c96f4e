"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, synced: bool = True) -> None:
    """Write a file by way of a neighbour that is flushed and renamed; its mode is exact from the first byte on.

    Not `synced`, it is whole after the end of this process, but perhaps not after a power failure.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(neighbour, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException:
        with contextlib.suppress(OSError):
            neighbour.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Make what was renamed and deleted in a folder so far outlast a power failure.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Delete neighbours of `path` that a killed process left half written; nobody may be writing it meanwhile."""
    for neighbour in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 16}"):
        with contextlib.suppress(OSError):
            neighbour.unlink()
