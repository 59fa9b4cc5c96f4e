"""The digest of a payload: root of a SHA-256 tree over chunks of 64 KiB. `UplinkLedger` recomputes the same root.

leaf = SHA-256(0x00 ‖ chunk), node = SHA-256(0x01 ‖ left ‖ right); an odd last node is carried up unchanged. The digest
shows nothing of a payload of high entropy; a guessable one needs a salt (`seal.commitment`).

Source: RFC 6962 section 2.1 for the 0x00 / 0x01 domain separation (its tree has the same shape).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from fedchain.errors import DigestMismatchError
from fedchain.types import Digest

CHUNK_BYTES = 64 * 1024
DIGEST_BYTES = 32


@dataclass(frozen=True)
class ChunkProof:
    """That one chunk belongs to a payload.

    Attributes:
        index: the chunk's position, from 0.
        chunk_count: chunks of the whole payload.
        siblings: 32-byte nodes, from the leaf's level up; none where a node is carried.
    """

    index: int
    chunk_count: int
    siblings: tuple[bytes, ...]


def payload_digest(data: bytes) -> Digest:
    """The Merkle root of a payload of at least one byte; about 1 GB/s.

    Raises:
        ValueError: the payload is empty.
    """
    return root_of(leaf_hashes(data))


def leaf_hash(chunk: bytes | memoryview) -> bytes:
    """The leaf of one chunk, 32 bytes."""
    return _leaf(chunk)


def leaf_hashes(data: bytes | memoryview) -> list[bytes]:
    """The leaves of a payload of at least one byte, in order.

    Raises:
        ValueError: the payload is empty.
    """
    if not data:
        raise ValueError("an empty payload has no digest")
    view = memoryview(data)
    return [_leaf(view[i : i + CHUNK_BYTES]) for i in range(0, len(view), CHUNK_BYTES)]


def root_of(leaves: Sequence[bytes]) -> Digest:
    """The digest of the payload that has these leaves: for many chunks cheaper than a proof for each.

    Args:
        leaves: 32 bytes each, at least one.

    Raises:
        ValueError: there are none.
    """
    if not leaves:
        raise ValueError("an empty payload has no digest")
    return Digest(_above(list(leaves))[-1][0])


def chunk_count(size: int) -> int:
    """Chunks of a payload of `size` bytes."""
    return -(-size // CHUNK_BYTES)


def prove(data: bytes, index: int) -> ChunkProof:
    """The proof for chunk `index` of a payload.

    Raises:
        ValueError: the payload is empty.
        IndexError: it has no such chunk.
    """
    return prove_leaf(leaf_hashes(data), index)


def prove_leaf(leaves: Sequence[bytes], index: int) -> ChunkProof:
    """The proof for one of the leaves of a root (`root_of`).

    Raises:
        ValueError: there are none.
        IndexError: there is no such leaf.
    """
    if not leaves:
        raise ValueError("an empty payload has no digest")
    if not 0 <= index < len(leaves):
        raise IndexError(f"chunk {index} of a payload of {len(leaves)} chunks")
    siblings, position = [], index
    for level in _above(list(leaves))[:-1]:
        if position ^ 1 < len(level):
            siblings.append(level[position ^ 1])
        position //= 2
    return ChunkProof(index, len(leaves), tuple(siblings))


def verify(digest: bytes, chunk: bytes, proof: ChunkProof) -> None:
    """Check a chunk against a payload's digest, before the rest has arrived.

    Raises:
        DigestMismatchError: the chunk, its position, or the proof is not of that payload.
    """
    if not 0 <= proof.index < proof.chunk_count or not 1 <= len(chunk) <= CHUNK_BYTES:
        raise DigestMismatchError(f"chunk {proof.index} of {proof.chunk_count} with {len(chunk)} bytes cannot exist")
    if proof.index < proof.chunk_count - 1 and len(chunk) != CHUNK_BYTES:
        raise DigestMismatchError(f"chunk {proof.index} is short but not the last")
    verify_leaf(digest, _leaf(chunk), proof)


def verify_leaf(digest: bytes, leaf: bytes, proof: ChunkProof) -> None:
    """Check that a leaf is among those of a root (`root_of`).

    Raises:
        DigestMismatchError: the leaf, its position, or the proof is not of that root.
    """
    if not 0 <= proof.index < proof.chunk_count:
        raise DigestMismatchError(f"chunk {proof.index} of {proof.chunk_count} cannot exist")
    node, position, width = leaf, proof.index, proof.chunk_count
    siblings = iter(proof.siblings)
    while width > 1:
        if position ^ 1 < width:
            sibling = next(siblings, b"")
            if len(sibling) != DIGEST_BYTES:
                raise DigestMismatchError(f"the proof of chunk {proof.index} is too short")
            node = _node(sibling, node) if position & 1 else _node(node, sibling)
        position, width = position // 2, (width + 1) // 2
    if next(siblings, None) is not None:
        raise DigestMismatchError(f"the proof of chunk {proof.index} is too long")
    if not hmac.compare_digest(node, digest):
        raise DigestMismatchError(f"chunk {proof.index}: expected root {digest.hex()}, found {node.hex()}")


def check_payload(data: bytes, digest: bytes, what: str) -> None:
    """Check a whole payload against its digest.

    Args:
        data: the bytes received.
        digest: the 32 bytes committed to.
        what: names the payload and its sender in the error.

    Raises:
        DigestMismatchError: they differ, or the payload is empty.
    """
    found = payload_digest(data) if data else b""
    if not hmac.compare_digest(found, digest):
        raise DigestMismatchError(f"{what}: expected digest {digest.hex()}, found {found.hex() or 'no bytes'}")


def _above(leaves: list[bytes]) -> list[list[bytes]]:
    """The leaves and all levels above them."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [_node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        levels.append(above + below[len(below) - len(below) % 2 :])
    return levels


def _leaf(chunk: bytes | memoryview) -> bytes:
    state = hashlib.sha256(b"\x00")
    state.update(chunk)
    return state.digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
