"""Where a cached set is kept between jobs: handed in by the driver, so that a party's generator touches no file."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fedchain.alignment.prints import IdPrints
from fedchain.crypto import psi
from fedchain.types import PartyId

SECRET_BYTES = 32


class Shelf(Protocol):
    """Named bytes that outlive a job. Private to the party.

    Names are 1 to 64 characters of a-z, 0-9 and `_`. Whatever `get` gives is whole, as it was put.
    """

    def get(self, name: str) -> bytes | None:
        """What was put under that name, None if nothing was."""

    def put(self, name: str, content: bytes) -> None:
        """Keep it, in one step."""

    def drop(self, name: str) -> None:
        """Forget it, if it is there."""


@dataclass(frozen=True)
class Epoch:
    """A set epoch at its holder: one key for one set of ids, one peer and some days.

    Attributes:
        secret: the exponent that ids are blinded with, 32 bytes; whoever has it can look up any id in the cached set.
        salt: 32 bytes, public; ids are hashed to the curve under it.
        shelf: keeps the cached set.
        lock: held while the set is made, so that two jobs do not make it twice.
    """

    secret: bytes = field(repr=False)
    salt: bytes
    shelf: Shelf = field(repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def fresh(cls, shelf: Shelf) -> Epoch:
        """With a new key from the operating system."""
        return cls(psi.random_secret().to_bytes(SECRET_BYTES, "big"), os.urandom(psi.SALT_BYTES), shelf)

    @property
    def scalar(self) -> int:
        """The secret as a number."""
        return int.from_bytes(self.secret, "big")


class CachedSets(Protocol):
    """What a driver lends a party for alignments with a cached set."""

    def own(
        self, peer: PartyId, ids: Sequence[str], pad_to: int | str | None, chunk_ids: int
    ) -> tuple[Epoch, IdPrints]:
        """The holder's set epoch with a peer: one that serves these very ids, or a new one.

        Raises:
            AlignmentError: this party holds no cached set for others, or that of a job under way is lost.
        """

    def held(self, peer: PartyId, salt: bytes) -> Shelf:
        """Where the asker keeps a peer's cached set of the epoch with that salt."""


class MemoryShelf:
    """A shelf that is gone with its process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """See `Shelf`."""
        return self._kept.get(name)

    def put(self, name: str, content: bytes) -> None:
        """See `Shelf`."""
        self._kept[name] = content

    def drop(self, name: str) -> None:
        """See `Shelf`."""
        self._kept.pop(name, None)


class MemoryCachedSets:
    """Cached sets of one party that are gone with its process: for simulations. Epochs never end by time."""

    def __init__(self) -> None:
        self._own: dict[tuple[PartyId, int | str | None, int], tuple[Epoch, bytes]] = {}
        self._held: dict[tuple[PartyId, bytes], MemoryShelf] = {}

    def own(
        self, peer: PartyId, ids: Sequence[str], pad_to: int | str | None, chunk_ids: int
    ) -> tuple[Epoch, IdPrints]:
        """See `CachedSets`."""
        known = self._own.get((peer, pad_to, chunk_ids))
        if known is not None:
            prints = IdPrints(ids, known[0].secret)
            if prints.digest == known[1]:
                return known[0], prints
        epoch = Epoch.fresh(MemoryShelf())
        prints = IdPrints(ids, epoch.secret)
        self._own[peer, pad_to, chunk_ids] = epoch, prints.digest
        return epoch, prints

    def held(self, peer: PartyId, salt: bytes) -> Shelf:
        """See `CachedSets`."""
        return self._held.setdefault((peer, salt), MemoryShelf())
