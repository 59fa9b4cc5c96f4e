"""A shelf on the disk: the parts of a cached set, each in a file of its own.

Files of mode 0600 in folders of mode 0700, each written in one step and synced, with a digest in front: after a kill or
a power failure each is whole or not there.
"""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from fedchain.node.digestfile import read_whole, write_whole

_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")
_MAGIC = b"fedchain-shelf-1"


class DiskShelf:
    """See `fedchain.alignment.shelf.Shelf`. Safe to use from several threads.

    Args:
        folder: created, with those above it, when something is first put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        """What was put under that name, None if nothing was.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self._path(name)
        return read_whole(path, _MAGIC, f"delete {self.folder}, and the next job makes or fetches the set anew")

    def put(self, name: str, content: bytes) -> None:
        """Keep it; it survives a crash once this returns."""
        path = self._path(name)
        make_private(self.folder)
        write_whole(path, self.folder / f"{name}.{secrets.token_hex(4)}.part", _MAGIC, content)

    def drop(self, name: str) -> None:
        """Forget it, if it is there."""
        self._path(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete everything, the folder too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        if not _NAME.match(name):
            raise ValueError(f"a shelf's names are a-z, 0-9 and _, this one is {name!r}")
        return self.folder / name


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user's eyes alone."""
    for one in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        one.mkdir(mode=0o700, exist_ok=True)
