"""A cached set: every id of its holder as a 16-byte tag under the key of a set epoch, in ascending order.

A tag is the hash of the id's point times the epoch's secret. To whoever has no evaluation of an id its tag is random
(DDH in the random oracle model), so ascending tags stand in an order that tells nothing of rows, and that nobody needs
to be told: the position of a tag names the row to the holder alone.

Made in parts of `PART_IDS` ids, in the order of the ids' fingerprints, each of which is kept as soon as it is there: a
party that is killed goes on behind them, in that job or in the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.chunks import CHUNK_IDS, chunk_count
from fedchain.alignment.matching import TAG_BYTES
from fedchain.alignment.ownset import padded
from fedchain.alignment.prints import IdPrints
from fedchain.alignment.shelf import Epoch
from fedchain.compute.executor import Executor
from fedchain.crypto import dleq, psi
from fedchain.data.idarray import Ids
from fedchain.messages import CachedSet as CachedSetMessage
from fedchain.protocol import Party, Stage

PART_IDS = CHUNK_IDS
CACHED_CHUNK_IDS = 1 << 17
"""Tags in a chunk: 2 MB, like a chunk of points."""

COMMITMENT_BYTES = 32
_ENVELOPE_BYTES = 128
_MANIFEST, _PLACES = "manifest", "places"
_DUMMY = b"\xff"


class _Manifest(msgspec.Struct, frozen=True, array_like=True):
    count: int
    chunk_ids: int
    commitments: bytes


@dataclass(frozen=True)
class CachedSet:
    """A finished one, at its holder.

    Attributes:
        epoch: its key, and where it is kept.
        prints: of the ids that it is of.
        count: tags in it, with padding.
        chunk_ids: tags in each chunk but the last.
        commitments: digests of the chunks, joined.
        places: (count,) uint32: of each position the rank of its id among the fingerprints; dummies come after all ids.
    """

    epoch: Epoch
    prints: IdPrints
    count: int
    chunk_ids: int
    commitments: bytes
    places: NDArray[np.uint32]

    @property
    def chunks(self) -> int:
        """How many there are."""
        return chunk_count(self.count, self.chunk_ids)

    def message(self, session: bytes) -> CachedSetMessage:
        """What is said of it in a job with that session salt."""
        key = dleq.key_of(self.epoch.scalar).to_sec1(compressed=True)
        return CachedSetMessage(session, self.epoch.salt, self.count, self.chunk_ids, self.commitments, key)

    def chunk(self, number: int) -> bytes:
        """Its tags, joined."""
        content = self.epoch.shelf.get(_chunk_name(number))
        assert content is not None, "a manifest is put last"
        return content

    def rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at these positions of the set; −1 for a dummy."""
        ranks = self.places[positions].astype(np.int64)
        real = ranks < len(self.prints)
        rows = np.full(len(positions), -1, np.int64)
        rows[real] = self.prints.order[ranks[real]]
        return rows

    def tags(self, positions: NDArray[np.int64]) -> bytes:
        """The tags at these ascending positions, joined."""
        found = []
        for number in range(self.chunks):
            first = number * self.chunk_ids
            begin, end = np.searchsorted(positions, [first, first + self.chunk_ids])
            if begin < end:
                content = np.frombuffer(self.chunk(number), np.uint8).reshape(-1, TAG_BYTES)
                found.append(content[positions[begin:end] - first].tobytes())
        return b"".join(found)


