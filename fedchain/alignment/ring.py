"""The ring: sets in chunks, from party to party, each of which blinds what comes in and passes it on.

A party holds a few chunks at a time, and of every id of a set that comes by 8 bytes, to see that none comes twice.
Work is one chunk ahead of the messages: while a chunk is blinded, the next one is fetched and the last one sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec
import numpy as np

from fedchain.alignment.chunks import (
    HEADER_STEP,
    POINT_BYTES,
    Item,
    chunk_count,
    chunk_length,
    items_of,
    step_of,
    ticks,
)
from fedchain.alignment.matching import TAG_BYTES, Tags, Words, as_tags, repeats, tags_repeat
from fedchain.alignment.ownset import OwnSet
from fedchain.alignment.sizes import require_enough, require_padded
from fedchain.compute.executor import Executor
from fedchain.crypto import dleq, psi
from fedchain.crypto.curve import COMPRESSED_BYTES
from fedchain.crypto.points import PointArray
from fedchain.errors import InvalidPointError, ProofError, ProtocolViolationError
from fedchain.messages import BlindedIds, IdSet
from fedchain.protocol import Checkpoint, Party, Send, Stage, gather, recall, receive
from fedchain.types import PartyId

COMMITMENT_BYTES = 32


class _Done(msgspec.Struct, frozen=True, array_like=True):
    """What a party that was killed needs of a chunk that it has passed on.

    Attributes:
        words: the low word of each point that came.
        tags: what was published of them, where all have blinded; else empty.
    """

    words: bytes
    tags: bytes


@dataclass
class Ring:
    """One party's part.

    Attributes:
        me, roster: who is who.
        own: this party's set.
        salt: of the session.
        secret: of the blinding.
        chunk_ids: ids in a chunk.
        proven: whether blindings are proven.
        min_rows: the least size of a set.
        padding: what `count` of each set must be a multiple of; "power_of_two"; or None.
        executor: where the curve arithmetic runs.
        headers: of all sets in roster order, once they are known.
    """

    me: PartyId
    roster: Sequence[PartyId]
    own: OwnSet
    salt: bytes
    secret: int
    chunk_ids: int
    proven: bool
    min_rows: int
    padding: int | str | None
    executor: Executor
    headers: tuple[IdSet, ...] = ()
    _done: int = 0
    _words: dict[int, list[Words]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find the neighbours."""
        self.parties, self.index = len(self.roster), self.roster.index(self.me)
        self.following = self.roster[(self.index + 1) % self.parties]
        self.preceding = self.roster[(self.index - 1) % self.parties]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fedchain-psi")

    def close(self) -> None:
        """End the work that is ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def blindings(self) -> int:
        """Ids to blind in all: one by one, of all sets."""
        if not self.headers:
            return self.parties * len(self.own)
        return sum(header.count for header in self.headers)

    # -- the own set ------------------------------------------------------------------------------------------------

    def commit(self) -> Party[None]:
        """Blind the own set, keep it, and publish what it is committed to; take the others' commitments.

        The blinded ids go through checkpoints, so that they need no memory, and a restarted party finds them.
        """
        require_enough(self.me, len(self.own), self.min_rows)
        commitments: list[bytes] = []
        pending: tuple[int, Future[bytes]] | None = None
        chunks = chunk_count(len(self.own), self.chunk_ids)
        for chunk in range(chunks):
            kept = yield from recall(_own_name(chunk))
            if kept is not None:
                commitments.append(points_commitment(self.salt, self.index, chunk, kept))
                self._done += len(kept) // POINT_BYTES
                continue
            work = self._pool.submit(self.own.blinded, chunk, self.salt, self.secret, self.executor)
            if pending is not None:
                commitments.append((yield from self._keep_own(*pending)))
            pending = chunk, work
        if pending is not None:
            commitments.append((yield from self._keep_own(*pending)))
        key = dleq.key_of(self.secret).to_sec1(compressed=True) if self.proven else b""
        header = IdSet(len(self.own), self.chunk_ids, b"".join(commitments), key)
        yield Send(header, HEADER_STEP)
        others = yield from gather(IdSet, HEADER_STEP, tuple(one for one in self.roster if one != self.me))
        for party, other in others.items():
            self._check_header(party, other)
        self.headers = tuple(header if party == self.me else others[party] for party in self.roster)
        self._check_keys()

    def _keep_own(self, chunk: int, work: Future[bytes]) -> Party[bytes]:
        points = work.result()
        yield Checkpoint(_own_name(chunk), points)
        yield from self._progress(len(points) // POINT_BYTES)
        return points_commitment(self.salt, self.index, chunk, points)

    def _check_header(self, party: PartyId, header: IdSet) -> None:
        if header.chunk_ids != self.chunk_ids:
            raise ProtocolViolationError(party, f"sends {header.chunk_ids} ids in a chunk, expected {self.chunk_ids}")
        if len(header.commitments) != COMMITMENT_BYTES * chunk_count(header.count, header.chunk_ids):
            raise ProtocolViolationError(party, "committed to another number of chunks than its ids need")
        if len(header.blinding_key) != (COMPRESSED_BYTES if self.proven else 0):
            raise ProtocolViolationError(party, "announced no blinding key, or one that the job does not ask for")
        require_padded(party, header.count, self.padding)
        require_enough(party, header.count, self.min_rows)

    def _check_keys(self) -> None:
        if not self.proven:
            return
        self._keys = {}
        for party, header in zip(self.roster, self.headers, strict=True):
            try:
                self._keys[party] = PointArray.from_sec1(header.blinding_key, 1, party, compressed=True)
            except InvalidPointError as error:
                raise ProtocolViolationError(party, f"blinding key: {error}") from error

    # -- around the ring --------------------------------------------------------------------------------------------

    def turn(self) -> Party[None]:
        """Send the own set and blind the others', until every set has been around."""
        chunks = tuple(chunk_count(header.count, self.chunk_ids) for header in self.headers)
        ahead: _Ahead | None = None
        is_resuming = True
        yield from self._send_own(0)
        for tick in range(ticks(chunks)):
            items = items_of(tick, self.index, chunks)
            kept = (yield from recall(_item_name(items[0]))) if is_resuming and items else None
            if kept is None:
                yield from self._send_own(tick + 1)
            for place, item in enumerate(items):
                if place and is_resuming:
                    kept = yield from recall(_item_name(item))
                if is_resuming and kept is not None:
                    self._restore(item, kept)
                    continue
                is_resuming = False
                points = yield from self._take(item)
                fresh = _Ahead(item, points.x_words(), self._pool.submit(self._blind, item, points))
                if ahead is not None:
                    yield from self._pass_on(ahead, chunks)
                ahead = fresh
            # the others wait for what is to go on around the ring: never leave that undone
            if ahead is not None and ahead.item.blindings + 1 < self.parties:
                yield from self._pass_on(ahead, chunks)
                ahead = None
        if ahead is not None:
            yield from self._pass_on(ahead, chunks)

    def _send_own(self, chunk: int) -> Party[None]:
        if chunk >= chunk_count(len(self.own), self.chunk_ids):
            return
        points = yield from recall(_own_name(chunk))
        assert points is not None
        message = BlindedIds(self.index, 1, len(points) // POINT_BYTES, points)
        yield Send(message, step_of(chunk, 1, self.parties), None if self.proven else self.following)

    def _take(self, item: Item) -> Party[PointArray]:
        step = step_of(item.chunk, item.blindings, self.parties)
        message = yield from receive(BlindedIds, step, self.preceding, to_me=not self.proven)
        expected = self._expected(item.origin, item.chunk)
        points = parse_points(message, item.origin, item.blindings, expected, self.preceding)
        if item.blindings == 1:
            commitments = self.headers[item.origin].commitments
            place = COMMITMENT_BYTES * item.chunk
            found = points_commitment(self.salt, item.origin, item.chunk, message.points)
            if found != commitments[place : place + COMMITMENT_BYTES]:
                raise ProtocolViolationError(
                    self.preceding, f"chunk {item.chunk} of its blinded ids is not the one that it committed to"
                )
        return points

    def _expected(self, origin: int, chunk: int) -> int:
        return chunk_length(self.headers[origin].count, self.chunk_ids, chunk)

    def _note_words(self, item: Item, words: Words, chunks: Sequence[int]) -> None:
        self._words.setdefault(item.origin, []).append(words)
        if item.chunk == chunks[item.origin] - 1 and repeats(self._words.pop(item.origin)):
            raise ProtocolViolationError(self.preceding, "sent the same blinded id twice")

    def _blind(self, item: Item, points: PointArray) -> tuple[bytes, bytes]:
        """Points or, where all have blinded, tags; and the proof."""
        blinded = psi.blind(points, self.secret, self.executor)
        proof = b""
        if self.proven:
            context = self._context(self.me, item)
            proof = dleq.prove(self.secret, points, blinded, context, self.executor)
        if item.blindings + 1 < self.parties or self.proven:
            return blinded.to_sec1(), proof
        return psi.tags(blinded).tobytes(), proof

    def _pass_on(self, ahead: _Ahead, chunks: Sequence[int]) -> Party[None]:
        item = ahead.item
        content, proof = ahead.work.result()
        self._note_words(item, ahead.words, chunks)
        blindings = item.blindings + 1
        step, is_last = step_of(item.chunk, blindings, self.parties), blindings == self.parties
        count = self._expected(item.origin, item.chunk)
        to = None if is_last or self.proven else self.following
        yield Send(BlindedIds(item.origin, blindings, count, content, proof), step, to)
        state = _Done(ahead.words.tobytes(), self._as_tags(content, self.me) if is_last else b"")
        yield Checkpoint(_item_name(item), msgspec.msgpack.encode(state))
        yield from self._progress(count)

    def _restore(self, item: Item, kept: bytes) -> None:
        """A chunk that was passed on before a restart."""
        done = msgspec.msgpack.decode(kept, type=_Done)
        self._words.setdefault(item.origin, []).append(np.frombuffer(done.words, np.uint64))
        self._done += self._expected(item.origin, item.chunk)

    def _progress(self, count: int) -> Party[None]:
        self._done += count
        if self._done < self.blindings:  # the last word is the number of common rows
            yield Stage("align", self._done, self.blindings, "ids blinded")

    # -- proofs -----------------------------------------------------------------------------------------------------
    # Each party verifies all blindings of its own set: nobody else need be honest for that.

    def _verified(self, chunk: int) -> Party[bytes]:
        """The tags of an own chunk, once every blinding of it is verified, from the first to the last."""
        name = f"psi_proven_{chunk}"
        kept = yield from recall(name)
        if kept is not None:
            return kept
        count = self._expected(self.index, chunk)
        own = yield from recall(_own_name(chunk))
        assert own is not None
        inputs = PointArray.from_sec1(own, count, self.me)
        for blindings in range(1, self.parties):
            item = Item(chunk, blindings, self.index)
            party = self.roster[(self.index + blindings) % self.parties]
            message = yield from receive(BlindedIds, step_of(chunk, blindings + 1, self.parties), party)
            outputs = parse_points(message, self.index, blindings + 1, count, party)
            try:
                context = self._context(party, item)
                dleq.verify(self._keys[party], inputs, outputs, message.proof, context, self.executor)
            except ProofError as error:
                raise ProtocolViolationError(party, f"blinded ids: {error}") from error
            inputs = outputs
        tags = psi.tags(inputs).tobytes()
        yield Checkpoint(name, tags)
        return tags

    def _context(self, prover: PartyId, item: Item) -> bytes:
        where = (self.roster.index(prover), item.origin, item.chunk, item.blindings)
        return b"fedchain-psi-blinding-1" + self.salt + b"".join(one.to_bytes(4, "big") for one in where)

    # -- tags -------------------------------------------------------------------------------------------------------

    def tags_of(self, origin: int) -> Party[Tags]:
        """All tags of a party's set, in the order of its blinded ids."""
        count = self.headers[origin].count
        tags = np.empty((count, 2), np.uint64)
        for chunk in range(chunk_count(count, self.chunk_ids)):
            first = chunk * self.chunk_ids
            tags[first : first + self.chunk_ids] = yield from self.tag_chunk(origin, chunk)
        return tags

    def tag_chunk(self, origin: int, chunk: int) -> Party[Tags]:
        """The tags of a chunk of a set, as its last blinder published them.

        Raises:
            ProtocolViolationError: out of shape, or a tag is there twice; names the publisher.
        """
        publisher = self.roster[(origin - 1) % self.parties]
        if publisher == self.me:
            state = yield from recall(_item_name(Item(chunk, self.parties - 1, origin)))
            assert state is not None
            return as_tags(msgspec.msgpack.decode(state, type=_Done).tags)
        if self.proven and origin == self.index:
            return as_tags((yield from self._verified(chunk)))
        message = yield from receive(BlindedIds, step_of(chunk, self.parties, self.parties), publisher)
        count = self._expected(origin, chunk)
        check_header(message, origin, self.parties, count, POINT_BYTES if self.proven else TAG_BYTES, publisher)
        tags = as_tags(self._as_tags(message.points, publisher))
        if tags_repeat(tags):
            raise ProtocolViolationError(publisher, "published the same tag twice")
        return tags

    def _as_tags(self, content: bytes, sender: PartyId) -> bytes:
        if not self.proven:
            return content
        try:
            points = PointArray.from_sec1(content, len(content) // POINT_BYTES, sender, executor=self.executor)
        except InvalidPointError as error:
            raise ProtocolViolationError(sender, f"blinded ids: {error}") from error
        return psi.tags(points).tobytes()


@dataclass(frozen=True)
class _Ahead:
    item: Item
    words: Words
    work: Future[tuple[bytes, bytes]]


def check_header(message: BlindedIds, origin: int, blindings: int, count: int, width: int, sender: PartyId) -> None:
    """Refuse a chunk of another set, another stage or another length.

    Raises:
        ProtocolViolationError: it is; names the sender.
    """
    if (message.origin, message.blindings) != (origin, blindings):
        raise ProtocolViolationError(sender, "sent the blinded ids of another party or another step")
    if message.count != count or len(message.points) != width * count:
        raise ProtocolViolationError(sender, f"blinded ids do not have the announced length of {count}")


def parse_points(message: BlindedIds, origin: int, blindings: int, count: int, sender: PartyId) -> PointArray:
    """The points of a chunk, each checked to be on the curve.

    Raises:
        ProtocolViolationError: out of shape, or not points; names the sender.
    """
    check_header(message, origin, blindings, count, POINT_BYTES, sender)
    try:
        return PointArray.from_sec1(message.points, count, sender)
    except InvalidPointError as error:
        raise ProtocolViolationError(sender, f"blinded ids: {error}") from error


def _own_name(chunk: int) -> str:
    return f"psi_own_{chunk}"


def _item_name(item: Item) -> str:
    return f"psi_passed_{item.chunk}_{item.blindings}"


def points_commitment(salt: bytes, origin: int, chunk: int, points: bytes) -> bytes:
    """Digest of a chunk of a party's once blinded ids, in the run with that session salt."""
    head = b"fedchain-psi-chunk-1" + salt + origin.to_bytes(4, "big") + chunk.to_bytes(4, "big")
    return hashlib.sha256(head + points).digest()
