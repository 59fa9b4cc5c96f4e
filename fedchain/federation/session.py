"""What a party keeps of a job beside its shard: who is who among its rows, and its sealing key. Secret to the party."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.psi import Aligned
from fedchain.alignment.request_tags import REQUEST_TAG_BYTES, request_tags
from fedchain.crypto.seal import open_sealed, pair_key, seal
from fedchain.errors import ModelFormatError
from fedchain.types import PartyId

VERSION = 3
READABLE = (1, 2, 3)
"""Version 1 had no row tags: of such a job no request tags can be made. Version 2 had no partial rows."""
_PURPOSE = b"request tags"
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sealing keys of a job.

    Attributes:
        me: this party.
        salt: 32 bytes that all parties contributed to; fresh for each job and bound into every sealed payload.
        private: this party's X25519 private key of the job.
        public: everybody's public keys, by name in roster order.
    """

    me: str
    salt: Bytes32
    private: Bytes32
    public: dict[str, Bytes32]

    def seal_to_roster(self, plaintext: bytes, context: str) -> bytes:
        """Seal for every party on the roster."""
        return seal(plaintext, self.public, self._context(context, self.me))

    def seal_to(self, recipient: PartyId, plaintext: bytes, context: str) -> bytes:
        """Seal for one party."""
        return seal(plaintext, {recipient: self.public[recipient]}, self._context(context, self.me))

    def unseal(self, sealed: bytes, context: str, sender: PartyId) -> bytes:
        """Open what `sender` sealed under this context.

        Raises:
            SealError: tampered with, not for this party, or of another context, job or sender.
        """
        return open_sealed(sealed, self.me, self.private, self._context(context, sender))

    def pair_key(self, peer: PartyId, purpose: bytes) -> bytes:
        """32 bytes that this party and `peer` alone know; of this job, and of one purpose."""
        return pair_key(self.private, self.public[peer], self.salt, purpose)

    def _context(self, context: str, sender: str) -> bytes:
        return self.salt + f"{sender}/{context}".encode()

    def __repr__(self) -> str:
        return f"Keys(me={self.me!r}, parties={list(self.public)})"


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A finished job's private state at one party, kept in a file that only the party's own user may read.

    Attributes:
        keys: sealing keys.
        ids: own ids of the aligned rows, in the shared order.
        holdout: positions that never trained; active party only, else empty.
        row_tags: 16 bytes per aligned row, joined, in their order (`Aligned.tags`).
        version: of this format.
        partial_ids, partial_tags, partial_holders: rows that not all parties hold, where the job scores them, too
            (`Aligned`).
    """

    keys: Keys
    ids: tuple[str, ...]
    holdout: tuple[int, ...] = ()
    row_tags: bytes = b""
    version: int = VERSION
    partial_ids: tuple[str, ...] = ()
    partial_tags: bytes = b""
    partial_holders: bytes = b""

    @property
    def known_ids(self) -> tuple[str, ...]:
        """Own ids of the aligned rows, then of the partial ones: the rows that later requests count from 0."""
        return self.ids + self.partial_ids

    @property
    def known_holders(self) -> NDArray[np.uint8]:
        """(known rows,) uint8: bit i is set where the roster's party i holds the row."""
        everybody = np.full(len(self.ids), (1 << len(self.keys.public)) - 1, np.uint8)
        return np.concatenate([everybody, np.frombuffer(self.partial_holders, np.uint8)])

    def known_tags(self, peer: PartyId, epoch: int) -> bytes:
        """As `request_tags`, for aligned and partial rows; of rows that `peer` does not hold they are for nobody.

        Raises:
            ModelFormatError, KeyError: as `request_tags`.
        """
        partial = request_tags(self.keys.pair_key(peer, _PURPOSE), epoch, self.partial_tags)
        return self.request_tags(peer, epoch) + partial

    def request_tags(self, peer: PartyId, epoch: int) -> bytes:
        """16 bytes per aligned row by which this party and `peer` speak of it in an epoch; the same at both.

        No other party can tell which row, or link tags of two epochs or two pairs. About 1 µs per row.

        Raises:
            ModelFormatError: the session was kept by a fedchain that had no row tags.
            KeyError: not on the roster.
        """
        if len(self.row_tags) != REQUEST_TAG_BYTES * len(self.ids):
            raise ModelFormatError(
                "the session has no row tags: it is of an earlier fedchain; align again in a new job"
            )
        return request_tags(self.keys.pair_key(peer, _PURPOSE), epoch, self.row_tags)

    def save(self, path: Path) -> None:
        """Write with mode 0600, in one step."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.msgpack.encode(self))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Session:
        """Read a session file.

        Raises:
            ModelFormatError: missing, damaged, or of another version.
        """
        try:
            session = msgspec.msgpack.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise ModelFormatError(f"{path}: session cannot be read: {error}") from error
        if session.version not in READABLE:
            raise ModelFormatError(f"{path}: session version {session.version}, this fedchain reads up to {VERSION}")
        partial = len(session.partial_ids)
        if (len(session.partial_tags), len(session.partial_holders)) != (REQUEST_TAG_BYTES * partial, partial):
            raise ModelFormatError(f"{path}: session cannot be read: its partial rows have tags or holders missing")
        return session

    def __repr__(self) -> str:
        return f"Session(me={self.keys.me!r}, rows={len(self.ids)})"


def session_of(keys: Keys, aligned: Aligned, holdout: tuple[int, ...] = ()) -> Session:
    """What a party keeps once it is aligned."""
    return Session(
        keys,
        aligned.ids,
        holdout,
        aligned.tags,
        partial_ids=aligned.partial_ids,
        partial_tags=aligned.partial_tags,
        partial_holders=aligned.partial_holders,
    )