def cached_chunk_ids(max_payload_bytes: int) -> int:
    """Tags in a chunk so that its message keeps to the job's bound; `CACHED_CHUNK_IDS` where that is large enough."""
    return max(1, min(CACHED_CHUNK_IDS, (max_payload_bytes - _ENVELOPE_BYTES) // TAG_BYTES))


def make(
    ids: Sequence[str],
    prints: IdPrints,
    epoch: Epoch,
    pad_to: int | str | None,
    chunk_ids: int,
    executor: Executor,
) -> Party[CachedSet]:
    """The epoch's cached set: from its shelf, or made now, about 42 µs per id and core, with progress.

    Args:
        ids: the holder's, distinct.
        prints: theirs, under the epoch's key.
        epoch: the epoch.
        pad_to: as in `align`.
        chunk_ids: tags in a chunk.
        executor: where the curve arithmetic runs.
    """
    with epoch.lock:
        kept = epoch.shelf.get(_MANIFEST)
        if kept is None:
            count = padded(len(ids), pad_to)
            yield from _parts(ids, prints, epoch, count, executor)
            kept = _assemble(epoch, count, chunk_ids)
    manifest = msgspec.msgpack.decode(kept, type=_Manifest)
    places = epoch.shelf.get(_PLACES)
    assert places is not None, "a manifest is put last"
    return CachedSet(
        epoch, prints, manifest.count, manifest.chunk_ids, manifest.commitments, np.frombuffer(places, "<u4")
    )


def chunk_commitment(salt: bytes, chunk: int, tags: bytes) -> bytes:
    """Digest of a chunk of the cached set of an epoch."""
    return hashlib.sha256(b"fedchain-cached-chunk-1" + salt + chunk.to_bytes(4, "big") + tags).digest()


def is_ascending(tags: bytes, after: bytes) -> bool:
    """Whether tags of 16 bytes ascend strictly, and begin above `after`, a tag or nothing."""
    words = np.frombuffer(after + tags, ">u8").reshape(-1, 2)
    high, low = words[:, 0], words[:, 1]
    return bool(((high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))).all())


def locate(wanted: NDArray[np.uint8], chunks: Iterable[bytes]) -> NDArray[np.int64]:
    """Positions of tags in a cached set.

    Args:
        wanted: (n, 16) uint8, distinct.
        chunks: of the cached set, in order; one is held at a time.

    Returns:
        (n,) int64; −1 for a tag that is not in it.
    """
    asked = np.ascontiguousarray(wanted).view(f"S{TAG_BYTES}").ravel()
    order = np.argsort(asked, kind="stable")
    asked = asked[order]
    positions = np.full(len(asked), -1, np.int64)
    first = 0
    for content in chunks:
        tags = np.frombuffer(content, f"S{TAG_BYTES}")
        begin = int(np.searchsorted(asked, tags[0], "left"))
        end = int(np.searchsorted(asked, tags[-1], "right"))
        places = np.searchsorted(tags, asked[begin:end])
        hits = np.flatnonzero(tags[places] == asked[begin:end])
        positions[order[begin + hits]] = first + places[hits]
        first += len(tags)
    return positions


def _parts(ids: Sequence[str], prints: IdPrints, epoch: Epoch, count: int, executor: Executor) -> Party[None]:
    """Tags of all ids and dummies in the order of the fingerprints, each part kept as it is there."""
    own, done = Ids.of(ids), 0
    yield Stage("align", 0, count, "blinding ids for the cached set")
    for part in range(chunk_count(count, PART_IDS)):
        first, end = part * PART_IDS, min(count, (part + 1) * PART_IDS)
        if epoch.shelf.get(_part_name(part)) is None:
            preimages = list(own.take(prints.order[first:end]).encoded())
            dummies = range(max(first, len(own)), end)
            preimages += [_DUMMY + _dummy(epoch.secret, number) for number in dummies]
            points = psi.blind(psi.hash_to_curve(preimages, epoch.salt, executor), epoch.scalar, executor)
            epoch.shelf.put(_part_name(part), psi.tags(points).tobytes())
        done += end - first
        yield Stage("align", done, count, "ids blinded for the cached set")


def _assemble(epoch: Epoch, count: int, chunk_ids: int) -> bytes:
    """Sort the tags, cut them into chunks, and keep these; the manifest comes last, and then the parts go."""
    shelf, parts = epoch.shelf, chunk_count(count, PART_IDS)
    found = np.empty((count, TAG_BYTES), np.uint8)
    for part in range(parts):
        kept = shelf.get(_part_name(part))
        assert kept is not None, "put before"
        found[part * PART_IDS : (part + 1) * PART_IDS] = np.frombuffer(kept, np.uint8).reshape(-1, TAG_BYTES)
    words = found.view(">u8").astype(np.uint64)  # numpy sorts native numbers much faster
    places = np.lexsort((words[:, 1], words[:, 0]))
    shelf.put(_PLACES, places.astype("<u4").tobytes())
    commitments = []
    for chunk in range(chunk_count(count, chunk_ids)):
        tags = found[places[chunk * chunk_ids : (chunk + 1) * chunk_ids]].tobytes()
        commitments.append(chunk_commitment(epoch.salt, chunk, tags))
        shelf.put(_chunk_name(chunk), tags)
    manifest = msgspec.msgpack.encode(_Manifest(count, chunk_ids, b"".join(commitments)))
    shelf.put(_MANIFEST, manifest)
    for part in range(parts):
        shelf.drop(_part_name(part))
    return manifest


def _dummy(secret: bytes, number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8, "big"), key=secret, digest_size=32, person=b"psi-cached-dummy").digest()


def _part_name(part: int) -> str:
    return f"part_{part}"


def _chunk_name(chunk: int) -> str:
    return f"tags_{chunk}"
