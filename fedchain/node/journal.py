"""What a party needs to go on with a job after it was killed: secrets of the job and the last checkpoint.

Files of mode 0600 under `<state>/jobs/<job id>/journal/` (0700), each written in one step and synced, so that after a
kill or a power failure each is whole or not there. They are deleted when the job has ended.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from fedchain.node.digestfile import read_whole, write_whole

_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")
_MAGIC = b"fedchain-journal-1"


class Journal:
    """One job's journal at one party; used by one thread, and for checkpoints by the one that closes its rounds."""

    def __init__(self, folder: Path) -> None:
        """`folder` is created when something is first written."""
        self._folder = folder

    def remember(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The bytes of that name, made and synced to the disk where there are none yet.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self._path("secret", name)
        found = self._read(path)
        if found is None:
            found = make()
            self._write(path, found)
        return found

    def remembered(self, name: str) -> bytes | None:
        """The bytes of that name, None where there are none.

        Raises:
            ConfigError: the file is damaged.
        """
        return self._read(self._path("secret", name))

    def checkpoint(self, name: str, state: bytes, round: int = 0) -> None:
        """Keep the state after a round; the one of the round before stays, those of earlier rounds go."""
        self._write(self._path(f"{round}.state", name), state)
        for earlier, path in self._states(name):
            if earlier < round - 1:
                path.unlink(missing_ok=True)

    def recall(self, name: str) -> bytes | None:
        """The latest state of that name, None if there is none.

        Raises:
            ConfigError: the file is damaged.
        """
        states = self._states(name)
        return self._read(max(states)[1]) if states else None

    def roll_back(self, round: int) -> None:
        """Delete the states of a round and of later ones."""
        for after, path in [found for name in self._names() for found in self._states(name)]:
            if after >= round:
                path.unlink(missing_ok=True)

    def _names(self) -> set[str]:
        return {path.name.split(".")[0] for path in self._folder.glob("*.state")}

    def _states(self, name: str) -> list[tuple[int, Path]]:
        found = []
        for path in self._folder.glob(f"{name}.*.state"):
            number = path.name.split(".")[1]
            if number.isdecimal():
                found.append((int(number), path))
        return found

    @property
    def exists(self) -> bool:
        """Whether anything was written and not forgotten."""
        return self._folder.is_dir()

    def forget(self) -> None:
        """Delete everything: the job has ended."""
        with contextlib.suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                path.unlink(missing_ok=True)
            self._folder.rmdir()

    def _path(self, kind: str, name: str) -> Path:
        if not _NAME.match(name):
            raise ValueError(f"a journal's names are a-z, 0-9 and _, this one is {name!r}")
        return self._folder / f"{name}.{kind}"

    def _read(self, path: Path) -> bytes | None:
        return read_whole(path, _MAGIC, "the job cannot go on at this node: restore the file or abort the job")

    def _write(self, path: Path, content: bytes) -> None:
        for folder in (self._folder.parent.parent, self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # `parents` alone would not give them that mode
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        write_whole(path, part, _MAGIC, content)
