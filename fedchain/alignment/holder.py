"""The holder of a cached set (`cached`): evaluates the asker's points under the key of its set epoch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
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
from fedchain.alignment.cachedset import CachedSet, make
from fedchain.alignment.chunks import HEADER_STEP, chunk_count, chunk_length
from fedchain.alignment.matching import Words, repeats
from fedchain.alignment.psi import Aligned
from fedchain.alignment.ring import COMMITMENT_BYTES, parse_points, points_commitment
from fedchain.alignment.sizes import require_enough, require_padded
from fedchain.crypto import dleq, psi
from fedchain.crypto.points import PointArray, concat
from fedchain.crypto.seal import seal_for_pair
from fedchain.data.idarray import Ids
from fedchain.errors import ProofError, ProtocolViolationError
from fedchain.messages import AskingSet, BlindedIds, CachedChunk, Matches
from fedchain.protocol import Checkpoint, Party, Send, Stage, recall, receive
from fedchain.types import PartyId


class _Evaluated(msgspec.Struct, frozen=True, array_like=True):
    points: bytes
    proof: bytes


def hold(run: CachedRun, roster: Sequence[PartyId]) -> Party[Aligned]:
    """The holder's part; raises what `align_cached` says."""
    epoch, prints = run.sets.own(run.asker, run.ids, run.pad_to, run.cached_chunk_ids)
    cached = yield from make(run.ids, prints, epoch, run.pad_to, run.cached_chunk_ids, run.executor)
    require_enough(run.me, cached.count, run.min_rows)
    yield Send(cached.message(run.session), HEADER_STEP)
    asking = yield from receive(AskingSet, HEADER_STEP, run.asker)
    _check(run, asking, cached)
    if run.admit is not None:
        run.admit(run.asker, asking.count, len(run.ids))
    if not asking.holds:
        yield Stage("align", 0, asking.count, f"sending {cached.count} tags")
        for chunk in range(cached.chunks):
            sealed = seal_for_pair(run.pair_key(TAGS_PURPOSE), chunk, cached.chunk(chunk))
            yield Send(CachedChunk(chunk, sealed), blinded_step(chunk), run.asker)
    blinded = yield from _evaluate(run, roster.index(run.asker), cached, asking)
    positions = yield from _matches(run, cached, asking, blinded)
    counts = {run.holder: cached.count, run.asker: asking.count}
    sizes = (counts[roster[0]], counts[roster[1]])
    return (yield from run.finish(cached.rows(positions), cached.tags(positions), sizes, asking.count))


def _check(run: CachedRun, asking: AskingSet, cached: CachedSet) -> None:
    run.require_session(asking.session)
    if asking.chunk_ids != run.chunk_ids:
        raise ProtocolViolationError(run.asker, f"sends {asking.chunk_ids} ids in a chunk, expected {run.chunk_ids}")
    if len(asking.commitments) != COMMITMENT_BYTES * chunk_count(asking.count, asking.chunk_ids):
        raise ProtocolViolationError(run.asker, "committed to another number of chunks than its ids need")
    run.require_key(asking.blinding_key)
    require_padded(run.asker, asking.count, run.pad_to)
    require_enough(run.asker, asking.count, run.min_rows)
    run.require_larger(cached.count, asking.count)


