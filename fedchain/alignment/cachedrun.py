"""What both sides of an alignment with a cached set (`cached`) share: the run, its checks, steps and end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.chunks import HEADER_STEP
from fedchain.alignment.matching import TAG_BYTES
from fedchain.alignment.psi import Admit, Aligned
from fedchain.alignment.shelf import CachedSets
from fedchain.compute.executor import Executor
from fedchain.crypto.curve import COMPRESSED_BYTES
from fedchain.crypto.points import PointArray
from fedchain.crypto.seal import open_for_pair
from fedchain.data.ids import sort_ids
from fedchain.errors import AlignmentError, InvalidPointError, ProtocolViolationError, SealError
from fedchain.protocol import DeclareAligned, Party, Stage
from fedchain.types import PartyId

TAGS_PURPOSE, MATCHES_PURPOSE = b"cached tags", b"cached matches"


@dataclass(frozen=True)
class CachedRun:
    """What both sides of such an alignment know.

    Attributes:
        me, holder, asker: who is who.
        ids: this party's, distinct and not blank.
        session: the job's session salt.
        min_rows, pad_to, proven, admit: as in `align`.
        pair_key: gives 32 bytes that the two parties alone know, in this job, for a purpose.
        sets: the driver's store.
        chunk_ids: points in a chunk.
        cached_chunk_ids: tags in a chunk.
        executor: where the curve arithmetic runs.
    """

    me: PartyId
    holder: PartyId
    asker: PartyId
    ids: Sequence[str]
    session: bytes
    min_rows: int
    pad_to: int | str | None
    proven: bool
    admit: Admit | None
    pair_key: Callable[[bytes], bytes]
    sets: CachedSets
    chunk_ids: int
    cached_chunk_ids: int
    executor: Executor

    @property
    def peer(self) -> PartyId:
        """The other one."""
        return self.asker if self.me == self.holder else self.holder

    def require_session(self, session: bytes) -> None:
        """Refuse a message of another job.

        Raises:
            ProtocolViolationError: it is one; names the peer.
        """
        if session != self.session:
            raise ProtocolViolationError(self.peer, "sent the alignment message of another job")

    def require_larger(self, cached: int, asking: int) -> None:
        """Refuse a cached set that is not the larger one.

        Raises:
            AlignmentError: it is not; names both.
        """
        if cached < asking:
            raise AlignmentError(
                f"party '{self.holder}' has the cached set, but with {cached} ids fewer than party '{self.asker}' with "
                f"{asking}: nothing is saved; name '{self.asker}' in [alignment] cached, or remove it"
            )

    def open(self, purpose: bytes, number: int, sealed: bytes) -> bytes:
        """Open what the peer sealed for this party.

        Raises:
            ProtocolViolationError: it does not open; names the peer.
        """
        try:
            return open_for_pair(self.pair_key(purpose), number, sealed)
        except SealError as error:
            raise ProtocolViolationError(self.peer, str(error)) from error

    def key_point(self, raw: bytes) -> PointArray:
        """A public key that the peer announced.

        Raises:
            ProtocolViolationError: not a point; names the peer.
        """
        try:
            return PointArray.from_sec1(raw, 1, self.peer, compressed=True)
        except InvalidPointError as error:
            raise ProtocolViolationError(self.peer, f"blinding key: {error}") from error

    def require_key(self, raw: bytes) -> None:
        """Refuse a blinding key where the job asks for none, and none where it does.

        Raises:
            ProtocolViolationError: so it is; names the peer.
        """
        if len(raw) != (COMPRESSED_BYTES if self.proven else 0):
            raise ProtocolViolationError(self.peer, "announced no blinding key, or one that the job does not ask for")

    def context(self, what: bytes, number: int) -> bytes:
        """What a proof is bound to."""
        return b"fedchain-psi-cached-1" + self.session + what + number.to_bytes(4, "big")

    def finish(self, rows: NDArray[np.int64], tags: bytes, sizes: tuple[int, int], done: int) -> Party[Aligned]:
        """Order the common rows and declare them.

        Args:
            rows: own rows that are common.
            tags: F of each, joined, in that order.
            sizes: of the sets, in roster order.
            done: of the progress, all.

        Raises:
            AlignmentError: too few.
        """
        ids = self.ids
        place_of = {ids[row]: place for place, row in enumerate(rows.tolist())}
        ordered = tuple(sort_ids(place_of))
        if len(ordered) < max(1, self.min_rows):
            raise AlignmentError(
                f"{len(ordered)} ids are common to both parties, the job asks for at least {self.min_rows}; "
                "check that the id columns mean the same and are spelled alike, or lower [alignment] min_rows"
            )
        places = [TAG_BYTES * place_of[one] for one in ordered]
        head = b"fedchain-row-tag-1" + self.session
        row_tags = b"".join(
            [hashlib.sha256(head + tags[place : place + TAG_BYTES]).digest()[:TAG_BYTES] for place in places]
        )
        digest = hashlib.sha256(b"fedchain-order-1" + row_tags).digest()
        yield DeclareAligned(digest, len(ordered))
        yield Stage("align", done, done, f"{len(ordered)} common rows")
        return Aligned(ordered, digest, sizes, row_tags)


def blinded_step(chunk: int) -> int:
    """The step in which a chunk of the asker's blinded ids, or of the cached set, travels."""
    return HEADER_STEP + 1 + chunk


def evaluated_step(chunk: int, cached_chunks: int) -> int:
    """The step in which a chunk of evaluated points travels: after all of the cached set's."""
    return HEADER_STEP + 1 + cached_chunks + chunk


def matches_step(piece: int, asking_chunks: int) -> int:
    """The step in which a piece of the matches travels: after all of the asker's chunks."""
    return HEADER_STEP + 1 + asking_chunks + piece


def matches_in_piece(chunk_ids: int) -> int:
    """How many matches a piece holds: they take 8 bytes each, where a point takes 65."""
    return 8 * chunk_ids
