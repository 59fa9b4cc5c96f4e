"""The asker's side of an alignment with a cached set (`cached`): has its ids evaluated, and looks them up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.cachedrun import (
    MATCHES_PURPOSE,
    TAGS_PURPOSE,
    CachedRun,
    blinded_step,
    evaluated_step,
    matches_in_piece,
    matches_step,
)
from fedchain.alignment.cachedset import chunk_commitment, is_ascending, locate
from fedchain.alignment.chunks import HEADER_STEP, POINT_BYTES, chunk_count, chunk_length
from fedchain.alignment.matching import TAG_BYTES, as_tags, tags_repeat
from fedchain.alignment.ownset import SEED_BYTES, OwnSet, padded
from fedchain.alignment.psi import Aligned
from fedchain.alignment.ring import COMMITMENT_BYTES, parse_points, points_commitment
from fedchain.alignment.shelf import SECRET_BYTES, Shelf
from fedchain.alignment.sizes import require_enough, require_padded
from fedchain.crypto import dleq, psi
from fedchain.crypto.curve import ORDER
from fedchain.crypto.points import PointArray
from fedchain.crypto.seal import seal_for_pair
from fedchain.errors import AlignmentError, ProofError, ProtocolViolationError
from fedchain.messages import AskingSet, BlindedIds, CachedChunk, CachedSet, Matches, encode
from fedchain.protocol import Checkpoint, Party, Send, Stage, recall, receive, remember
from fedchain.types import PartyId

_HEADER = "header"


def ask(run: CachedRun, roster: Sequence[PartyId]) -> Party[Aligned]:
    """The asker's part; raises what `align_cached` says."""
    secret = int.from_bytes((yield from remember("psi_secret", _new_secret)), "big")
    seed = yield from remember("psi_order", lambda: os.urandom(SEED_BYTES))
    own = OwnSet(run.ids, seed, padded(len(run.ids), run.pad_to), run.chunk_ids)
    require_enough(run.me, len(own), run.min_rows)
    cached = yield from receive(CachedSet, HEADER_STEP, run.holder)
    _check(run, cached, len(own))
    if run.admit is not None:
        run.admit(run.holder, cached.count, len(run.ids))
    shelf = run.sets.held(run.holder, cached.salt)
    _require_unchanged(run, shelf, cached)
    progress = _Progress(2 * len(own))
    origin = roster.index(run.me)
    commitments = yield from _blind(run, own, origin, cached.salt, secret, progress)
    holds = yield from remember("psi_holds", lambda: bytes([_is_whole(shelf, cached)]))
    key = dleq.key_of(secret).to_sec1(compressed=True) if run.proven else b""
    asking = AskingSet(run.session, len(own), run.chunk_ids, commitments, key, holds == b"\x01")
    yield Send(asking, HEADER_STEP)
    if not asking.holds:
        yield from _take_cached(run, shelf, cached, progress)
    tags = yield from _evaluated(run, own, origin, cached, secret, progress)
    if tags_repeat(as_tags(tags.tobytes())):
        raise ProtocolViolationError(run.holder, "evaluated two ids to one point")
    positions = locate(tags, _chunks(run, shelf, cached))
    positions[~own.real()] = -1  # a dummy of the own set; not among the holder's but for one in 2^128
    places = np.flatnonzero(positions >= 0)
    places = places[np.argsort(positions[places])]
    yield from _tell(run, own, cached, secret, positions[places], places)
    counts = {run.holder: cached.count, run.asker: len(own)}
    sizes = (counts[roster[0]], counts[roster[1]])
    rows = own.rows(places)
    return (yield from run.finish(rows, tags[places].tobytes(), sizes, progress.total))


class _Progress:
    """Ids blinded and unblinded."""

    def __init__(self, total: int) -> None:
        self.total, self._done = total, 0

    def add(self, count: int, what: str) -> Iterator[Stage]:
        """So many more; the last word is the number of common rows."""
        self._done += count
        if self._done < self.total:
            yield Stage("align", self._done, self.total, what)