def _evaluate(run: CachedRun, origin: int, cached: CachedSet, asking: AskingSet) -> Party[list[PointArray]]:
    """Multiply the asker's points; those that came are kept where its matches are to be proven, else none."""
    words: list[Words] = []
    kept: list[PointArray] = []
    done, scalar = 0, cached.epoch.scalar
    for chunk in range(chunk_count(asking.count, asking.chunk_ids)):
        count = chunk_length(asking.count, asking.chunk_ids, chunk)
        message = yield from receive(BlindedIds, blinded_step(chunk), run.asker, to_me=True)
        points = parse_points(message, origin, 1, count, run.asker)
        place = COMMITMENT_BYTES * chunk
        found = points_commitment(run.session, origin, chunk, message.points)
        if found != asking.commitments[place : place + COMMITMENT_BYTES]:
            raise ProtocolViolationError(
                run.asker, f"chunk {chunk} of its blinded ids is not the one that it committed to"
            )
        words.append(points.x_words())
        if run.proven:
            kept.append(points)
        name = f"psi_evaluated_{chunk}"
        state = yield from recall(name)
        if state is None:
            evaluated = psi.blind(points, scalar, run.executor)
            proof = b""
            if run.proven:
                proof = dleq.prove(scalar, points, evaluated, run.context(b"evaluated", chunk), run.executor)
            state = msgspec.msgpack.encode(_Evaluated(evaluated.to_sec1(), proof))
            yield Checkpoint(name, state)  # before it is sent: it is not made twice
        ready = msgspec.msgpack.decode(state, type=_Evaluated)
        answer = BlindedIds(origin, 2, count, ready.points, ready.proof)
        yield Send(answer, evaluated_step(chunk, cached.chunks), run.asker)
        done += count
        if done < asking.count:
            yield Stage("align", done, asking.count, "ids evaluated")
    if repeats(words):
        raise ProtocolViolationError(run.asker, "sent the same blinded id twice")
    return kept


def _matches(
    run: CachedRun, cached: CachedSet, asking: AskingSet, blinded: list[PointArray]
) -> Party[NDArray[np.int64]]:
    """The positions that the asker found, ascending; each is one of an id."""
    size, pieces, piece, total = matches_in_piece(run.chunk_ids), 1, 0, 0
    key = run.key_point(asking.blinding_key) if run.proven else None
    all_blinded = concat(blinded) if run.proven else None
    found: list[NDArray[np.int64]] = []
    places_seen = np.zeros(asking.count if run.proven else 0, np.bool_)
    while piece < pieces:
        message = yield from receive(
            Matches, matches_step(piece, chunk_count(asking.count, asking.chunk_ids)), run.asker, to_me=True
        )
        if piece == 0:
            total = message.total
            pieces = max(1, chunk_count(total, size))
        count = max(0, min(size, total - piece * size))
        raw = run.open(MATCHES_PURPOSE, piece, message.sealed)
        if (message.first, message.total) != (piece * size, total) or total > asking.count:
            raise ProtocolViolationError(run.asker, "sent another number of matches than it announced")
        if len(raw) != (8 if run.proven else 4) * count or len(message.proof) != (
            dleq.PROOF_BYTES if run.proven and count else 0
        ):
            raise ProtocolViolationError(run.asker, f"matches do not have the announced length of {count}")
        positions = np.frombuffer(raw[: 4 * count], "<u4").astype(np.int64)
        found.append(positions)
        if (positions >= cached.count).any() or (cached.rows(positions) < 0).any():
            raise ProtocolViolationError(run.asker, "matched a position of the cached set that holds no id")
        if key is not None and all_blinded is not None and count:
            places = np.frombuffer(raw[4 * count :], "<u4").astype(np.int64)
            if (places >= asking.count).any() or len(np.unique(places)) < count or places_seen[places].any():
                raise ProtocolViolationError(run.asker, "matched a place of its own set that is none, or one twice")
            places_seen[places] = True
            own = Ids.of(run.ids).take(cached.rows(positions))
            inputs = psi.hash_to_curve(list(own.encoded()), cached.epoch.salt, run.executor)
            try:
                context = run.context(b"matches", piece)
                dleq.verify(key, inputs, all_blinded[places], message.proof, context, run.executor)
            except ProofError as error:
                raise ProtocolViolationError(run.asker, f"matches: {error}") from error
        piece += 1
    positions = np.concatenate(found)
    if (np.diff(positions) <= 0).any():
        raise ProtocolViolationError(run.asker, "matched a position of the cached set twice, or out of order")
    return positions
