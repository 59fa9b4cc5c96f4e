from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto import merkle
from fedchain.crypto.merkle import CHUNK_BYTES, ChunkProof, check_payload, payload_digest, prove, verify
from fedchain.errors import DigestMismatchError


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _payload(chunks: int, tail: int = CHUNK_BYTES) -> bytes:
    return b"".join(bytes([i]) * CHUNK_BYTES for i in range(chunks - 1)) + b"z" * tail


def test_one_byte_has_the_leaf_hash_of_certificate_transparency() -> None:
    """Leaf hash of the byte 0x00 in the test data of the RFC 6962 reference implementation."""
    assert payload_digest(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"


@pytest.mark.parametrize("tail", [1, CHUNK_BYTES - 1, CHUNK_BYTES])
def test_roots_of_one_to_five_chunks_are_as_drawn(tail: int) -> None:
    for count in range(1, 6):
        data = _payload(count, tail)
        leaf = [_leaf(data[i : i + CHUNK_BYTES]) for i in range(0, len(data), CHUNK_BYTES)]
        left = _node(leaf[0], leaf[1]) if count > 1 else leaf[0]
        four = _node(left, _node(leaf[2], leaf[3])) if count > 3 else b""
        drawn = {
            1: left,
            2: left,
            3: _node(left, leaf[-1]),
            4: four,
            5: _node(four, leaf[-1]),
        }[count]
        assert payload_digest(data) == drawn


def test_an_empty_payload_has_no_digest() -> None:
    with pytest.raises(ValueError, match="empty"):
        payload_digest(b"")
    with pytest.raises(DigestMismatchError, match="op's gradients"):
        check_payload(b"", bytes(32), "op's gradients")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.data())
def test_every_chunk_proves_and_no_other_chunk_does(count: int, data: st.DataObject) -> None:
    payload = _payload(count, 7)
    index = data.draw(st.integers(0, count - 1))
    root, proof = payload_digest(payload), prove(payload, index)
    chunk = payload[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
    verify(root, chunk, proof)
    other = bytes([chunk[0] ^ 1]) + chunk[1:]
    with pytest.raises(DigestMismatchError):
        verify(root, other, proof)
    for siblings in ((*proof.siblings, bytes(32)), proof.siblings[:-1] if proof.siblings else (b"",)):
        with pytest.raises(DigestMismatchError):
            verify(root, chunk, ChunkProof(index, count, siblings))
    if count > 1:
        with pytest.raises(DigestMismatchError):
            verify(root, chunk, ChunkProof((index + 1) % count, count, proof.siblings))


def test_an_inner_node_does_not_pass_as_a_chunk() -> None:
    payload = _payload(2)
    left, right = _leaf(payload[:CHUNK_BYTES]), _leaf(payload[CHUNK_BYTES:])
    with pytest.raises(DigestMismatchError):
        verify(payload_digest(payload), left + right, ChunkProof(0, 1, ()))


@pytest.mark.parametrize("chunk", [b"", b"x" * (CHUNK_BYTES + 1), b"short but not last"])
def test_a_chunk_of_an_impossible_size_is_refused(chunk: bytes) -> None:
    payload = _payload(2)
    with pytest.raises(DigestMismatchError, match=r"cannot exist|not the last"):
        verify(payload_digest(payload), chunk, prove(payload, 0))


@pytest.mark.parametrize("index", [-1, 2])
def test_there_is_no_proof_for_a_chunk_that_does_not_exist(index: int) -> None:
    with pytest.raises(IndexError):
        prove(_payload(2), index)
    with pytest.raises(DigestMismatchError, match="cannot exist"):
        verify(bytes(32), b"x", ChunkProof(index, 2, ()))


def test_a_payload_is_checked_whole() -> None:
    data = _payload(3, 5)
    check_payload(data, payload_digest(data), "payload")
    with pytest.raises(DigestMismatchError, match="op's histogram"):
        check_payload(data + b"!", payload_digest(data), "op's histogram")
    assert len(payload_digest(data)) == merkle.DIGEST_BYTES


@given(count=st.integers(1, 40), tail=st.integers(1, CHUNK_BYTES))
@settings(max_examples=30, deadline=None)
def test_the_root_of_the_leaves_is_the_payloads_digest(count: int, tail: int) -> None:
    data = _payload(count, tail)
    leaves = merkle.leaf_hashes(data)
    assert merkle.root_of(leaves) == payload_digest(data)
    assert leaves == [merkle.leaf_hash(data[i : i + CHUNK_BYTES]) for i in range(0, len(data), CHUNK_BYTES)]
    assert merkle.chunk_count(len(data)) == len(leaves) == count


def test_no_leaves_have_no_root() -> None:
    with pytest.raises(ValueError, match="empty"):
        merkle.root_of([])