def _check(run: CachedRun, cached: CachedSet, own: int) -> None:
    run.require_session(cached.session)
    if cached.chunk_ids != run.cached_chunk_ids:
        words = f"sends {cached.chunk_ids} tags in a chunk, expected {run.cached_chunk_ids}"
        raise ProtocolViolationError(run.holder, words)
    if len(cached.commitments) != COMMITMENT_BYTES * chunk_count(cached.count, cached.chunk_ids):
        raise ProtocolViolationError(run.holder, "committed to another number of chunks than its ids need")
    run.key_point(cached.key)
    require_padded(run.holder, cached.count, run.pad_to)
    require_enough(run.holder, cached.count, run.min_rows)
    run.require_larger(cached.count, own)


def _require_unchanged(run: CachedRun, shelf: Shelf, cached: CachedSet) -> None:
    """Within an epoch the holder always says the same of its set."""
    said = encode(CachedSet(bytes(32), cached.salt, cached.count, cached.chunk_ids, cached.commitments, cached.key))
    before = shelf.get(_HEADER)
    if before is None:
        shelf.put(_HEADER, said)
    elif before != said:
        raise ProtocolViolationError(run.holder, "changed its cached set or its key within a set epoch")


def _is_whole(shelf: Shelf, cached: CachedSet) -> bool:
    chunks = range(chunk_count(cached.count, cached.chunk_ids))
    return all(shelf.get(_chunk_name(chunk)) is not None for chunk in chunks)


def _blind(run: CachedRun, own: OwnSet, origin: int, salt: bytes, secret: int, progress: _Progress) -> Party[bytes]:
    """Blind the own set into checkpoints; its commitments."""
    yield Stage("align", 0, progress.total, f"blinding {len(run.ids)} ids")
    commitments = b""
    for chunk in range(chunk_count(len(own), run.chunk_ids)):
        points = yield from recall(_own_name(chunk))
        if points is None:
            points = own.blinded(chunk, salt, secret, run.executor)
            yield Checkpoint(_own_name(chunk), points)
        commitments += points_commitment(run.session, origin, chunk, points)
        yield from progress.add(len(points) // POINT_BYTES, "ids blinded")
    return commitments


def _take_cached(run: CachedRun, shelf: Shelf, cached: CachedSet, progress: _Progress) -> Party[None]:
    """Receive the cached set, but for chunks that came before a restart; each must be what was committed to."""
    last = b""
    for chunk in range(chunk_count(cached.count, cached.chunk_ids)):
        tags = shelf.get(_chunk_name(chunk))
        if tags is None:
            message = yield from receive(CachedChunk, blinded_step(chunk), run.holder, to_me=True)
            tags = run.open(TAGS_PURPOSE, chunk, message.sealed)
            count = chunk_length(cached.count, cached.chunk_ids, chunk)
            if message.chunk != chunk or len(tags) != TAG_BYTES * count:
                raise ProtocolViolationError(run.holder, f"chunk {chunk} of its cached set is not of {count} tags")
            place = COMMITMENT_BYTES * chunk
            if chunk_commitment(cached.salt, chunk, tags) != cached.commitments[place : place + COMMITMENT_BYTES]:
                raise ProtocolViolationError(
                    run.holder, f"chunk {chunk} of its cached set is not the one that it committed to"
                )
            if not is_ascending(tags, last):
                raise ProtocolViolationError(run.holder, "the tags of its cached set do not ascend")
            shelf.put(_chunk_name(chunk), tags)
        last = tags[-TAG_BYTES:]
        yield from progress.add(0, "taking the cached set")


def _evaluated(
    run: CachedRun, own: OwnSet, origin: int, cached: CachedSet, secret: int, progress: _Progress
) -> Party[NDArray[np.uint8]]:
    """(n, 16) uint8: the tag of each element of the own set, evaluated by the holder and unblinded here."""
    chunks, cached_chunks = chunk_count(len(own), run.chunk_ids), chunk_count(cached.count, cached.chunk_ids)
    tags = np.empty((len(own), TAG_BYTES), np.uint8)
    inverse, key = pow(secret, -1, ORDER), run.key_point(cached.key)
    yield from _send_own(run, origin, 0, chunks)
    for chunk in range(chunks):
        yield from _send_own(run, origin, chunk + 1, chunks)  # the holder works on it while this one is unblinded
        name = f"psi_unblinded_{chunk}"
        found = yield from recall(name)
        count = chunk_length(len(own), run.chunk_ids, chunk)
        if found is None:
            message = yield from receive(BlindedIds, evaluated_step(chunk, cached_chunks), run.holder, to_me=True)
            points = parse_points(message, origin, 2, count, run.holder)
            if run.proven:
                sent = yield from recall(_own_name(chunk))
                assert sent is not None
                try:
                    inputs = PointArray.from_sec1(sent, count, run.me)
                    dleq.verify(key, inputs, points, message.proof, run.context(b"evaluated", chunk), run.executor)
                except ProofError as error:
                    raise ProtocolViolationError(run.holder, f"evaluated ids: {error}") from error
            found = psi.tags(psi.blind(points, inverse, run.executor)).tobytes()
            yield Checkpoint(name, found)
        first = chunk * run.chunk_ids
        tags[first : first + count] = np.frombuffer(found, np.uint8).reshape(-1, TAG_BYTES)
        yield from progress.add(count, "ids evaluated")
    return tags


def _send_own(run: CachedRun, origin: int, chunk: int, chunks: int) -> Party[None]:
    if chunk >= chunks:
        return
    points = yield from recall(_own_name(chunk))
    assert points is not None
    yield Send(BlindedIds(origin, 1, len(points) // POINT_BYTES, points), blinded_step(chunk), run.holder)


def _chunks(run: CachedRun, shelf: Shelf, cached: CachedSet) -> Iterator[bytes]:
    for chunk in range(chunk_count(cached.count, cached.chunk_ids)):
        tags = shelf.get(_chunk_name(chunk))
        if tags is None:
            raise AlignmentError(
                f"the cached set of party '{run.holder}', which this job began with, is lost at party '{run.me}'; "
                "abort the job and submit it again"
            )
        yield tags


def _tell(
    run: CachedRun,
    own: OwnSet,
    cached: CachedSet,
    secret: int,
    positions: NDArray[np.int64],
    places: NDArray[np.int64],
) -> Party[None]:
    """Tell the holder which positions were found, and prove that the own committed points are these."""
    size, total = matches_in_piece(run.chunk_ids), len(positions)
    for piece in range(max(1, chunk_count(total, size))):
        cut = slice(piece * size, (piece + 1) * size)
        step = matches_step(piece, chunk_count(len(own), run.chunk_ids))
        plain = positions[cut].astype("<u4").tobytes()
        if run.proven:
            plain += places[cut].astype("<u4").tobytes()
        proof = b""
        if run.proven and len(places[cut]):
            inputs = psi.hash_to_curve(own.preimages_at(places[cut]), cached.salt, run.executor)
            outputs = psi.blind(inputs, secret, run.executor)
            proof = dleq.prove(secret, inputs, outputs, run.context(b"matches", piece), run.executor)
        sealed = seal_for_pair(run.pair_key(MATCHES_PURPOSE), piece, plain)
        yield Send(Matches(piece * size, total, sealed, proof), step, run.holder)


def _own_name(chunk: int) -> str:
    return f"psi_own_{chunk}"


def _chunk_name(chunk: int) -> str:
    return f"tags_{chunk}"


def _new_secret() -> bytes:
    return psi.random_secret().to_bytes(SECRET_BYTES, "big")
